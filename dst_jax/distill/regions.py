"""The terms of a region head (SiamRPN): two logits and four offsets per anchor."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.terms import Family, Term, divide, per_example, psum
from dst_jax.distill.weights import DistillConfig
from dst_jax.models import Output
from dst_jax.ops.anchors import assign, head_anchors
from dst_jax.ops.examples import Examples
from dst_jax.typing import Array, Float, Int


class Anchors(NamedTuple):
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


def region_family(
    spec: TrackerSpec, config: DistillConfig, *, axis_name: str | None
) -> Family:
    """The losses of SiamRPN: classification and regression of anchors.

    Positive and negative anchors are drawn anew for each example, from the key and the
    example's number.

    Args:
      spec: Any of the networks; all have the same anchors.
      config: Options of the terms.
      axis_name: Device axis, for a gate of AH over the batch.
    """
    return Family(
        targets=lambda examples, key: anchors_of(key, spec, examples, config),
        task=lambda o, anchors, weight: task_terms(o, anchors, config, weight),
        hard=lambda s, t, anchors, weight: hard_terms(
            s, t, anchors, config, weight, axis_name=axis_name
        ),
        soft=lambda s, t, anchors, weight: soft_terms(s, t, anchors, config, weight),
        sharing=lambda s, p, anchors, weight: sharing_terms(
            s, p, anchors, config, weight
        ),
    )


def anchors_of(
    key: Array, spec: TrackerSpec, examples: Examples, config: DistillConfig
) -> Anchors:
    """Labels of a batch; what an example draws depends on the key and its number."""
    box = examples.search_box
    grid = head_anchors(spec, spec.input.train_search_px).astype(box.dtype)
    found = jax.vmap(
        lambda index, one, negative: assign(
            jax.random.fold_in(key, index),
            grid,
            one,
            is_negative=negative,
            config=config.assign,
        )
    )(examples.number, box, examples.is_negative)
    keep = examples.mask[:, None, None, None]
    return Anchors(
        labels=jnp.where(keep > 0.0, found.label, -1),
        deltas=found.delta,
        weights=found.weight * keep,
        mask=examples.mask,
    )


def task_terms(
    output: Output, anchors: Anchors, config: DistillConfig, weight: Any
) -> list[Term]:
    """The tracker's own loss on the labels, eq. 5: cross-entropy and smooth L1."""
    distance = losses.smooth_l1(
        _offsets(output), anchors.deltas, beta=config.regression_beta
    )
    return [
        *_classification(output, anchors, weight),
        *_regression(distance, anchors, config, weight),
    ]


def hard_terms(
    student: Output,
    teacher: Output,
    anchors: Anchors,
    config: DistillConfig,
    weight: Any,
    *,
    axis_name: str | None,
) -> list[Term]:
    """AH, eq. 10 and 11: the boxes' part stops where the student beats the teacher."""
    beta = config.regression_beta
    own = losses.smooth_l1(_offsets(student), anchors.deltas, beta=beta)
    bound = losses.smooth_l1(_offsets(teacher), anchors.deltas, beta=beta)
    if config.hard_gate == "batch":
        sums = [jnp.sum(values * anchors.weights) for values in (own, bound)]
        *totals, pairs = psum([*sums, _pairs(anchors)], axis_name)
        means = [divide(total, pairs) for total in totals]
        gate = losses.bounded_gate(*means, margin=config.hard_margin)
    else:
        gate = losses.bounded_gate(own, bound, margin=config.hard_margin)
    return [
        *_classification(student, anchors, weight),
        *_regression(gate * own, anchors, config, weight),
    ]


def soft_terms(
    student: Output,
    teacher: Output,
    anchors: Anchors,
    config: DistillConfig,
    weight: Any,
) -> list[Term]:
    """TS, eq. 9: the teacher's classes on all anchors, its boxes on the positive."""
    divergence = losses.softmax_kl(
        student.response,
        teacher.response,
        temperature=config.temperature,
        direction=config.soft_kl,
    )
    distance = losses.smooth_l1(
        _offsets(student), _offsets(teacher), beta=config.regression_beta
    )
    boxes = (
        _per_anchor(distance, anchors, weight * config.regression_weight)
        if config.soft_anchors == "all"
        else _regression(distance, anchors, config, weight)
    )
    return [*_per_anchor(divergence, anchors, weight), *boxes]


def sharing_terms(
    learner: Output, peer: Output, anchors: Anchors, config: DistillConfig, weight: Any
) -> list[Term]:
    """KS(learner || peer), eq. 17-19: classes and boxes of all anchors."""
    classes = losses.softmax_sharing(
        learner.response,
        peer.response,
        temperature=config.temperature,
        stop_peer=config.stop_peer,
    )
    boxes = losses.regression_sharing(
        _offsets(learner),
        _offsets(peer),
        beta=config.regression_beta,
        stop_peer=config.stop_peer,
    )
    group = ((classes, weight), (boxes, weight * config.regression_weight))
    if config.sharing_reduction == "sum":
        return [
            term
            for values, own in group
            for term in per_example(
                jnp.sum(values, axis=(-3, -2, -1)), anchors.mask, own
            )
        ]
    return [term for values, own in group for term in _per_anchor(values, anchors, own)]


def _offsets(output: Output) -> Array:
    assert output.offsets is not None  # a region head's
    return output.offsets


def _classification(output: Output, anchors: Anchors, weight: Any) -> list[Term]:
    """Positive and negative anchors with half the weight each."""
    values = losses.cross_entropy(output.response, anchors.labels)
    parts = ((anchors.labels == c).astype(values.dtype) for c in (1, 0))
    return [Term(0.5 * weight, jnp.sum(values * part), jnp.sum(part)) for part in parts]


def _regression(
    values: Array, anchors: Anchors, config: DistillConfig, weight: Any
) -> list[Term]:
    """The mean over positives of each pair, then over the pairs that have any."""
    total = jnp.sum(values * anchors.weights)
    return [Term(weight * config.regression_weight, total, _pairs(anchors))]


def _pairs(anchors: Anchors) -> Array:
    """Pairs that regress at all."""
    some = jnp.any(anchors.weights > 0.0, axis=(-3, -2, -1))
    return jnp.sum(some.astype(anchors.mask.dtype))


def _per_anchor(values: Array, anchors: Anchors, weight: Any) -> list[Term]:
    """A plain mean over all anchors of all examples."""
    keep = jnp.broadcast_to(anchors.mask[:, None, None, None], values.shape)
    return [Term(weight, jnp.sum(values * keep), jnp.sum(keep))]
