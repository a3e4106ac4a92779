"""Ground-truth labels on the response grid."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float

Peak: TypeAlias = Literal["inside", "public"]


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


def gaussian_radius(
    sides: Float[Array, "*b 2"], *, overlap: float = 0.7
) -> Float[Array, "*b"]:
    r"""Returns how far a box's centre may be off, as public centre heads compute it.

    It is the smallest of three roots, for a box inside, outside and beside the true one
    that still overlaps it by t:

    .. math:: r = \min_k \frac{b_k + \sqrt{b_k^2 - 4 a_k c_k}}{2}, \quad
              (a, b, c) = (1, s, \tfrac{1 - t}{1 + t} p), \; (4, 2 s, (1 - t) p), \;
              (4 t, -2 t s, (t - 1) p)

    with s = w + h and p = w h. The formula of CornerNet divides by 2 a_k; public code
    divides by 2, which is what networks are trained with.

    Args:
      sides: Width and height of boxes, in any unit.
      overlap: t, the intersection over union that is left.

    Example:
      >>> gaussian_radius(jnp.array([[10.0, 10.0], [4.0, 8.0]])).round(3).tolist()
      [2.733..., 1.471...]

    References:
      Law and Deng, "CornerNet", ECCV 2018.
    """
    both = jnp.sum(sides, axis=-1)
    area = sides[..., 0] * sides[..., 1]
    roots = []
    for a, b, c in (
        (1.0, 1.0, (1.0 - overlap) / (1.0 + overlap)),
        (4.0, 2.0, 1.0 - overlap),
        (4.0 * overlap, -2.0 * overlap, overlap - 1.0),
    ):
        discriminant = jnp.square(b * both) - 4.0 * a * c * area
        roots.append(0.5 * (b * both + jnp.sqrt(discriminant)))
    return jnp.minimum(jnp.minimum(roots[0], roots[1]), roots[2])


def centre_maps(
    boxes: Float[Array, "b 4"], side: int, *, peak: Peak = "inside"
) -> Float[Array, "b {side} {side}"]:
    r"""Returns a Gaussian around the cell of each box's centre, 1 in that cell.

    .. math:: y = \exp\Big(-\frac{d_x^2 + d_y^2}{2 \sigma^2}\Big), \quad
              \sigma = \frac{2 r + 1}{6}

    d counts cells from the centre's, which is rounded, halves to even; r is
    `gaussian_radius` in cells, rounded down; beyond r in either axis y is 0.

    Args:
      boxes: (cx, cy, w, h) in [0, 1] of the search image, with a positive area.
      side: Cells of the square map.
      peak: What becomes of a centre in the last half cell, which is rounded off the
        map: the last cell has it ("inside"), or the map has no 1 ("public").

    Raises:
      InputError: If `peak` is unknown.

    Example:
      >>> centre_maps(jnp.array([[0.5, 0.3, 0.1, 0.1]]), 4)[0].round(1).tolist()
      [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, ..., 0.0], [0.0, ..., 0.0]]
    """
    if peak not in ("inside", "public"):
        raise InputError(f'peak={peak!r}: must be "inside" or "public".')
    cells = boxes * side
    centre = jnp.round(cells[:, :2])
    if peak == "inside":
        centre = jnp.clip(centre, 0.0, side - 1.0)
    radius = jnp.floor(gaussian_radius(cells[:, 2:]))[:, None]
    sigma = (2.0 * radius + 1.0) / 6.0
    away = jnp.arange(side, dtype=cells.dtype)[None, :, None] - centre[:, None]
    # The Gaussian of two axes is a product of one for each.
    lines = jnp.exp(-0.5 * jnp.square(away / sigma[..., None]))
    lines = jnp.where(jnp.abs(away) <= radius[..., None], lines, 0.0)
    return lines[:, :, None, 1] * lines[:, None, :, 0]
