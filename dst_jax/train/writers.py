"""Writes the metrics of a run as JSON lines, and to TensorBoard if it is installed."""

import importlib.util
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.files import write_text


class MetricWriter:
    """Appends one line per report to `metrics.jsonl`, and scalars to TensorBoard.

    TensorBoard gets them if tensorboardX is installed.

    Args:
      folder: The workdir.
      step: Step at which the run begins or resumes; lines of later steps, which an
        interrupted run left, are removed.
    """

    def __init__(self, folder: pathlib.Path, *, step: int = 0):
        self._path = folder / "metrics.jsonl"
        drop_after(self._path, step)
        self._file = self._path.open("a")
        self._board: Any = None
        if importlib.util.find_spec("tensorboardX"):
            import tensorboardX

            self._board = tensorboardX.SummaryWriter(
                str(folder / "tensorboard"), purge_step=step + 1, write_to_disk=True
            )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars of one step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes both files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the lines of `metrics.jsonl`, without a last line that was cut short."""
    rows = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


def drop_after(path: pathlib.Path, step: int) -> None:
    """Removes the lines of steps after `step`, which the run will take again."""
    if not path.exists():
        return
    kept = [row for row in read_metrics(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
