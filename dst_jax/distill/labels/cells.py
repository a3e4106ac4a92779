"""Labels response cells (SiamFC) by whether they are near the target's centre."""

from typing import NamedTuple

import jax.numpy as jnp

from dst_jax.typing import Array, Float


class CellLabels(NamedTuple):
    """Labels of the response cells of a batch, [b, u, v] each, 0 or 1.

    Attributes:
      labels: 1 near the target's centre, 0 elsewhere, whatever the mask is.
      positive: 1 where the label is 1 and the example counts.
      negative: 1 where the label is 0 and the example counts.
      mask: 1 for examples that count, 0 for padding, [b].
    """

    labels: Float[Array, "b u v"]
    positive: Float[Array, "b u v"]
    negative: Float[Array, "b u v"]
    mask: Float[Array, " b"]


def cell_labels(
    grid: Float[Array, "*b u v"],
    mask: Float[Array, " b"],
    is_negative: Float[Array, " b"],
) -> CellLabels:
    """Returns the labels of a batch, which are `grid` for pairs with a target, else 0.

    Args:
      grid: 1 near the target, 0 elsewhere; one for all pairs, or one for each.
      mask: 1 for examples that count, 0 for padding.
      is_negative: 1 where the search image does not show the template's target.
    """
    present = (1.0 - is_negative)[:, None, None]
    labels = jnp.broadcast_to(grid, (len(mask), *grid.shape[-2:])) * present
    keep = mask[:, None, None]
    return CellLabels(labels, labels * keep, (1.0 - labels) * keep, mask)
