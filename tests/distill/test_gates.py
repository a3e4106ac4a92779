"""Readings of the gate of eq. 22, on made-up answers of both families."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import Sharing, Soft, TaskConfig, psum, reduce_parts
from dst_jax.distill.labels import AnchorLabels
from dst_jax.distill.labels.cells import cell_labels
from dst_jax.distill.readings import batch_loss, example_losses
from dst_jax.models import CellAnswer, Output, RegionAnswer
from tests.distill import reference
from tests.distill.views import view_of

# Eight pairs: the third is negative, the fifth does not count.
PAIRS = 8
NEGATIVE = np.arange(PAIRS) == 2
MASK = np.where(np.arange(PAIRS) == 4, 0.0, 1.0)
COUNTED = MASK > 0
MARGIN = 0.1
EPOCH = 2.0
BETA, BOX_WEIGHT = 0.5, 1.5
SIZES = {"own": 1, "peer": 2}
CLASSIFICATIONS = ("balanced", "mean")


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def cell_case():
    """Answers of three SiamFCs on 4 x 4 cells, and their labels."""
    grid = np.zeros((4, 4))
    grid[1, 1:3] = 1.0
    labels = cell_labels(
        jnp.asarray(grid), jnp.asarray(MASK), jnp.asarray(NEGATIVE, float)
    )
    answers = {
        name: CellAnswer(jnp.asarray(2.0 * numbers(seed, PAIRS, 4, 4)))
        for seed, name in enumerate(("own", "teacher", "peer"))
    }
    return answers, labels


def region_case():
    """Answers of three SiamRPNs on 3 x 3 cells of 2 anchors, and their labels."""
    rng = np.random.default_rng(7)
    labels = rng.choice([-1, 0, 1], size=(PAIRS, 3, 3, 2), p=[0.5, 0.35, 0.15])
    labels[:, 0, 0, 0], labels[:, 0, 0, 1] = 1, 0
    labels[NEGATIVE] = np.where(labels[NEGATIVE] == 1, 0, labels[NEGATIVE])
    labels[~COUNTED] = -1
    positive = (labels == 1).astype(float)
    weights = positive / np.maximum(positive.sum((1, 2, 3), keepdims=True), 1.0)
    found = AnchorLabels(
        jnp.asarray(labels.astype(np.int32)),
        jnp.asarray(numbers(8, PAIRS, 3, 3, 2, 4)),
        jnp.asarray(weights),
        jnp.asarray(MASK),
    )
    answers = {
        name: RegionAnswer(
            jnp.asarray(numbers(seed, PAIRS, 3, 3, 2, 2)),
            jnp.asarray(numbers(10 + seed, PAIRS, 3, 3, 2, 4)),
        )
        for seed, name in enumerate(("own", "teacher", "peer"))
    }
    return answers, found


CASES = {"cells": cell_case, "regions": region_case}


def plain(tree):
    return jax.tree.map(np.asarray, tree)


def classes(values, labels, classification):
    """Mean of what is labelled, or half over positives and half over negatives."""
    if classification == "mean":
        kept = values[labels >= 0]
        return kept.mean() if kept.size else 0.0
    means = [values[labels == kind] for kind in (1, 0)]
    return sum(0.5 * kind.mean() for kind in means if kind.size)


def loss_on_labels(answer, labels, classification, rows):
    """L^GT of some pairs: eq. 2, or eq. 5 with its box weight."""
    answer, labels = plain(answer), plain(labels)
    if isinstance(answer, CellAnswer):
        signs = np.where(labels.labels > 0, 1.0, -1.0)
        values = np.log1p(np.exp(-signs * answer.response))
        return classes(values[rows], labels.labels[rows].astype(int), classification)
    logits, kinds = answer.response, labels.labels
    log_p = logits - np.logaddexp(logits[..., :1], logits[..., 1:])
    values = np.where(kinds == 1, -log_p[..., 1], -log_p[..., 0])
    boxes = reference.smooth_l1(answer.offsets, labels.deltas, beta=BETA)
    return classes(
        values[rows], kinds[rows], classification
    ) + BOX_WEIGHT * reference.pair_mean(boxes[rows], labels.weights[rows])


def each_loss(answer, labels, classification):
    """L^GT of every pair by itself; 0 where it does not count."""
    found = [
        loss_on_labels(answer, labels, classification, [row]) for row in range(PAIRS)
    ]
    return np.where(COUNTED, found, 0.0)


def divergence(own, peer):
    """KS of every cell or anchor, and of boxes if there are any."""
    own, peer = plain(own), plain(peer)
    if isinstance(own, CellAnswer):
        return reference.bernoulli_kl(own.response, peer.response), None
    return (
        reference.softmax_kl(own.response, peer.response),
        reference.smooth_l1(own.offsets, peer.offsets, beta=BETA),
    )


def shared(answers, labels, sigmas, *, anchors="all", reduction="mean"):
    """KS of the pairs that count, weighed pair by pair."""
    kinds, boxes = divergence(answers["own"], answers["peer"])
    over = np.sum if reduction == "sum" else np.mean
    kinds = [over(values) for values in kinds[COUNTED]]
    total = np.mean(sigmas[COUNTED] * kinds)
    if boxes is None:
        return total
    found = []
    for row in np.flatnonzero(COUNTED):
        chosen = plain(labels).labels[row] == 1
        values = boxes[row] if anchors == "all" else boxes[row][chosen]
        if values.size or reduction == "sum":
            found.append(sigmas[row] * over(values))
    return total + BOX_WEIGHT * np.mean(found)


def seen(answers, labels, classification="balanced", **rest):
    task = TaskConfig(
        classification, regression_weight=BOX_WEIGHT, regression_beta=BETA
    )
    outputs = {name: Output(answer, {}) for name, answer in answers.items()}
    everywhere = rest.get("psum", lambda tree: tree)
    losses = {n: batch_loss(a, labels, task, everywhere) for n, a in answers.items()}
    return view_of(
        outputs["own"],
        outputs["teacher"],
        labels=labels,
        task=task,
        peers={"peer": outputs["peer"]},
        task_losses=losses,
        **{"since_warmup": jnp.asarray(EPOCH), **rest},
    )


def run(term, answers, labels, **rest):
    """Value and logs of a term on one device."""

    def found(answers, labels):
        parts, logs = term(seen(answers, labels, **rest))
        return reduce_parts(parts, None), logs

    return jax.jit(found)(answers, labels)


@pytest.mark.parametrize("classification", CLASSIFICATIONS)
@pytest.mark.parametrize("case", CASES)
def test_the_loss_of_an_example_is_that_of_a_batch_of_one(case, classification):
    with jax.enable_x64(True):
        answers, labels = CASES[case]()
        task = TaskConfig(classification, BOX_WEIGHT, BETA)
        found = jax.jit(lambda a, y: example_losses(a, y, task))(answers["own"], labels)
    expected = each_loss(answers["own"], labels, classification)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.asarray(found)[4] == 0.0


@pytest.mark.parametrize("trained", CLASSIFICATIONS)
@pytest.mark.parametrize("read", ("task", *CLASSIFICATIONS))
@pytest.mark.parametrize("case", CASES)
def test_the_gate_compares_the_reading_that_it_is_told(case, read, trained):
    with jax.enable_x64(True):
        answers, labels = CASES[case]()
        _, logs = run(Sharing(gate_loss=read), answers, labels, classification=trained)
    which = trained if read == "task" else read
    own, teacher = (
        loss_on_labels(answers[name], labels, which, COUNTED)
        for name in ("own", "teacher")
    )
    np.testing.assert_allclose(logs["gap"], own - teacher, rtol=1e-12)
    assert float(logs["gate"]) == (own - teacher < 0.005)


@pytest.mark.parametrize("judge", ["learner", "peer"])
@pytest.mark.parametrize("anchors", ["all", "positive"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES)
def test_a_gate_for_each_example_lets_its_share_through(
    case, reduction, anchors, judge
):
    term = Sharing(
        margin=MARGIN,
        gate_over="example",
        anchors=anchors,
        reduction=reduction,
        gate=judge,
    )
    with jax.enable_x64(True):
        answers, labels = CASES[case]()
        value, logs = run(term, answers, labels)
    gaps = {
        name: each_loss(answers[name], labels, "balanced")
        - each_loss(answers["teacher"], labels, "balanced")
        for name in ("own", "peer")
    }
    opened = {name: gap < MARGIN for name, gap in gaps.items()}
    assert all(0.0 < found[COUNTED].mean() < 1.0 for found in opened.values())
    sigmas = 0.9**EPOCH * opened["own" if judge == "learner" else "peer"]
    expected = shared(answers, labels, sigmas, anchors=anchors, reduction=reduction)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    share = opened["own"][COUNTED].mean()
    np.testing.assert_allclose(logs["gate"], share, rtol=1e-12)
    np.testing.assert_allclose(logs["sigma"], 0.9**EPOCH * share, rtol=1e-6)
    np.testing.assert_allclose(logs["gap"], gaps["own"][COUNTED].mean(), rtol=1e-10)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_boxes_can_be_shared_on_the_positive_anchors_alone(reduction):
    term = Sharing(margin=1e3, anchors="positive", reduction=reduction)
    with jax.enable_x64(True):
        answers, labels = region_case()
        value, logs = run(term, answers, labels)
    assert float(logs["gate"]) == 1.0
    sigmas = np.full(PAIRS, 0.9**EPOCH)
    expected = shared(answers, labels, sigmas, anchors="positive", reduction=reduction)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_examples_share_nothing_within_the_warm_up():
    term = Sharing(margin=1e3, gate_over="example")
    with jax.enable_x64(True):
        answers, labels = cell_case()
        value, logs = run(term, answers, labels, since_warmup=jnp.asarray(-0.5))
        after, _ = run(term, answers, labels, since_warmup=jnp.asarray(0.0))
    assert float(value) == float(logs["sigma"]) == 0.0
    np.testing.assert_allclose(
        after, shared(answers, labels, np.ones(PAIRS)), rtol=1e-6
    )


EVERY = {
    "soft mean": Soft(reduction="mean"),
    "soft balanced": Soft(reduction="balanced"),
    "soft sum": Soft(reduction="sum"),
    "gates of examples": Sharing(
        margin=MARGIN, gate_over="example", gate_loss="mean", anchors="positive"
    ),
    "gates read plainly": Sharing(margin=1e3, gate_loss="mean"),
}


@pytest.mark.parametrize("case", CASES)
def test_four_devices_compute_what_one_does(case):
    def found(answers, labels, *, axis_name=None):
        everywhere = functools.partial(psum, axis_name=axis_name)
        view = seen(answers, labels, psum=everywhere)
        made = {name: term(view) for name, term in EVERY.items()}
        values = {n: reduce_parts(m.parts, axis_name) for n, m in made.items()}
        return everywhere(values), {name: m.logs for name, m in made.items()}

    with jax.enable_x64(True):
        answers, labels = CASES[case]()
        one = jax.jit(found)(answers, labels)
        four = jax.pmap(
            functools.partial(found, axis_name="data"),
            axis_name="data",
            devices=jax.local_devices()[:4],
        )(*jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), (answers, labels)))
    for device in range(4):
        jax.tree.map(
            lambda a, b, d=device: np.testing.assert_allclose(a[d], b, rtol=1e-12),
            four,
            one,
        )
