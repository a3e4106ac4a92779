"""Reads files of annotations as checked rows of numbers; errors name the line."""

import os
import pathlib
import re

import numpy as np

from dst_jax.data.checks.lint import DataFault
from dst_jax.data.frames import require_file
from dst_jax.errors import InputError
from dst_jax.typing import Float, Int

LINE_LENGTH = 1000
"""Characters that a line of numbers, one per frame, may have."""

MOST_BYTES = 64_000_000
"""Bytes that the annotation of a sequence may have: a few kB for a mask of VOT."""


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Reads the lines of a text file, without the blank ones at its end.

    Raises:
      InputError: If the file is missing or is not text.
    """
    require_file(path, "annotation")
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); restore it or correct the path."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; restore it.") from error
    return text.rstrip().splitlines()


def require_size(path: str | os.PathLike[str], most: int, what: str) -> None:
    """Raises an error if a file is too large for what it should hold.

    So a file of the wrong kind is told before it is read into memory.

    Args:
      path: The file; one that is missing is left to whoever reads it.
      most: Bytes that it may have.
      what: What it should hold, for the message.

    Raises:
      InputError: If it is larger.
    """
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    if size > most:
        raise InputError(
            f"{path} has {size / 1e6:,.1f} MB, too much for {what}; restore it."
        )


def require_length(
    path: str | os.PathLike[str], number: int, line: str, *, most: int = LINE_LENGTH
) -> None:
    """Raises an error if a line of numbers is longer than any such line.

    Args:
      path: The file, for the message.
      number: Number of the line, for the message.
      line: The line.
      most: Characters that it may have.

    Raises:
      InputError: If it has more.
    """
    if len(line) > most:
        raise InputError(
            f"{path} line {number}: {line[:60]!r}... has {len(line):,} characters, too "
            "many for a line of numbers; correct it."
        )


def read_rows(
    path: str | os.PathLike[str], *, columns: int
) -> Float[np.ndarray, "t n"]:
    """Reads rows of `columns` numbers, separated by comma, semicolon, tab or space.

    Args:
      path: A text file, in which NaN counts as a number.
      columns: Numbers per line.

    Returns:
      float64 values, one row per line.

    Raises:
      InputError: If the file is missing or empty, or a line holds anything else.
    """
    require_size(path, MOST_BYTES, "the boxes of a sequence")
    lines = read_lines(path)
    if not lines:
        raise InputError(
            f"{path} is empty; give one line of {columns} numbers a frame."
        )
    return np.array([_row(path, i, line, columns) for i, line in enumerate(lines, 1)])


def _row(
    path: str | os.PathLike[str], number: int, line: str, columns: int
) -> list[float]:
    require_length(path, number, line)
    try:
        values = [float(field) for field in re.split(r"[,;\s]+", line.strip())]
    except ValueError:
        values = []
    if len(values) != columns:
        raise InputError(
            f"{path} line {number}: {line.strip()[:60]!r} is not {columns} numbers "
            "separated by comma, tab or space; correct the line."
        )
    return values


def read_labels(
    path: str | os.PathLike[str], count: int, *, default: int
) -> Int[np.ndarray, " t"]:
    """Reads whole numbers, one per frame, on one line or on many.

    Args:
      path: A text file.
      count: Number of frames.
      default: Label of every frame if there is no file.

    Raises:
      DataFault: If the file does not hold `count` labels.
      InputError: If the file holds anything else.
    """
    if not pathlib.Path(path).exists():
        return np.full(count, default, np.int64)
    require_size(path, LINE_LENGTH * (count + 1000), f"{count} labels")
    text = "\n".join(read_lines(path))
    fields = [field for field in re.split(r"[,;\s]+", text.strip()) if field]
    try:
        labels = np.array([int(float(field)) for field in fields], np.int64)
    except (ValueError, OverflowError):
        raise InputError(f"{path} holds more than numbers; restore it.") from None
    if len(labels) != count:
        raise DataFault(
            "counts differ",
            f"{path} has {len(labels)} labels for {count} boxes; give one per frame.",
        )
    return labels
