"""The loss of a centre head on its labels: OSTrack's 2 GIoU + 5 L1 + focal."""

import jax
import jax.numpy as jnp

from dst_jax import losses
from dst_jax.distill.labels.centre import CentreLabels
from dst_jax.distill.parts import Part, mean_over_examples, scaled
from dst_jax.ops.centre import best_boxes
from dst_jax.typing import Array, Float


def detection_parts(
    response: Float[Array, "b u u"],
    offsets: Float[Array, "b u u 4"],
    labels: CentreLabels,
    *,
    giou_weight: float = 2.0,
    corner_weight: float = 5.0,
) -> list[Part]:
    """Returns the parts of the loss: focal, GIoU and L1.

    Boxes are those of the cells that the network scores highest, averaged over the
    examples that show the target.

    Args:
      response: Scores before the sigmoid.
      offsets: o_x, o_y in cells and w, h in shares of the search image, of every cell.
      labels: Labels on the same grid.
      giou_weight: Factor on the overlap loss of boxes.
      corner_weight: Factor on the distance of boxes' corners.
    """
    found = best_boxes(response, offsets)
    overlap = mean_over_examples(losses.giou(found, labels.box), labels.shown)
    corners = mean_over_examples(losses.corner_l1(found, labels.box), labels.shown)
    return [
        focal_part(response, labels),
        *scaled([overlap], giou_weight),
        *scaled([corners], corner_weight),
    ]


def focal_part(response: Float[Array, "b u u"], labels: CentreLabels) -> Part:
    """Returns the part of the scores.

    The focal loss of all cells is divided by the number of cells that hold a centre in
    the batch of all devices, and by 1 where there is none.

    Args:
      response: Scores before the sigmoid.
      labels: Labels on the same grid.
    """
    keep = labels.mask[:, None, None]
    centres = (labels.heat == 1.0).astype(keep.dtype) * keep
    return Part(jnp.sum(losses.focal(response, labels.heat) * keep), jnp.sum(centres))


def box_distance(
    found: Float[Array, "b 4"],
    target: Float[Array, "b 4"],
    *,
    giou_weight: float = 2.0,
    corner_weight: float = 5.0,
    both: bool = False,
) -> Float[Array, " b"]:
    """Returns the weighted sum of both losses of boxes, one value per example.

    Args:
      found: The boxes that are learnt, (cx, cy, w, h) in [0, 1] of the search image.
      target: The boxes that they should be.
      giou_weight: Factor on the overlap loss of boxes.
      corner_weight: Factor on the distance of boxes' corners.
      both: Whether the target is drawn towards the boxes too.
    """

    def distance(one: Array, other: Array) -> Array:
        corners = losses.corner_l1(one, other)
        return giou_weight * losses.giou(one, other) + corner_weight * corners

    value = distance(found, target)
    if not both:
        return value
    # Both losses are symmetric, and no gradient reaches their second argument.
    mirrored = distance(target, found)
    return value + mirrored - jax.lax.stop_gradient(mirrored)
