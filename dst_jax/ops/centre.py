"""Boxes of a centre head: each cell has a score, and says where its box is.

Boxes are (cx, cy, w, h) in [0, 1] of the search image. Cell (row, column) of a map of
f x f cells starts at (column, row) / f of the image, and its offsets count from there.
"""

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Bool, Float

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
