"""Positions of a transformer's tokens for another grid of cells."""

import math

import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Float

# PyTorch's constant of cubic interpolation.
_SHARPNESS = -0.75


def resized_positions(
    positions: Float[np.ndarray, "n d"], side: int
) -> Float[np.ndarray, "m d"]:
    """Returns positions of side x side cells, interpolated bicubically.

    They are those of PyTorch's `interpolate` with `align_corners=False`, without
    anti-aliasing.

    Args:
      positions: Positions of a square grid, row by row.
      side: Cells per side of the new grid.

    Raises:
      InputError: If the grid is not square.
    """
    before = math.isqrt(len(positions))
    if before**2 != len(positions):
        raise InputError(
            f"{len(positions)} positions are no square grid; convert the weights that "
            "were trained with one."
        )
    if before == side:
        return positions
    along = _cubic(before, side)
    grid = positions.reshape(before, before, -1).astype(np.float64)
    found = np.einsum("ai,bj,ijd->abd", along, along, grid, optimize=True)
    return found.reshape(side * side, -1).astype(positions.dtype)


def _cubic(before: int, after: int) -> Float[np.ndarray, "m n"]:
    """Returns the weights of old cells in each new one, along one side."""
    weights = np.zeros((after, before))
    for cell in range(after):
        place = (cell + 0.5) * before / after - 0.5
        for old in range(math.floor(place) - 1, math.floor(place) + 3):
            # Beyond the border the last cell goes on.
            weights[cell, min(max(old, 0), before - 1)] += _kernel(abs(place - old))
    return weights


def _kernel(distance: float) -> float:
    """Returns the weight of a cell at a distance, which is 0 from two cells on."""
    a, x = _SHARPNESS, distance
    if x <= 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    if x < 2.0:
        return a * (((x - 5.0) * x + 8.0) * x - 4.0)
    return 0.0
