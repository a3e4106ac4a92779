"""Writes the metrics of a run as JSON lines, and to TensorBoard if it is installed."""

import importlib.util
import json
import math
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dst_jax.errors import InputError
from dst_jax.files import naming, write_bytes

METRICS, BOARD = "metrics.jsonl", "tensorboard"


class MetricWriter:
    """Appends one line per report to `metrics.jsonl`, and scalars to TensorBoard.

    TensorBoard gets them if tensorboardX is installed.

    Args:
      folder: The workdir.
      step: Step at which the run begins or resumes; lines of later steps, which an
        interrupted run left, are removed.
    """

    def __init__(self, folder: pathlib.Path, *, step: int = 0):
        self._path = folder / METRICS
        drop_after(self._path, step)
        self._file = self._path.open("a")
        self._board: _Board | None = None
        if importlib.util.find_spec("tensorboardX"):
            self._board = _Board(folder / BOARD, step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars of one step, all of them finite."""
        line = json.dumps({"step": step, **values}, allow_nan=False)
        with naming(self._path):
            self._file.write(line + "\n")
            self._file.flush()
        if self._board is not None:
            self._board.write(step, values)

    def close(self) -> None:
        """Closes both files."""
        with naming(self._path):
            self._file.close()
        if self._board is not None:
            self._board.close()


class _Board:
    """Writes scalars for TensorBoard from the caller's thread.

    The writer that tensorboardX offers has a thread of its own, whose death on a full
    disk nobody hears of: it prints a traceback, and later reports wait for it.
    """

    def __init__(self, folder: pathlib.Path, step: int):
        from tensorboardX import event_file_writer
        from tensorboardX.proto import event_pb2

        protocol: Any = event_pb2  # its names are made when it is imported
        self._folder, self._event = folder, protocol.Event
        with naming(folder):
            folder.mkdir(exist_ok=True)
            self._file = event_file_writer.EventsWriter(str(folder / "events"))
            # TensorBoard then forgets what an interrupted run wrote of later steps.
            begun = protocol.SessionLog(status=protocol.SessionLog.START)
            self._write(step + 1, session_log=begun)
            self._file.flush()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboardX import summary

        with naming(self._folder):
            for name, value in values.items():
                self._write(step, summary=summary.scalar(name, value))
            self._file.flush()

    def close(self) -> None:
        with naming(self._folder):
            self._file.close()

    def _write(self, step: int, **content: Any) -> None:
        self._file.write_event(self._event(wall_time=time.time(), step=step, **content))


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the lines of `metrics.jsonl`, without a last line that was cut short.

    Raises:
      InputError: If another line is no JSON object of finite numbers with a step.
    """
    return [row for _, row in _lines(path)]


def drop_after(path: pathlib.Path, step: int) -> None:
    """Removes the lines of steps after `step`, which the run will take again."""
    if path.exists():
        kept = [line for line, row in _lines(path) if row["step"] <= step]
        write_bytes(path, b"".join(kept))


def _lines(path: pathlib.Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yields every whole line as it stands, with the values in it."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        row = _row(line)
        if row is None:
            raise InputError(
                f"{path}, line {number}: is no JSON object of finite numbers with a "
                "step; remove this line."
            )
        yield line + b"\n", row


def _row(line: bytes) -> dict[str, Any] | None:
    """Returns the values in a line; None if it is not as `MetricWriter` writes it."""
    try:
        row = json.loads(line)
        fits = type(row["step"]) is int and row["step"] >= 0
        fits = fits and all(type(value) in (int, float) for value in row.values())
        fits = fits and all(math.isfinite(value) for value in row.values())
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return row if fits else None
