"""Overlap of rectangles and polygons, counted in pixels as vot-toolkit counts them.

Corners are rounded to whole pixels, halves to even, and both regions are drawn within
the image; their overlap is the number of common pixels over that of all pixels. A
polygon draws its last pixel, a rectangle x,y,w,h ends at x + w - 1. The toolkit's rules
for regions without area are its own: two of them within one row or column are equal.
"""

import numpy as np

from dst_jax.typing import Bool, Float, Int, Region


def region_overlap(first: Region, second: Region, size: tuple[int, int]) -> float:
    """Returns the intersection over union of two regions within an image.

    Args:
      first: A rectangle or polygon; a code is a region without a pixel.
      second: Another one.
      size: (height, width) of the image in pixels.

    Example:
      >>> region_overlap((0.0, 0.0, 10.0, 10.0), (5.0, 0.0, 10.0, 10.0), (40, 60))
      0.3333333333333333
    """
    shapes = _rounded(first), _rounded(second)
    ends = np.array([_ends(shape) for shape in shapes])
    low, high = ends[:, :2].min(axis=0), ends[:, 2:].max(axis=0)
    if (low >= high).any():
        return 1.0
    low = np.maximum(low, 0)
    high = np.minimum(high, np.array([size[1], size[0]]) - 1)
    if (low >= high).any():
        return 0.0
    window = (*low.tolist(), *high.tolist())
    a, b = (_drawn(shape, window) for shape in shapes)
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 0.0


def _rounded(region: Region) -> Float[np.ndarray, " n"]:
    # The toolkit keeps its regions in this precision.
    return np.round(np.array(region, np.float32))


def _ends(shape: Float[np.ndarray, " n"]) -> Int[np.ndarray, " 4"]:
    """Returns the first and last pixel in x and y: left, top, right, bottom."""
    if len(shape) == 1:
        return np.zeros(4, np.int64)
    if len(shape) == 4:
        last = shape[:2] + shape[2:] - np.float32(1.0)
        return np.concatenate([shape[:2], last]).astype(np.int64)
    corners = shape.reshape(-1, 2)
    ends = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return ends.astype(np.int64)


def _drawn(
    shape: Float[np.ndarray, " n"], window: tuple[int, int, int, int]
) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels of a region in a window of the image, its ends included."""
    left, top, right, bottom = window
    if len(shape) > 4:
        corners = shape.reshape(-1, 2).astype(np.float64) - (left, top)
        return _polygon(corners, bottom - top + 1, right - left + 1)
    x, y = np.arange(left, right + 1), np.arange(top, bottom + 1)
    if len(shape) == 1:
        return np.zeros((len(y), len(x)), bool)
    ends = _ends(shape)
    return np.outer((y >= ends[1]) & (y <= ends[3]), (x >= ends[0]) & (x <= ends[2]))


def _polygon(
    corners: Float[np.ndarray, "n 2"], height: int, width: int
) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels between the crossings of each row with the polygon's sides.

    A row crosses a side at both of its ends too, so that a corner is crossed twice; of
    two crossings at one place the first is passed over, unless they are the last.
    """
    nodes, count = _crossings(corners, height)
    rows, columns = np.arange(height), np.arange(width)
    pixels = np.zeros((height, width), bool)
    at = np.zeros(height, np.int64)
    for _ in range(len(corners)):
        going = at < count - 1
        begin = nodes[rows, np.minimum(at, len(corners) - 1)]
        end = nodes[rows, np.minimum(at + 1, len(corners) - 1)]
        going &= begin < width
        if not going.any():
            break
        passed = going & (begin == end) & (at < count - 2)
        filled = (going & ~passed)[:, None]
        pixels |= filled & (columns >= begin[:, None]) & (columns <= end[:, None])
        at += np.where(passed, 1, 2) * going
    return pixels


def _crossings(
    corners: Float[np.ndarray, "n 2"], height: int
) -> tuple[Int[np.ndarray, "h n"], Int[np.ndarray, " h"]]:
    """Returns where rows cross a polygon's sides, in order, and how many times."""
    rows = np.arange(height)[:, None]
    x, y = corners.T
    from_x, from_y = np.roll(x, 1), np.roll(y, 1)
    crossed = (np.minimum(y, from_y) <= rows) & (rows <= np.maximum(y, from_y))
    rise = np.where(from_y == y, 1.0, from_y - y)
    places = x + (rows - y) / rise * np.where(from_y == y, 0.0, from_x - x)
    nodes = np.where(crossed, np.trunc(places), np.inf)
    nodes.sort(axis=1)
    far = np.iinfo(np.int64).max
    whole = np.where(np.isinf(nodes), 0.0, nodes).astype(np.int64)
    return np.where(np.isinf(nodes), far, whole), crossed.sum(axis=1)
