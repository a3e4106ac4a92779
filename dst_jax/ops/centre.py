"""Boxes and labels of a centre head: each cell has a score, and says where its box is.

Boxes are (cx, cy, w, h) in [0, 1] of the search image. Cell (row, column) of a map of
f x f cells starts at (column, row) / f of the image, and its offsets count from there.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Bool, Float

Peak: TypeAlias = Literal["inside", "public"]

# Scores and sizes stay this far from 0 and from 1.
_FLOOR = 1e-4


def clamped_sigmoid(logits: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Returns the sigmoid, kept within 1e-4 and .9999, where its gradient ends.

    Example:
      >>> clamped_sigmoid(jnp.array([-20.0, 0.0, 20.0])).round(4).tolist()
      [9.99...e-05, 0.5, 0.9998...]
    """
    return jnp.clip(jax.nn.sigmoid(logits), _FLOOR, 1.0 - _FLOOR)


def best_boxes(
    response: Float[Array, "b u u"], offsets: Float[Array, "b u u 4"]
) -> Float[Array, "b 4"]:
    r"""Returns the box of the cell of the highest score, one per example.

    .. math:: \Big(\frac{i_x + o_x}{f}, \frac{i_y + o_y}{f}, w, h\Big)

    The gradient reaches the offsets of that cell alone, and no score.

    Args:
      response: Scores or their logits. Of equal ones the first counts, row by row.
      offsets: o_x, o_y in cells and w, h in shares of the image, of every cell.

    Example:
      >>> response = jnp.zeros((1, 4, 4)).at[0, 1, 2].set(1.0)
      >>> offsets = jnp.tile(jnp.array([0.5, 0.0, 0.25, 0.125]), (1, 4, 4, 1))
      >>> best_boxes(response, offsets).tolist()
      [[0.625, 0.25, 0.25, 0.125]]
    """
    batch, side = response.shape[:2]
    best = jnp.argmax(response.reshape(batch, -1), axis=-1)
    every = offsets.reshape(batch, -1, 4)
    own = jnp.take_along_axis(every, best[:, None, None], axis=1)[:, 0]
    cell = jnp.stack([best % side, best // side], axis=-1).astype(own.dtype)
    return jnp.concatenate([(cell + own[:, :2]) / side, own[:, 2:]], axis=-1)


def cells_in_boxes(
    boxes: Float[Array, "b 4"], sides: tuple[int, int]
) -> Bool[Array, "b u v"]:
    """Returns which cells of a map have their middle within the box.

    Args:
      boxes: One box per example.
      sides: Rows and columns of the map.

    Example:
      >>> cells_in_boxes(jnp.array([[0.5, 0.5, 1.0, 0.25]]), (4, 2)).tolist()
      [[[False, False], [True, True], [True, True], [False, False]]]
    """
    rows, columns = (
        (jnp.arange(side, dtype=boxes.dtype) + 0.5) / side for side in sides
    )
    beside = jnp.abs(columns[None] - boxes[:, :1]) <= 0.5 * boxes[:, 2:3]
    level = jnp.abs(rows[None] - boxes[:, 1:2]) <= 0.5 * boxes[:, 3:]
    return level[:, :, None] & beside[:, None, :]


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
