"""Tells after a run whether its students shared anything (eq. 22), and what it left."""

import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.errors import InputError
from dst_jax.train import SKIPPED, read_metrics


def gate_share(metrics: pathlib.Path, name: str) -> float | None:
    """Returns the share of a training's gates of a student that were open.

    That is of steps, or of examples where each has a gate. Nothing is shared within the
    warm-up, whose gates count as shut.

    Args:
      metrics: The file `metrics.jsonl`.
      name: Name of the student.

    Returns:
      The share, or None if no gate was logged.

    Raises:
      InputError: If the file is damaged or of an older release.
    """
    rows = [row for row in read_metrics(metrics) if f"gate/{name}" in row]
    if any(row.get("steps", 0) < 1 for row in rows):
        raise InputError(
            f"{metrics}: a line with gates lacks its number of steps, which an older "
            "release did not write; train anew in another folder."
        )
    # The means of a line are of the steps that were not left out.
    counts = [row["steps"] * (1.0 - row.get(SKIPPED, 0.0)) for row in rows]
    opened = (_open_share(row, name) for row in rows)
    open_steps = sum(n * share for n, share in zip(counts, opened, strict=True))
    return open_steps / sum(counts) if sum(counts) else None


def gates_line(metrics: pathlib.Path) -> str | None:
    """Returns a line that says that a run's students never shared anything.

    Args:
      metrics: The file `metrics.jsonl`.

    Returns:
      The line, or None if something was shared or the run was to share nothing.
    """
    rows = list(read_metrics(metrics))
    sigmas = [value for row in rows for value in _by_student(row, "sigma").values()]
    if not sigmas or any(sigmas):
        return None
    if any(any(_by_student(row, "gate").values()) for row in rows):
        return "nothing was shared: gates were open within the warm-up alone"
    lowest: dict[str, float] = {}
    for row in rows:
        for name, gap in _by_student(row, "gap").items():
            lowest[name] = min(gap, lowest.get(name, gap))
    gaps = ", ".join(f"{gap:.3g} ({name})" for name, gap in lowest.items())
    return (
        "nothing was shared: no gate was open, because no student's loss came nearer "
        f"to the teacher's than Sharing.margin; lowest gap reported: {gaps}"
    )


def skipped_line(metrics: pathlib.Path) -> str | None:
    """Returns a line that says how many steps of a run changed nothing.

    Args:
      metrics: The file `metrics.jsonl`.

    Returns:
      The line, or None if there was none or the run was to leave out none.
    """
    rows = [row for row in read_metrics(metrics) if SKIPPED in row]
    steps = sum(row["steps"] for row in rows)
    left_out = round(sum(row[SKIPPED] * row["steps"] for row in rows))
    if not left_out:
        return None
    return (
        f"{left_out} of {steps} steps changed nothing: their loss was not finite or "
        "above OptimConfig.skip_above"
    )


def _open_share(row: Mapping[str, Any], name: str) -> float:
    """Returns the share of open gates in one line of the metrics, 0 in the warm-up."""
    return row[f"gate/{name}"] if row.get(f"sigma/{name}", 1.0) else 0.0


def _by_student(row: Mapping[str, Any], log: str) -> dict[str, float]:
    """Returns the values of a log in one line of the metrics, by student."""
    start = f"{log}/"
    return {
        name.removeprefix(start): value
        for name, value in row.items()
        if name.startswith(start)
    }
