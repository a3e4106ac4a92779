"""The terms of the objective, each as a weight, a local sum and a local count.

Sums become losses only after the counts have been added up over all devices, so one
device and many give the same loss, under any mask.
"""

from collections.abc import Sequence
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


class Cells(NamedTuple):
    """Which response cells count, [b, u, v] each, 0 or 1 (0 where masked out)."""

    labels: Float[Array, "b u v"]
    positive: Float[Array, "b u v"]
    negative: Float[Array, "b u v"]
    mask: Float[Array, " b"]


def cells_of(
    grid: Float[Array, "u v"],
    mask: Float[Array, " b"],
    is_negative: Float[Array, " b"],
) -> Cells:
    """Labels of a batch: `grid` for pairs with a target, 0 everywhere for others."""
    present = (1.0 - is_negative)[:, None, None]
    labels = grid[None] * present
    keep = mask[:, None, None]
    return Cells(labels, labels * keep, (1.0 - labels) * keep, mask)


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


def balanced(values: Float[Array, "b u v"], cells: Cells, weight: Any) -> list[Term]:
    """Positive and negative cells with half the weight each, means of their own."""
    return [
        Term(0.5 * weight, jnp.sum(values * part), jnp.sum(part))
        for part in (cells.positive, cells.negative)
    ]


def per_example(values: Float[Array, " b"], cells: Cells, weight: Any) -> list[Term]:
    """A mean over examples."""
    return [Term(weight, jnp.sum(values * cells.mask), jnp.sum(cells.mask))]


def per_cell(values: Float[Array, "b u v"], cells: Cells, weight: Any) -> list[Term]:
    """A plain mean over all cells of all examples."""
    keep = jnp.broadcast_to(cells.mask[:, None, None], values.shape)
    return [Term(weight, jnp.sum(values * keep), jnp.sum(keep))]


def task_terms(output: Output, cells: Cells, weight: Any) -> list[Term]:
    """The tracker's own loss on the labels: eq. 2, balanced."""
    return balanced(losses.logistic(output.response, cells.labels), cells, weight)


def soft_terms(
    student: Output, teacher: Output, cells: Cells, config: DistillConfig, weight: Any
) -> list[Term]:
    """TS, eq. 9, for SiamFC: the divergence of the responses."""
    knobs: dict[str, Any] = {
        "temperature": config.temperature,
        "direction": config.soft_kl,
    }
    if config.soft_form == "map":
        values = losses.spatial_kl(student.response, teacher.response, **knobs)
        return per_example(values, cells, weight)
    values = losses.bernoulli_kl(student.response, teacher.response, **knobs)
    return balanced(values, cells, weight)


def response_terms(
    student: Output, teacher: Output, cells: Cells, config: DistillConfig, weight: Any
) -> list[Term]:
    """STR, eq. 13-15: activation maps of both images, over the layers tau."""
    knobs: dict[str, Any] = {
        "norm": config.response_norm,
        "reduction": config.response_reduction,
    }
    values = jnp.zeros_like(cells.mask)
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
    return per_example(values, cells, weight)


def sharing_terms(
    learner: Output, peer: Output, cells: Cells, config: DistillConfig, weight: Any
) -> list[Term]:
    """KS(learner || peer), eq. 17, for SiamFC."""
    values = losses.knowledge_sharing(
        learner.response,
        peer.response,
        temperature=config.temperature,
        stop_peer=config.stop_peer,
    )
    if config.sharing_reduction == "sum":
        return per_example(jnp.sum(values, axis=(-2, -1)), cells, weight)
    return per_cell(values, cells, weight)


def stage_names(layers: Sequence[int]) -> tuple[str, ...]:
    """Names of the stages that STR compares."""
    return tuple(f"conv{layer}" for layer in layers)
