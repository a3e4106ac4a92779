"""Losses on their way to a mean: a local sum, a local count, and a weight.

Sums become losses only after the counts have been added up over all devices, so one
device and many give the same loss, under any mask.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float, Scalar


class Part(NamedTuple):
    """weight * total / number, once `number` is known for the global batch.

    Attributes:
      total: Sum over this device's share of the batch.
      number: How many values that sum has; need not be whole.
      weight: Factor on the mean.
    """

    total: Scalar
    number: Scalar
    weight: Scalar | float = 1.0


class Parts(NamedTuple):
    """What a term adds to the loss of one student.

    Attributes:
      parts: Means that are added up; none where the term has nothing to say.
      logs: Further scalars by name, logged as NAME/STUDENT; they enter no loss. Their
        values are equal on all devices: sum what is not with `View.psum`.
    """

    parts: Sequence[Part]
    logs: Mapping[str, Scalar] = {}


def psum(tree: Any, axis_name: str | None) -> Any:
    """Returns `lax.psum`, or the tree itself where there is no device axis."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def divide(total: Scalar, count: Scalar) -> Scalar:
    """Returns `total / count`; 0 where nothing was counted."""
    return total / jnp.maximum(count, 1.0)


def reduce_parts(parts: Sequence[Part], axis_name: str | None) -> Scalar:
    """Returns the local share of some parts; shares of all devices add up to the loss.

    Counts are summed over devices before anything is differentiated.
    """
    numbers = psum(jnp.stack([part.number for part in parts]), axis_name)
    shares = [
        part.weight * divide(part.total, numbers[i]) for i, part in enumerate(parts)
    ]
    return jnp.sum(jnp.stack(shares))


def scaled(parts: Sequence[Part], factor: Any) -> list[Part]:
    """Returns the parts with their weights times `factor`."""
    return [part._replace(weight=part.weight * factor) for part in parts]


def mean_over_examples(values: Float[Array, " b"], mask: Float[Array, " b"]) -> Part:
    """Returns the mean of one value per example; `mask` is 0 where padded."""
    return Part(jnp.sum(values * mask), jnp.sum(mask))


def mean_over_all(values: Float[Array, "b *cells"], mask: Float[Array, " b"]) -> Part:
    """Returns the plain mean over all cells of all examples."""
    keep = mask.reshape(-1, *[1] * (values.ndim - 1))
    keep = jnp.broadcast_to(keep, values.shape)
    return Part(jnp.sum(values * keep), jnp.sum(keep))


def mean_of_sums(values: Float[Array, "b *cells"], mask: Float[Array, " b"]) -> Part:
    """Returns the mean over examples of each example's sum over its cells."""
    return mean_over_examples(jnp.sum(values, axis=tuple(range(1, values.ndim))), mask)
