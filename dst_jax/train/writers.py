"""Where the numbers of a run go: JSON lines, and TensorBoard where it is there."""

import importlib.util
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.files import write_text


class MetricWriter:
    """Appends one line per report to `metrics.jsonl`, and scalars to TensorBoard.

    Args:
      folder: The workdir.
      step: Resume here: lines of later steps, left by an interrupted run, go.
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
        """Writes the scalars of one step."""
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
    """Reads `metrics.jsonl`; a last line cut short by a crash is left out."""
    rows = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            rows.append(json.loads(line))
    return rows


def drop_after(path: pathlib.Path, step: int) -> None:
    """Removes the lines of steps after `step`, which will be taken again."""
    if not path.exists():
        return
    kept = [row for row in read_metrics(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
