"""Reads which checkpoints there are, and the record that each keeps of itself."""

import pathlib
from typing import Any

from dst_jax.digests import json_sha256
from dst_jax.errors import InputError
from dst_jax.files import read_json

RECORD = pathlib.Path("made", "metadata")  # where Orbax writes the item "made"


class DamagedCheckpoint(InputError):
    """Says that a checkpoint is not what was saved.

    Attributes:
      reason: What is wrong with it.
    """

    def __init__(self, message: str, *, reason: str):
        super().__init__(message)
        self.reason = reason


def saved_steps(folder: pathlib.Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal())


def read_record(folder: pathlib.Path, step: int) -> dict[str, Any]:
    """Reads the record of a checkpoint, but none of its arrays.

    Args:
      folder: Folder of the checkpoints.
      step: Step of the checkpoint.

    Returns:
      "config_hash", "card", "window", "losses" and "snapshot_sha256".

    Raises:
      InputError: If there is no such checkpoint, or its record is damaged.
    """
    steps = saved_steps(folder)
    if step not in steps:
        there = ", ".join(map(str, steps)) or "none"
        raise InputError(f"{folder}: no checkpoint of step {step}; there is {there}.")
    try:
        record = read_json(folder / str(step) / RECORD)
    except (InputError, OSError) as error:
        reason = getattr(error, "strerror", None) or "its record is not JSON"
        raise damaged(folder, step, reason) from error
    if "sha256" not in record and "config_hash" in record:
        raise damaged(folder, step, "it has no digest, as those of older releases")
    digest = record.pop("sha256", None)
    if json_sha256(record) != digest:
        raise damaged(folder, step, "its record is not what it saved")
    return record


def damaged(folder: pathlib.Path, step: int, reason: str) -> DamagedCheckpoint:
    """Returns the error that says what is wrong with a checkpoint, and the mend.

    Args:
      folder: Folder of the checkpoints.
      step: Step of the checkpoint.
      reason: What is wrong with it.
    """
    before = [other for other in saved_steps(folder) if other < step]
    then = f"go on from step {before[-1]}" if before else "begin anew"
    return DamagedCheckpoint(
        f"{folder / str(step)}: this checkpoint cannot be read ({reason}); remove the "
        f"folder to {then}.",
        reason=reason,
    )
