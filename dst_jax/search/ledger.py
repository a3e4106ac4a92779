"""The ledger of a search has one JSON line per candidate and grows step by step.

Each line ends in a digest of its other fields and of the digest before it, so that a
line that was edited, moved or taken out is found. The digest of the last line, which
`search.json` keeps, stands for all lines.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from dst_jax.arch import spec_from_json, spec_id, spec_to_json
from dst_jax.decode import from_json
from dst_jax.digests import json_sha256
from dst_jax.errors import InputError
from dst_jax.files import naming
from dst_jax.search.loop import Trial

_DIGEST, _NO_DIGEST = "digest", ""


@dataclasses.dataclass(frozen=True)
class Ledger:
    """What a ledger holds.

    Attributes:
      path: The file.
      trials: Its trials, in whole steps.
      digests: The digest of each line, which also stands for all lines before it.
      is_protected: Whether the file has every digest, so that an edit is found; lines
        that versions before the digests wrote have none.
    """

    path: pathlib.Path
    trials: tuple[Trial, ...] = ()
    digests: tuple[str, ...] = ()
    is_protected: bool = True


def append_step(ledger: Ledger, trials: Sequence[Trial]) -> Ledger:
    """Appends the candidates of one step, and waits until they are on the disk.

    Returns:
      The ledger with these trials.

    Raises:
      OSError: If the disk is full; it names the file, whose torn line the next
        `read_ledger` cuts off.
    """
    digests, lines = list(ledger.digests), []
    for trial in trials:
        values = _to_json(trial)
        digests.append(_digest(values, digests))
        lines.append(json.dumps({**values, _DIGEST: digests[-1]}) + "\n")
    with naming(ledger.path), ledger.path.open("a") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())
    return dataclasses.replace(
        ledger, trials=(*ledger.trials, *trials), digests=tuple(digests)
    )


def read_ledger(
    path: pathlib.Path, *, candidates: int, finished: tuple[int, str | None] = (0, None)
) -> Ledger:
    """Reads the whole steps of a ledger and cuts an incomplete last step off the file.

    A killed search leaves such a step.

    Args:
      path: The file; an absent file is an empty ledger.
      candidates: Number of lines of a whole step.
      finished: Number of lines that a finished search has left, and the digest of the
        last of them, None if it is not known.

    Raises:
      InputError: If a line of a whole step is not a trial or was changed, or finished
        lines are missing.
    """
    content = path.read_bytes() if path.exists() else b""
    lines = content.split(b"\n")[:-1]
    whole = len(lines) - len(lines) % candidates
    count, digest = finished
    if whole < count:
        raise InputError(
            f"{path}: {whole} of {count} finished candidates are left; restore the "
            "file, or remove search.json to search the others again."
        )
    trials, digests, has_digest = [], [], []
    for number, line in enumerate(lines[:whole], start=1):
        where = f"{path}, line {number}"
        values = _values(line, where)
        has_digest.append(_DIGEST in values)
        given = values.pop(_DIGEST, None)
        trials.append(_trial(values, where))
        digests.append(_digest(values, digests))
        if any(has_digest) and given != digests[-1]:
            raise _changed(where)
    if count and digest not in (None, digests[count - 1]):
        raise _changed(f"{path}, line {count}")
    kept = len(b"".join(line + b"\n" for line in lines[:whole]))
    if kept < len(content):
        os.truncate(path, kept)
    return Ledger(path, tuple(trials), tuple(digests), all(has_digest))


def _changed(where: str) -> InputError:
    return InputError(
        f"{where}: it or a line before it was changed after it was written; restore "
        "the file, or remove search.json and all lines from the changed one on."
    )


def _digest(values: dict[str, Any], before: Sequence[str]) -> str:
    return json_sha256([before[-1] if before else _NO_DIGEST, values])


def _values(line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as error:
        raise _no_trial(where, error) from None
    return values


def _no_trial(where: str, error: Exception) -> InputError:
    return InputError(
        f"{where}: not a trial ({error}); restore the file, or remove search.json and "
        "all lines from this one on."
    )


def _to_json(trial: Trial) -> dict[str, Any]:
    return {
        "step": trial.step,
        "candidate": trial.candidate,
        "reward": trial.reward,
        "accuracy": trial.accuracy,
        "compression": trial.compression,
        "seconds": trial.seconds,
        "problem": trial.problem,
        "spec_id": None if trial.spec is None else spec_id(trial.spec),
        "actions": trial.actions,
        "spec": None if trial.spec is None else spec_to_json(trial.spec),
    }


@dataclasses.dataclass(frozen=True)
class _Line:
    """The fields of a line but its architecture and its digest."""

    step: int
    candidate: int
    reward: float
    accuracy: float
    compression: float
    seconds: float
    problem: str | None
    spec_id: str | None
    actions: tuple[tuple[int, ...], ...]


def _trial(values: dict[str, Any], where: str) -> Trial:
    rest = {name: value for name, value in values.items() if name != "spec"}
    try:
        line = from_json(_Line, rest, "trial", complete=True)
        spec = None if values["spec"] is None else spec_from_json(values["spec"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _no_trial(where, error) from None
    fields = dataclasses.asdict(line)
    del fields["spec_id"]
    return Trial(spec=spec, **fields)
