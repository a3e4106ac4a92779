"""The ledger of a search has one JSON line per candidate and grows step by step."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from dst_jax.arch import spec_from_json, spec_id, spec_to_json
from dst_jax.errors import InputError
from dst_jax.search.loop import Trial


def append_step(path: pathlib.Path, trials: Sequence[Trial]) -> None:
    """Appends the candidates of one step, and waits until they are on the disk."""
    text = "".join(json.dumps(_to_json(trial)) + "\n" for trial in trials)
    with path.open("a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_ledger(path: pathlib.Path, *, candidates: int) -> list[Trial]:
    """Reads the whole steps of a ledger and cuts an incomplete last step off the file.

    A killed search leaves such a step.

    Args:
      path: The file; an absent file is an empty ledger.
      candidates: Number of lines of a whole step.

    Raises:
      InputError: If the file is not text, or a line of a whole step is not a trial.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text ({error}); mend or remove it.") from None
    complete = [line for line in lines if line.endswith("\n")]
    whole = len(complete) - len(complete) % candidates
    trials = []
    for number, line in enumerate(complete[:whole], start=1):
        try:
            trials.append(_from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}, line {number}: not a trial ({error}); "
                "mend it, or remove it and all lines after it."
            ) from None
    if whole < len(lines):
        os.truncate(path, len("".join(lines[:whole]).encode()))
    return trials


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


def _from_json(values: dict[str, Any]) -> Trial:
    spec = values["spec"]
    return Trial(
        step=int(values["step"]),
        candidate=int(values["candidate"]),
        actions=tuple(tuple(int(a) for a in row) for row in values["actions"]),
        spec=None if spec is None else spec_from_json(spec),
        problem=values["problem"],
        accuracy=float(values["accuracy"]),
        compression=float(values["compression"]),
        reward=float(values["reward"]),
        seconds=float(values["seconds"]),
    )
