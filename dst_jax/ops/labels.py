"""Ground-truth labels on the response grid."""

from typing import Literal

import jax.numpy as jnp
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float


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
