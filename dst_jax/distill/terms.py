"""The terms of the objective, each as a weight, a local sum and a local count.

Sums become losses only after the counts have been added up over all devices, so one
device and many give the same loss, under any mask.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dst_jax import losses
from dst_jax.distill.weights import DistillConfig
from dst_jax.models import Output
from dst_jax.typing import Array, Float, Scalar


class Term(NamedTuple):
    """weight * total / number, once `number` is known for the global batch."""

    weight: Scalar | float
    total: Scalar
    number: Scalar


class Family(NamedTuple):
    """What the head of a tracker decides of the objective.

    Attributes:
      targets: (examples, key) -> what the labels say; it has a `mask` [b].
      task: (output, targets, weight) -> L^GT, the tracker's own loss (eq. 2, 5).
      hard: (student, teacher, targets, weight) -> AH, eq. 10 and 11.
      soft: (student, teacher, targets, weight) -> TS, eq. 9.
      sharing: (learner, peer, targets, weight) -> KS(learner || peer), eq. 17-19.
    """

    targets: Callable[..., Any]
    task: Callable[..., list[Term]]
    hard: Callable[..., list[Term]]
    soft: Callable[..., list[Term]]
    sharing: Callable[..., list[Term]]


def psum(tree: Any, axis_name: str | None) -> Any:
    """`lax.psum`, or the identity where there is no device axis."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def divide(total: Scalar, count: Scalar) -> Scalar:
    """`total / count`; 0 where nothing was counted."""
    return total / jnp.maximum(count, 1.0)


def reduce_terms(group: Sequence[Term], axis_name: str | None) -> Scalar:
    """The local share of a group of terms; shares of all devices add up to its loss.

    Counts are summed over devices before anything is differentiated.
    """
    numbers = psum(jnp.stack([term.number for term in group]), axis_name)
    shares = [
        term.weight * divide(term.total, numbers[i]) for i, term in enumerate(group)
    ]
    return jnp.sum(jnp.stack(shares))


def per_example(
    values: Float[Array, " b"], mask: Float[Array, " b"], weight: Any
) -> list[Term]:
    """A mean over examples."""
    return [Term(weight, jnp.sum(values * mask), jnp.sum(mask))]


def response_terms(
    student: Output,
    teacher: Output,
    mask: Float[Array, " b"],
    config: DistillConfig,
    weight: Any,
) -> list[Term]:
    """STR, eq. 13-15: activation maps of both images, over the layers tau."""
    knobs: dict[str, Any] = {
        "norm": config.response_norm,
        "reduction": config.response_reduction,
    }
    values = jnp.zeros_like(mask)
    for stage in stage_names(config.response_layers):
        values += losses.template_response_loss(
            student.template[stage], teacher.template[stage], **knobs
        )
        values += losses.search_response_loss(
            student.search[stage],
            student.template[stage],
            teacher.search[stage],
            teacher.template[stage],
            weighted=config.response_weighted,
            stop_weight=config.response_stop_weight,
            **knobs,
        )
    return per_example(values, mask, weight)


def stage_names(layers: Sequence[int]) -> tuple[str, ...]:
    """Names of the stages that STR compares."""
    return tuple(f"conv{layer}" for layer in layers)
