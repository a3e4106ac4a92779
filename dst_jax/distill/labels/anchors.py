"""Labels of anchors (SiamRPN): target, background or neither, and the target's box."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.ops.anchors import AssignConfig, assign
from dst_jax.ops.examples import Examples
from dst_jax.typing import Array, Float, Int, Scalar


class AnchorLabels(NamedTuple):
    """What every anchor of a batch learns, [b, u, v, k].

    Attributes:
      labels: 1 target, 0 background, -1 ignored or masked out.
      deltas: The encoded box of the target, [b, u, v, k, 4].
      weights: 1 / (positives of the pair) at each positive, 0 elsewhere.
      mask: Which examples count, [b].
    """

    labels: Int[Array, "b u v k"]
    deltas: Float[Array, "b u v k 4"]
    weights: Float[Array, "b u v k"]
    mask: Float[Array, " b"]

    @property
    def pairs(self) -> Scalar:
        """Number of pairs that regress at all."""
        some = jnp.any(self.weights > 0.0, axis=(-3, -2, -1))
        return jnp.sum(some.astype(self.mask.dtype))


def anchor_labels(
    key: Array,
    grid: Float[Array, "u v k 4"],
    examples: Examples,
    *,
    config: AssignConfig,
) -> AnchorLabels:
    """Returns the labels of a batch; what an example draws depends on its number.

    Args:
      key: Randomness of the anchors that are kept.
      grid: The anchors, in pixels of the search image.
      examples: The batch, whose boxes are in the same pixels.
      config: Which anchors are positive or negative.
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
