"""Lines of VOT's files as regions, and the upright box that a tracker starts from."""

import math
import os
import re

import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Float, Region

NOWHERE: Region = (0.0,)
"""No region: the truth states none, or a tracker does not run in the frame."""

START: Region = (1.0,)
"""In a tracker's file: it starts in this frame from the truth."""

FAILED: Region = (2.0,)
"""In a tracker's file: its region overlaps the truth no more."""

CODES = (NOWHERE, START, FAILED)


def region_numbers(text: str) -> list[float]:
    """Returns the numbers of a line, none if it holds anything else."""
    try:
        return [float(field) for field in re.split(r"[,;\s]+", text.strip())]
    except ValueError:
        return []


def region_of_line(path: str | os.PathLike[str], number: int, text: str) -> Region:
    """Returns the region of a line of a tracker's file.

    Args:
      path: The file, for the message.
      number: Number of the line, for the message.
      text: The line.

    Raises:
      InputError: If it is no code, rectangle or polygon of finite numbers.
    """
    values = tuple(region_numbers(text))
    many = len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)
    # No place in an image lies beyond this.
    if values in CODES or (many and all(abs(value) < 1e9 for value in values)):
        return values
    raise InputError(
        f"{path} line {number}: {text.strip()[:60]!r} is no code 0, 1 or 2, rectangle "
        "or polygon; correct the line."
    )


def region_text(region: Region) -> str:
    """Returns the line of a region, as VOT's kits write it."""
    if len(region) == 1:
        return f"{region[0]:.0f}"
    return ",".join(f"{value:.4f}" for value in region)


def corners_of(region: Region) -> Float[np.ndarray, "n 2"]:
    """Returns x and y of a polygon's corners."""
    return np.array(region).reshape(-1, 2)


def starting_box(region: Region) -> Float[np.ndarray, " 4"]:
    """Returns the box (cx, cy, w, h) from which a tracker starts.

    A polygon states pixels, the last included, as VOT's kits draw it: the box of one
    around pixels 0 to 9 is 10 wide and centred at 5. Like pysot's, the box has the
    mean of the corners as its centre, and the bounding box's sides, less 1, times
    sqrt(polygon's area / bounding box's area). It is NaN without a region.
    """
    if len(region) == 1:
        return np.full(4, math.nan)
    if len(region) == 4:
        x, y, width, height = region
        return np.array([x + width / 2, y + height / 2, width, height])
    corners = corners_of(region)
    sides = np.ptp(corners, axis=0)
    bounding = float(np.prod(sides))
    scale = math.sqrt(polygon_area(corners) / bounding) if bounding > 0.0 else 0.0
    return np.concatenate([corners.mean(axis=0) + 0.5, scale * sides + 1.0])


def polygon_area(corners: Float[np.ndarray, "n 2"]) -> float:
    """Returns the area within x and y of at least three corners, in order."""
    x, y = corners.T
    return float(0.5 * np.abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)))
