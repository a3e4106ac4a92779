"""Labels anchors (SiamRPN) as target, background or neither, with the target's box."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.ops.anchors import AssignConfig, assign
from dst_jax.ops.examples import Examples
from dst_jax.typing import Array, Float, Int, Scalar


class AnchorLabels(NamedTuple):
    """Labels of every anchor of a batch, [b, u, v, k].

    Attributes:
      labels: 1 for target, 0 for background, -1 for ignored or masked out.
      deltas: The target's box, encoded for each anchor, [b, u, v, k, 4].
      weights: 1 / (number of the pair's positives) at each positive, 0 elsewhere.
      mask: 1 for examples that count, 0 for padding, [b].
    """

    labels: Int[Array, "b u v k"]
    deltas: Float[Array, "b u v k 4"]
    weights: Float[Array, "b u v k"]
    mask: Float[Array, " b"]

    @property
    def pairs(self) -> Scalar:
        """Returns the number of pairs that have a positive anchor."""
        some = jnp.any(self.weights > 0.0, axis=(-3, -2, -1))
        return jnp.sum(some.astype(self.mask.dtype))


def anchor_labels(
    key: Array,
    grid: Float[Array, "u v k 4"],
    examples: Examples,
    *,
    config: AssignConfig,
) -> AnchorLabels:
    """Returns the labels of a batch.

    The random choice for an example depends on its number, not on its place in the
    batch.

    Args:
      key: Randomness of the anchors that are kept.
      grid: The anchors, in pixels of the search image.
      examples: The batch, whose boxes are in the same pixels.
      config: Rules for positive and negative anchors.
    """
    box = examples.search_box
    grid = grid.astype(box.dtype)
    found = jax.vmap(
        lambda index, one, negative: assign(
            jax.random.fold_in(key, index),
            grid,
            one,
            is_negative=negative,
            config=config,
        )
    )(examples.number, box, examples.is_negative)
    keep = examples.mask[:, None, None, None]
    return AnchorLabels(
        labels=jnp.where(keep > 0.0, found.label, -1),
        deltas=found.delta,
        weights=found.weight * keep,
        mask=examples.mask,
    )
