"""Annotation files: rows of numbers, checked, with the line in every complaint."""

import os
import pathlib
import re
from collections.abc import Callable

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.errors import InputError
from dst_jax.typing import Bool, Float


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Lines of a text file without the blank ones at its end.

    Raises:
      InputError: If the file is missing or is not text.
    """
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
    """Rows of `columns` numbers, separated by comma, semicolon, tab or space.

    Args:
      path: A text file; NaN is a number here.
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


def checked_boxes(
    xywh: Float[np.ndarray, "t 4"],
    *,
    absent: Bool[np.ndarray, " t"],
    size: tuple[int, int] | None,
    origin: float,
    where: Callable[[int], str],
    mend: str,
) -> Float[np.ndarray, "t 4"]:
    """Turns a file's boxes into the library's and refuses those that cannot be.

    Args:
      xywh: Left, top, width and height, as in the file.
      absent: Frames without the target; their boxes may be anything.
      size: (height, width) of the frames, or None to leave boxes outside unchecked.
      origin: Coordinate of the first pixel: 1 for OTB, else 0.
      where: Names the place of a line (counted from 1) in complaints.
      mend: What the user can do about a bad box, as an imperative clause.

    Returns:
      float32 (cx, cy, w, h), 0-based, NaN where absent.

    Raises:
      InputError: At the first box that is not finite, has no area or lies wholly
        outside the frame although the target is not marked absent.
    """
    boxes = np.array(box_math.xywh_to_cxcywh(xywh))
    boxes[:, :2] -= origin
    finite = np.isfinite(boxes).all(axis=1)
    problems = {
        "is not finite": ~finite,
        "has no area": finite & (boxes[:, 2:] <= 0.0).any(axis=1),
    }
    if size is not None:
        corners = np.array(box_math.cxcywh_to_xyxy(boxes))
        limit = np.array([[size[1], size[0]]], np.float64)
        outside = (corners[:, 2:] <= 0.0) | (corners[:, :2] >= limit)
        problem = f"lies outside the frame of {size[1]}x{size[0]} px"
        problems[problem] = finite & outside.any(axis=1)
    for problem, bad in problems.items():
        lines = np.flatnonzero(bad & ~absent)
        if lines.size:
            values = ",".join(f"{v:g}" for v in xywh[lines[0]])
            raise InputError(
                f"{where(int(lines[0]) + 1)}: box {values} {problem}; {mend}."
            )
    boxes[absent] = np.nan
    return boxes.astype(np.float32)
