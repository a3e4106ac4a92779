"""Reads files of annotations as checked rows of numbers; errors name the line."""

import os
import pathlib
import re

import numpy as np

from dst_jax.data.checks.lint import DataFault
from dst_jax.data.frames import require_file
from dst_jax.errors import InputError
from dst_jax.typing import Float, Int


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
    lines = read_lines(path)
    if not lines:
        raise InputError(
            f"{path} is empty; give one line of {columns} numbers a frame."
        )
    return np.array([_row(path, i, line, columns) for i, line in enumerate(lines, 1)])


def _row(
    path: str | os.PathLike[str], number: int, line: str, columns: int
) -> list[float]:
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
