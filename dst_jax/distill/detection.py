"""The loss of a centre head on its labels: OSTrack's 2 GIoU + 5 L1 + focal."""

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

    The focal loss of all cells is divided by the number of cells that hold a centre in
    the batch of all devices, and by 1 where there is none. Boxes are those of the cells
    that the network scores highest, averaged over the examples that show the target.

    Args:
      response: Scores before the sigmoid.
      offsets: o_x, o_y in cells and w, h in shares of the search image, of every cell.
      labels: Labels on the same grid.
      giou_weight: Factor on the overlap loss of boxes.
      corner_weight: Factor on the distance of boxes' corners.
    """
    keep = labels.mask[:, None, None]
    values = losses.focal(response, labels.heat)
    centres = (labels.heat == 1.0).astype(keep.dtype) * keep
    found = best_boxes(response, offsets)
    overlap = mean_over_examples(losses.giou(found, labels.box), labels.shown)
    corners = mean_over_examples(losses.corner_l1(found, labels.box), labels.shown)
    return [
        Part(jnp.sum(values * keep), jnp.sum(centres)),
        *scaled([overlap], giou_weight),
        *scaled([corners], corner_weight),
    ]
