"""Losses of a centre head (OSTrack): 2 GIoU + 5 L1 + focal.

Boxes are (cx, cy, w, h), in [0, 1] of the search image. Public code takes the box of
the cell that the network itself scores highest, `ops.centre.best_boxes`, so that the
losses of boxes reach one cell per example; the truth is `ops.centre.centre_maps` and
the box that is left of it within the image.
"""

import jax
import jax.numpy as jnp

from dst_jax.boxes import cxcywh_to_xyxy
from dst_jax.losses.regression import l1
from dst_jax.ops.centre import clamped_sigmoid
from dst_jax.typing import Array, Float


def focal(
    response: Float[Array, "*b u v"], labels: Float[Array, "*b u v"]
) -> Float[Array, "*b u v"]:
    r"""Returns the penalty-reduced focal loss of every cell.

    .. math:: \ell = \begin{cases} -(1 - p)^2 \log p & y = 1 \\
              -(1 - y)^4 \, p^2 \log(1 - p) & y < 1 \end{cases}, \quad
              p = \min(\max(\sigma(S), 10^{-4}), 1 - 10^{-4})

    Args:
      response: Raw scores S, before any sigmoid.
      labels: y, 1 in the cell of the target's centre and less around it.

    Returns:
      One value per cell. Public code divides their sum by the number of cells with
      y = 1 in the whole batch, and does not divide where there is none.

    Example:
      >>> focal(jnp.zeros((1, 3)), jnp.array([[1.0, 0.5, 0.0]])).round(4).tolist()
      [[0.1732..., 0.0107..., 0.1732...]]

    References:
      Law and Deng, "CornerNet", ECCV 2018, with alpha = 2 and beta = 4; Ye et al.,
      "Joint feature learning and relation modeling for tracking", ECCV 2022 (OSTrack).
    """
    p = clamped_sigmoid(response)
    y = jax.lax.stop_gradient(labels).astype(p.dtype)
    at_centre = -jnp.square(1.0 - p) * jnp.log(p)
    elsewhere = -((1.0 - y) ** 4) * jnp.square(p) * jnp.log1p(-p)
    return jnp.where(y == 1.0, at_centre, elsewhere)


def giou(
    predicted: Float[Array, "*b 4"], target: Float[Array, "*b 4"]
) -> Float[Array, "*b"]:
    r"""Returns the loss of the generalised intersection over union.

    .. math:: L = 1 - \Big( \frac{I}{U} - \frac{C - U}{C} \Big)

    I is the area that both boxes share, U that of their union, and C that of the
    smallest box around both, so that boxes apart still attract each other. No gradient
    reaches the target. A NaN in a box gives NaN, which ends a run, where public code
    counts such a batch as 0.

    Args:
      predicted: The boxes that are learnt.
      target: The boxes of the ground truth.

    Returns:
      One value per box, from 0 to below 2.

    Example:
      >>> boxes = jnp.array([[0.5, 0.5, 0.5, 0.5], [0.25, 0.5, 0.5, 1.0]])
      >>> giou(boxes, jnp.array([[0.5, 0.5, 0.5, 0.5], [0.75, 0.5, 0.5, 1.0]])).tolist()
      [0.0, 1.0]

    References:
      Rezatofighi et al., "Generalized intersection over union", CVPR 2019.
    """
    ours = cxcywh_to_xyxy(predicted)
    theirs = cxcywh_to_xyxy(jax.lax.stop_gradient(target))
    inner = _area(
        jnp.maximum(ours[..., :2], theirs[..., :2]),
        jnp.minimum(ours[..., 2:], theirs[..., 2:]),
    )
    outer = _area(
        jnp.minimum(ours[..., :2], theirs[..., :2]),
        jnp.maximum(ours[..., 2:], theirs[..., 2:]),
    )
    both = sum(_area(box[..., :2], box[..., 2:]) for box in (ours, theirs))
    union = both - inner
    return 1.0 - _share(inner, union) + _share(outer - union, outer)


def corner_l1(
    predicted: Float[Array, "*b 4"], target: Float[Array, "*b 4"]
) -> Float[Array, "*b"]:
    """Returns the mean absolute difference of the boxes' corners (x0, y0, x1, y1).

    No gradient reaches the target, and none passes where a corner agrees.

    Args:
      predicted: The boxes that are learnt, (cx, cy, w, h).
      target: The boxes of the ground truth.

    Returns:
      One value per box, at least 0.

    Example:
      >>> box = jnp.array([0.5, 0.5, 0.5, 0.5])
      >>> corner_l1(box, box + jnp.array([0.25, 0.0, 0.5, 0.0])).item()
      0.125
    """
    return 0.25 * l1(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(target))


def _area(low: Array, high: Array) -> Array:
    """Returns the area between two corners, 0 where they are the wrong way round."""
    sides = jnp.maximum(high - low, 0.0)
    return sides[..., 0] * sides[..., 1]


def _share(part: Array, whole: Array) -> Array:
    """Returns part / whole, 0 where there is no whole; a NaN stays one."""
    empty = whole <= 0.0
    return jnp.where(empty, 0.0, part / jnp.where(empty, 1.0, whole))
