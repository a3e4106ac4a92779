"""Parts of losses: each is a local sum, a local count and a weight.

A sum is divided only after the counts of all devices have been added up. So the loss
does not depend on the number of devices, whatever the mask is.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float, Scalar


class Part(NamedTuple):
    """A mean `weight * total / number`, with both sums taken over the global batch.

    Attributes:
      total: Sum of values over this device's share of the batch.
      number: Number of those values, which need not be whole.
      weight: Factor on the mean.
    """

    total: Scalar
    number: Scalar
    weight: Scalar | float = 1.0


class Parts(NamedTuple):
    """The contribution of a term to the loss of one student.

    Attributes:
      parts: Means that are added up; it is empty if the term adds nothing.
      logs: Further scalars by name, logged as NAME/STUDENT; they enter no loss. Their
        values are equal on all devices: sum what is not with `View.psum`.
    """

    parts: Sequence[Part]
    logs: Mapping[str, Scalar] = {}


def psum(tree: Any, axis_name: str | None) -> Any:
    """Returns the sum of a tree over a device axis, or the tree if there is no axis."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def divide(total: Scalar, count: Scalar) -> Scalar:
    """Returns `total / max(count, 1)`, so that a sum of nothing gives 0."""
    return total / jnp.maximum(count, 1.0)


def reduce_parts(parts: Sequence[Part], axis_name: str | None) -> Scalar:
    """Returns this device's share of the loss; the shares of all devices add up to it.

    Counts are summed over devices, sums are not: gradients of the shares are added up
    later.

    Args:
      parts: Parts of the loss; at least one.
      axis_name: Device axis over which the batch is split, or None.
    """
    return own_share(parts, functools.partial(psum, axis_name=axis_name))


def own_share(parts: Sequence[Part], everywhere: Callable[[Any], Any]) -> Scalar:
    """Returns what `reduce_parts` does, with a function that sums over all devices."""
    numbers = everywhere(jnp.stack([part.number for part in parts]))
    shares = [
        part.weight * divide(part.total, numbers[i]) for i, part in enumerate(parts)
    ]
    return jnp.sum(jnp.stack(shares))


def scaled(parts: Sequence[Part], factor: Any) -> list[Part]:
    """Returns the parts with their weights multiplied by `factor`."""
    return [part._replace(weight=part.weight * factor) for part in parts]


def mean_over_examples(values: Float[Array, " b"], mask: Float[Array, " b"]) -> Part:
    """Returns the mean of one value per example; `mask` is 0 where padded."""
    return Part(jnp.sum(values * mask), jnp.sum(mask))


def agreed_mean(
    values: Float[Array, " b"],
    mask: Float[Array, " b"],
    everywhere: Callable[[Any], Any],
) -> Scalar:
    """Returns the mean over the examples of all devices, without gradient, for a log.

    Args:
      values: One value per example.
      mask: 1 for examples that count, 0 for padding.
      everywhere: Function that sums over all devices.
    """
    sums = jax.lax.stop_gradient((jnp.sum(values * mask), jnp.sum(mask)))
    return divide(*everywhere(sums))


def mean_over_all(values: Float[Array, "b *cells"], mask: Float[Array, " b"]) -> Part:
    """Returns the mean over all cells of all examples; `mask` is 0 where padded."""
    keep = mask.reshape(-1, *[1] * (values.ndim - 1))
    keep = jnp.broadcast_to(keep, values.shape)
    return Part(jnp.sum(values * keep), jnp.sum(keep))


def weighed(
    values: Float[Array, "b *cells"], weights: Float[Array, " b"]
) -> Float[Array, "b *cells"]:
    """Returns the values of every example times the example's weight."""
    return values * weights.reshape(-1, *[1] * (values.ndim - 1))


def mean_of_sums(values: Float[Array, "b *cells"], mask: Float[Array, " b"]) -> Part:
    """Returns the mean over examples of the sums over their cells."""
    return mean_over_examples(jnp.sum(values, axis=tuple(range(1, values.ndim))), mask)
