"""What an ablation keeps of finished work: results of runs, and of the teacher."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.decode import from_json
from dst_jax.digests import json_sha256
from dst_jax.errors import InputError
from dst_jax.files import read_json, write_json
from dst_jax.workflows.ablation.table import MEASURED, Outcome

_DIGEST = "digest"
# Fields of an `Outcome` with names of their own within; earlier records lack "terms".
_BESIDE = ("scores", "terms")


@dataclasses.dataclass(frozen=True)
class _Network:
    """The fields of an `Outcome` but `_BESIDE`."""

    parameters: int
    megabytes: float
    gate_open: float | None


@dataclasses.dataclass(frozen=True)
class _Run:
    """The fields of a run's record but its students."""

    row: str
    group: tuple[str, ...]
    seed: int
    seconds: float


def write_record(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    """Writes a run's record or the teacher's outcome, with a digest of it."""
    write_json(path, {**values, _DIGEST: json_sha256(values)})


def read_run(path: pathlib.Path) -> dict[str, Any]:
    """Reads the record of a run.

    Raises:
      InputError: If the file is no such record or was changed.
    """
    values = _read(path)
    try:
        rest = {k: v for k, v in values.items() if k not in ("students", "versions")}
        from_json(_Run, rest, "run", complete=True)
        for name, outcome in _mapping(values, "students").items():
            _check_outcome(outcome, name)
    except (InputError, OverflowError) as error:
        raise _damaged(path, error) from None
    return values


def read_outcome(path: pathlib.Path) -> Outcome:
    """Reads the outcome of the teacher.

    Raises:
      InputError: If the file is no such outcome or was changed.
    """
    values = _read(path)
    try:
        _check_outcome(values, "teacher")
    except (InputError, OverflowError) as error:
        raise _damaged(path, error) from None
    return values


def _read(path: pathlib.Path) -> dict[str, Any]:
    values = read_json(path)
    # Versions before the digest wrote none.
    digest = values.pop(_DIGEST, None)
    if digest is not None and digest != json_sha256(values):
        raise _damaged(path, "it was changed after it was written")
    return values


def _check_outcome(value: Any, name: str) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{name}: expected an outcome")
    rest = {field: one for field, one in value.items() if field not in _BESIDE}
    from_json(_Network, rest, name, complete=True)
    for term, last in _mapping({"terms": {}, **value}, "terms").items():
        from_json(float, last, f"{name}: last value of {term}")
    for data, scores in _mapping(value, "scores").items():
        if not isinstance(scores, dict):
            raise InputError(f"{name}: scores of {data} are no mapping")
        from_json(str, scores.get("targets"), f"{name}: {data}: targets")
        for metric in MEASURED:
            where = f"{name}: {data}: {metric}"
            from_json(float | None, scores.get(metric), where)
            if metric != "fps" and scores.get(metric) is None:
                raise InputError(f"{where}: is missing")


def _mapping(values: Mapping[str, Any], field: str) -> dict[str, Any]:
    found = values.get(field)
    if not isinstance(found, dict):
        raise InputError(f"{field}: expected a mapping")
    return found


def _damaged(path: pathlib.Path, reason: object) -> InputError:
    return InputError(
        f"{path} is damaged ({reason}); restore the file, or remove it to score its "
        "networks again."
    )
