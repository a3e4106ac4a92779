"""Reads files of annotations as checked rows of numbers; errors name the line."""

import codecs
import os
import pathlib
import re

import numpy as np

from dst_jax.data.checks.lint import DataFault
from dst_jax.data.image_file import require_file
from dst_jax.errors import InputError
from dst_jax.typing import Float, Int

# How files begin that say their encoding; that of UTF-32 begins as that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}

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
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); restore it or correct the path."
        ) from error
    return decode_text(path, data).rstrip().splitlines()


def decode_text(path: str | os.PathLike[str], data: bytes) -> str:
    """Returns what a text file says: UTF-8, or UTF-16 or UTF-32 with its mark.

    Args:
      path: The file, for the messages.
      data: Its bytes.

    Raises:
      InputError: If it is no text, or text of another encoding, which is named.
    """
    marked = (name for mark, name in _MARKS.items() if data.startswith(mark))
    encoding = next(marked, "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        # In UTF-16 every other byte of a number is zero, and no other is.
        halves = data[0::2].count(0), data[1::2].count(0)
        if min(halves) == 0 and max(halves) > len(data) // 4:
            raise InputError(f"{path} is UTF-16 without its mark; save it as UTF-8.")
        raise InputError(f"{path} is not a text file; restore it.")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(
                f"{path} begins as {encoding.upper()} and is none; restore it."
            ) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} line {line}: byte 0x{data[error.start]:02x} is no UTF-8; the file "
            "may be Latin-1 or Windows-1252, save it as UTF-8."
        ) from None


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


def read_numbers(path: str | os.PathLike[str]) -> Float[np.ndarray, " n"]:
    """Reads all numbers of a text file, however many a line has.

    Raises:
      InputError: If the file is missing or holds anything else.
    """
    require_size(path, MOST_BYTES, "numbers of a sequence")
    text = "\n".join(read_lines(path))
    fields = [field for field in re.split(r"[,;\s]+", text.strip()) if field]
    try:
        return np.array([float(field) for field in fields], float)
    except ValueError:
        raise InputError(f"{path} holds more than numbers; restore it.") from None


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
