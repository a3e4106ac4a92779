"""The terms of a correlation head (SiamFC): one logit for each response cell."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.terms import Family, Term, per_example
from dst_jax.distill.weights import DistillConfig
from dst_jax.models import Output
from dst_jax.ops.examples import Examples
from dst_jax.ops.labels import response_labels
from dst_jax.typing import Array, Float


class Cells(NamedTuple):
    """Which response cells count, [b, u, v] each, 0 or 1 (0 where masked out)."""

    labels: Float[Array, "b u v"]
    positive: Float[Array, "b u v"]
    negative: Float[Array, "b u v"]
    mask: Float[Array, " b"]


def cell_family(spec: TrackerSpec, config: DistillConfig) -> Family:
    """The losses of SiamFC; AH is its plain loss, and no box enters.

    Args:
      spec: Any of the networks; all answer on the same grid.
      config: Options of the terms.
    """
    grid = response_labels(
        spec.response_side(spec.input.train_search_px),
        stride=float(spec.backbone.total_stride),
        radius_px=config.label_radius_px,
    )

    def targets(examples: Examples, key: Array) -> Cells:
        del key  # every cell counts
        dtype = examples.mask.dtype
        return cells_of(jnp.asarray(grid, dtype), examples.mask, examples.is_negative)

    def hard(student: Output, teacher: Any, cells: Cells, weight: Any) -> list[Term]:
        del teacher  # nothing of a boxless loss is bounded by the teacher's
        return task_terms(student, cells, weight)

    return Family(
        targets=targets,
        task=task_terms,
        hard=hard,
        soft=lambda s, t, cells, weight: soft_terms(s, t, cells, config, weight),
        sharing=lambda s, p, cells, weight: sharing_terms(s, p, cells, config, weight),
    )


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


def balanced(values: Float[Array, "b u v"], cells: Cells, weight: Any) -> list[Term]:
    """Positive and negative cells with half the weight each, means of their own."""
    return [
        Term(0.5 * weight, jnp.sum(values * part), jnp.sum(part))
        for part in (cells.positive, cells.negative)
    ]


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
    """TS, eq. 9: the divergence of the responses."""
    knobs: dict[str, Any] = {
        "temperature": config.temperature,
        "direction": config.soft_kl,
    }
    if config.soft_form == "map":
        values = losses.spatial_kl(student.response, teacher.response, **knobs)
        return per_example(values, cells.mask, weight)
    values = losses.bernoulli_kl(student.response, teacher.response, **knobs)
    return balanced(values, cells, weight)


def sharing_terms(
    learner: Output, peer: Output, cells: Cells, config: DistillConfig, weight: Any
) -> list[Term]:
    """KS(learner || peer), eq. 17."""
    values = losses.knowledge_sharing(
        learner.response,
        peer.response,
        temperature=config.temperature,
        stop_peer=config.stop_peer,
    )
    if config.sharing_reduction == "sum":
        return per_example(jnp.sum(values, axis=(-2, -1)), cells.mask, weight)
    return per_cell(values, cells, weight)
