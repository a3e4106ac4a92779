"""Ground-truth labels on the response grid."""

from typing import Literal

import jax.numpy as jnp
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float

# Cells by which a target may lie before a cell through rounding of its box.
_ROUNDING = 1e-4


def response_labels(
    side: int,
    *,
    stride: float,
    radius_px: float,
    metric: Literal["l2", "l1"] = "l2",
) -> Float[Array, "u v"]:
    """Returns 1 within a radius of the map's centre and 0 elsewhere.

    The labels are the same for every pair. At SiamFC's radius of 2 cells both metrics
    mark the same 13 cells.

    Args:
      side: Cells of the square response map.
      stride: Search pixels per cell.
      radius_px: Radius in search pixels; a cell at exactly this distance is 1.
      metric: Distance: "l2" as in Bertinetto et al., "l1" as in siamfc-pytorch.

    Returns:
      float32 labels.

    Raises:
      InputError: If a number is not positive or the metric is unknown.

    Example:
      >>> response_labels(3, stride=8.0, radius_px=8.0).tolist()
      [[0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]
      >>> int(response_labels(17, stride=8.0, radius_px=16.0).sum())
      13

    References:
      Bertinetto et al., "Fully-convolutional Siamese networks", arXiv 1606.09549.
    """
    for name, value in (("side", side), ("stride", stride), ("radius_px", radius_px)):
        if value <= 0:
            raise InputError(f"{name}={value}: must be positive.")
    if metric not in ("l2", "l1"):
        raise InputError(f'metric={metric!r}: must be "l2" or "l1".')
    offset = stride * (np.arange(side) - (side - 1) / 2.0)
    rows, columns = np.abs(offset)[:, None], np.abs(offset)[None, :]
    distance = rows + columns if metric == "l1" else np.hypot(rows, columns)
    return jnp.asarray(distance <= radius_px, jnp.float32)


def target_labels(
    side: int,
    centres: Float[Array, "b 2"],
    *,
    stride: float,
    search_px: int,
    radius_px: float,
    rounding: Literal["nearest", "floor"] = "nearest",
) -> Float[Array, "b u v"]:
    """Returns 1 within a radius of the cell of each target, and 0 elsewhere.

    Cell i of a map lies at search_px / 2 + stride (i - (side - 1) / 2) pixels. The
    distance is that along rows and columns together (L1), in whole cells.

    Args:
      side: Cells of the square response map.
      centres: The targets' centres x, y, pixels of the search image.
      stride: Search pixels per cell.
      search_px: Side of the search image, pixels.
      radius_px: Radius in search pixels; a cell at exactly this distance is 1.
      rounding: Cell of a target between cells: the nearest, or the one to its upper
        left.

    Returns:
      float32 labels.

    Example:
      >>> centre = jnp.array([[17.0, 12.0]])
      >>> where = {"stride": 8.0, "search_px": 24, "radius_px": 0.0}
      >>> target_labels(3, centre, **where)[0, 1].tolist()
      [0.0, 0.0, 1.0]
      >>> target_labels(3, centre, **where, rounding="floor")[0, 1].tolist()
      [0.0, 1.0, 0.0]
    """
    offsets = (centres - 0.5 * search_px) / stride + 0.5 * (side - 1)
    cells = jnp.floor(offsets + (_ROUNDING if rounding == "floor" else 0.5))
    numbers = jnp.arange(side, dtype=cells.dtype)[None, None]
    distance = jnp.abs(numbers - cells[..., None])
    along, down = distance[:, 0, None, :], distance[:, 1, :, None]
    return jnp.asarray(stride * (down + along) <= radius_px, jnp.float32)
