"""Labels the cells of a centre head (OSTrack) and gives the box that it should find."""

from typing import NamedTuple

import jax.numpy as jnp

from dst_jax.boxes import cxcywh_to_xyxy
from dst_jax.ops.centre import Peak, centre_maps
from dst_jax.ops.examples import Examples
from dst_jax.typing import Array, Float


class CentreLabels(NamedTuple):
    """Labels of the cells of a batch.

    Attributes:
      heat: 1 in the cell of the target's centre and less around it, whatever the mask
        is; 0 everywhere where the target is not shown.
      box: What the search image holds of the target's box, (cx, cy, w, h) in [0, 1] of
        the image.
      shown: 1 where the example counts and shows the target.
      mask: 1 for examples that count, 0 for padding, [b].
    """

    heat: Float[Array, "b u v"]
    box: Float[Array, "b 4"]
    shown: Float[Array, " b"]
    mask: Float[Array, " b"]


def centre_labels(
    examples: Examples, side: int, *, peak: Peak = "inside"
) -> CentreLabels:
    """Returns the labels of a batch on a network's own grid.

    Args:
      examples: The batch as the network sees it, whose boxes are in pixels of its
        search image.
      side: Cells of the head's square map, which covers the search image.
      peak: What becomes of a centre that is rounded off the map, see
        `ops.centre.centre_maps`.
    """
    box = examples.search_box / float(examples.input.train_search_px)
    present = 1.0 - examples.is_negative
    heat = centre_maps(box, side, peak=peak) * present[:, None, None]
    return CentreLabels(heat, _within(box), examples.mask * present, examples.mask)


def _within(boxes: Float[Array, "b 4"]) -> Float[Array, "b 4"]:
    """Returns the part of boxes that lies in the image, [0, 1] in both axes."""
    corners = jnp.clip(cxcywh_to_xyxy(boxes), 0.0, 1.0)
    low, high = corners[:, :2], corners[:, 2:]
    return jnp.concatenate([0.5 * (low + high), high - low], axis=-1)
