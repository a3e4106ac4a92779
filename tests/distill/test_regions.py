"""The objective of region heads: single terms, then the whole against plain NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import (
    ROWS,
    DistillConfig,
    Hard,
    Sharing,
    Soft,
    Task,
    TaskConfig,
    make_labels,
    make_objective,
    psum,
    reduce_parts,
    task_parts,
)
from dst_jax.distill.labels import AnchorLabels
from dst_jax.errors import InputError
from dst_jax.models import Output, RegionAnswer, build, forward_train, init_variables
from dst_jax.models import forward as infer
from dst_jax.ops.anchors import AssignConfig, assign, head_anchors
from dst_jax.ops.examples import Examples
from tests import networks, objectives
from tests.distill import reference
from tests.distill.views import value, view_of

pytestmark = pytest.mark.optax

TEACHER, STUDENTS = networks.REGION_TEACHER, networks.REGION_STUDENTS
PEERS = {"dull": "intelligent", "intelligent": "dull"}
# Not the defaults, so that a setting that is not passed on shows.
TASK = TaskConfig(regression_weight=1.5, regression_beta=0.5)
CONFIG = objectives.changed(
    objectives.TINY._replace(task=TASK),
    {
        "ks.decay": 0.8,
        "ks.discount": 0.25,
        "ks.margin": 1e3,
        "ks.temperature": 2.0,
        "ts.temperature": 2.0,
        "ah.margin": 0.02,
        "labels.assign": AssignConfig(
            positive_iou=0.4,
            positives=3,
            negatives=5,
            window_cells=3,
            window_negatives=4,
        ),
    },
)
LAYERS = ("conv2", "conv3")


@pytest.fixture(scope="module")
def setting():
    """Variables of all networks and a batch in float64; its second pair is negative."""
    with jax.enable_x64(True):
        cast = {"param_dtype": jnp.float64}
        teacher = init_variables(jax.random.key(9), TEACHER, **cast)
        students = {
            name: init_variables(jax.random.key(1 + i), spec, **cast)
            for i, (name, spec) in enumerate(STUDENTS.items())
        }
        rng = np.random.default_rng(3)
        centres, sizes = rng.uniform(18, 29, (4, 2)), rng.uniform(13, 19, (4, 2))
        examples = Examples(
            template=jnp.asarray(rng.uniform(0, 255, (4, 31, 31, 3))),
            search=jnp.asarray(rng.uniform(0, 255, (4, 47, 47, 3))),
            mask=jnp.ones(4, jnp.float64),
            is_negative=jnp.array([0.0, 1.0, 0.0, 0.0], jnp.float64),
            search_box=jnp.asarray(np.concatenate([centres, sizes], axis=-1)),
            number=jnp.array([7, 8, 9, 10], jnp.int32),
            input=TEACHER.input,
        )
        yield teacher, students, examples


@functools.cache
def compiled(config, students, *, teacher=True):
    specs = TEACHER if teacher else None, dict(students)
    return jax.jit(make_objective(*specs, config, dtype=jnp.float64))


def evaluate(setting, config, *, epoch=0.0, students=None, **changes):
    teacher, variables, examples = setting
    students = students or STUDENTS
    with jax.enable_x64(True):
        loss, (_, metrics) = compiled(config, tuple(students.items()))(
            {n: variables[n]["params"] for n in students},
            {n: variables[n]["batch_stats"] for n in students},
            teacher,
            examples._replace(**changes),
            epoch=jnp.asarray(epoch, jnp.float64),
            key=jax.random.key(0),
        )
    return float(loss), metrics


@pytest.fixture(scope="module")
def outputs(setting):
    """Every network's output on the batch, as NumPy."""
    teacher, students, examples = setting
    kinds = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    with jax.enable_x64(True):
        images = examples.template, examples.search

        @jax.jit
        def everyone(teacher, students, images):
            found = {"teacher": infer(build(TEACHER, **kinds), teacher, *images)}
            for name, spec in STUDENTS.items():
                module = build(spec, **kinds)
                found[name], _ = forward_train(module, students[name], *images)
            return found

        return jax.tree.map(np.asarray, everyone(teacher, students, images))


@pytest.fixture(scope="module")
def anchors(setting):
    """(labels, deltas, weights) of the batch: example by example, key by key."""
    *_, examples = setting
    with jax.enable_x64(True):
        grid = head_anchors(TEACHER.head, side=5, stride=4, search_px=47)
        grid = grid.astype(jnp.float64)
        rows = [
            assign(
                jax.random.fold_in(jax.random.key(0), index),
                grid,
                examples.search_box[row],
                is_negative=bool(examples.is_negative[row]),
                config=CONFIG.labels.assign,
            )
            for row, index in enumerate((7, 8, 9, 10))
        ]
        return tuple(np.stack([np.asarray(part[i]) for part in rows]) for i in range(3))


def task(output, anchors):
    labels, deltas, weights = anchors
    boxes = reference.smooth_l1(output.answer.offsets, deltas, beta=0.5)
    return reference.anchor_cross_entropy(
        output.answer.response, labels
    ) + 1.5 * reference.pair_mean(boxes, weights)


def test_the_batch_has_what_the_terms_are_to_tell_apart(anchors):
    labels, _, weights = anchors
    assert [(m == 0).sum() for m in labels] == [5, 4, 5, 5]
    assert (labels[1] == 1).sum() == 0 and weights[1].sum() == 0
    assert all((labels[row] == 1).any() for row in (0, 2, 3))


def test_every_term_equals_its_equation(setting, outputs, anchors):
    loss, metrics = evaluate(setting, CONFIG, epoch=2.5)
    labels, deltas, weights = anchors
    teacher = outputs["teacher"]
    expected = {}
    for name in STUDENTS:
        own, peer = outputs[name], outputs[PEERS[name]]
        beta = {"dull": 1.0, "intelligent": 0.25}[name]
        learnt = reference.smooth_l1(own.answer.offsets, deltas, beta=0.5)
        bound = reference.smooth_l1(teacher.answer.offsets, deltas, beta=0.5)
        hard = np.where(bound - learnt < 0.02, learnt, 0.0)
        towards = reference.smooth_l1(
            own.answer.offsets, teacher.answer.offsets, beta=0.5
        )
        between = reference.smooth_l1(own.answer.offsets, peer.answer.offsets, beta=0.5)
        kl = reference.softmax_kl(
            own.answer.response / 2.0, teacher.answer.response / 2.0
        )
        shared = reference.softmax_kl(
            own.answer.response / 2.0, peer.answer.response / 2.0
        )
        expected |= {
            f"{name}/ah": 0.1
            * (
                reference.anchor_cross_entropy(own.answer.response, labels)
                + 1.5 * reference.pair_mean(hard, weights)
            ),
            f"{name}/ts": kl.mean() + 1.5 * reference.pair_mean(towards, weights),
            f"{name}/str": 100
            * reference.target_response(own.taps, teacher.taps, LAYERS),
            f"{name}/ks": beta * 0.8**2.5 * (shared.mean() + 1.5 * between.mean()),
        }
    assert set(metrics.terms) == set(expected)
    for term, want in expected.items():
        np.testing.assert_allclose(metrics.terms[term], want, rtol=1e-8, err_msg=term)
    np.testing.assert_allclose(loss, sum(expected.values()), rtol=1e-8)


def test_the_logged_loss_is_that_of_the_labels(setting, outputs, anchors):
    _, metrics = evaluate(setting, CONFIG)
    for name, output in outputs.items():
        np.testing.assert_allclose(
            metrics.globals[f"gt/{name}"], task(output, anchors), rtol=1e-8
        )


def test_ground_truth_alone_has_weight_one(setting, outputs, anchors):
    loss, _ = evaluate(setting, objectives.row(CONFIG, "NOKD"))
    expected = sum(task(outputs[name], anchors) for name in STUDENTS)
    np.testing.assert_allclose(loss, expected, rtol=1e-8)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_the_terms_of_its_table(setting, row):
    alone = {"dull": STUDENTS["dull"]}
    _, metrics = evaluate(setting, objectives.row(CONFIG, row), students=alone)
    expected = {f"dull/{term}" for term in ROWS[row] if term != "ks"}
    assert set(metrics.terms) == expected


def test_masked_pairs_count_nowhere(setting, outputs, anchors):
    weights = anchors[2][[0, 1]]
    with jax.enable_x64(True):
        mask = jnp.array([1.0, 1.0, 0.0, 0.0], jnp.float64)
    _, metrics = evaluate(setting, CONFIG, mask=mask)
    own, teacher = (outputs[name] for name in ("dull", "teacher"))
    boxes = reference.smooth_l1(
        own.answer.offsets[:2], teacher.answer.offsets[:2], beta=0.5
    )
    kl = reference.softmax_kl(
        own.answer.response[:2] / 2.0, teacher.answer.response[:2] / 2.0
    )
    expected = kl.mean() + 1.5 * reference.pair_mean(boxes, weights)
    np.testing.assert_allclose(metrics.terms["dull/ts"], expected, rtol=1e-8)
    with jax.enable_x64(True):
        nothing = jnp.zeros(4, jnp.float64)
    loss, _ = evaluate(setting, CONFIG, mask=nothing)
    assert loss == 0.0


def test_without_sharing_each_student_is_on_its_own(setting):
    config = objectives.row(CONFIG, "TSKD")
    together, _ = evaluate(setting, config)
    alone = [evaluate(setting, config, students={n: s})[0] for n, s in STUDENTS.items()]
    np.testing.assert_allclose(together, sum(alone), rtol=1e-12)


def one_pair(seed, *, b=2):
    """Made-up answers on a 2 x 2 map of 3 anchors."""
    rng = np.random.default_rng(seed)
    answers = (rng.normal(size=(b, 2, 2, 3, n)).astype(np.float32) for n in (2, 4))
    response, offsets = (jnp.asarray(a) for a in answers)
    return Output(RegionAnswer(response, offsets), {})


def with_offsets(output, offsets):
    return output._replace(answer=output.answer._replace(offsets=offsets))


def some_anchors():
    labels = -np.ones((2, 2, 2, 3), np.int32)
    labels[0, 0, 0] = (1, 1, 0)
    labels[1, 1, 1] = (0, 0, 1)
    weights = (labels == 1) / np.maximum(
        (labels == 1).sum(axis=(1, 2, 3), keepdims=True), 1
    )
    deltas = np.random.default_rng(8).normal(size=(2, 2, 2, 3, 4))
    return AnchorLabels(
        jnp.asarray(labels),
        jnp.asarray(deltas.astype(np.float32)),
        jnp.asarray(weights.astype(np.float32)),
        jnp.ones(2),
    )


def test_all_anchors_regress_to_the_teacher_if_told_so():
    term = Soft(temperature=2.0, anchors="all")
    student, teacher = one_pair(0), one_pair(1)
    seen = view_of(student, teacher, labels=some_anchors(), task=TASK)
    found = value(term, seen)
    s, q = (
        jax.tree.map(lambda x: np.asarray(x, np.float64), o) for o in (student, teacher)
    )
    kl = reference.softmax_kl(s.answer.response / 2.0, q.answer.response / 2.0).mean()
    boxes = reference.smooth_l1(s.answer.offsets, q.answer.offsets, beta=0.5).mean()
    np.testing.assert_allclose(found, kl + 1.5 * boxes, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["family", "mean", "balanced", "sum"])
def test_anchors_are_weighed_as_the_reduction_says(reduction):
    student, teacher = one_pair(0), one_pair(1)
    # The second pair does not count.
    anchors = some_anchors()
    anchors = anchors._replace(
        mask=jnp.array([1.0, 0.0]),
        labels=anchors.labels.at[1].set(-1),
        weights=anchors.weights.at[1].set(0.0),
    )
    seen = view_of(student, teacher, labels=anchors, task=TASK)
    found = value(Soft(reduction=reduction), seen)
    s, q = (
        jax.tree.map(lambda x: np.asarray(x[0], np.float64), o)
        for o in (student, teacher)
    )
    kl = reference.softmax_kl(s.answer.response, q.answer.response)
    target = np.asarray(anchors.labels[0]) == 1
    assert target.sum() == 2
    # Two anchors of the target; the ten others count, labelled or not.
    classes = {
        "balanced": 0.5 * kl[target].mean() + 0.5 * kl[~target].mean(),
        "sum": kl.sum(),
    }.get(reduction, kl.mean())
    boxes = reference.smooth_l1(s.answer.offsets, q.answer.offsets, beta=0.5)
    np.testing.assert_allclose(found, classes + 1.5 * boxes[target].mean(), rtol=1e-5)


@pytest.mark.parametrize("over", ["pairs", "batch"])
def test_boxes_are_averaged_over_pairs_with_positives_or_over_all(over):
    """Of three pairs the second has no positive anchor, the third does not count."""
    anchors, student = some_anchors(), one_pair(0, b=3)
    more = jax.tree.map(lambda x: jnp.concatenate([x[:1], x[:1], x[1:]]), anchors)
    anchors = more._replace(
        mask=jnp.array([1.0, 1.0, 0.0]),
        labels=more.labels.at[1].set(0).at[2].set(-1),
        weights=more.weights.at[1:].set(0.0),
    )
    task = TaskConfig(regression_weight=1.2, regression_beta=0.0, regression_over=over)
    found = value(Task(), view_of(student, labels=anchors, task=task))
    offsets, deltas = (
        np.asarray(x, np.float64) for x in (student.answer.offsets, anchors.deltas)
    )
    # The first pair's two positive anchors, in plain L1.
    boxes = np.abs(offsets - deltas)[0, 0, 0, :2].sum(-1).mean()
    classes = reference.anchor_cross_entropy(
        np.asarray(student.answer.response, np.float64), np.asarray(anchors.labels)
    )
    expected = classes + 1.2 * boxes / {"pairs": 1, "batch": 2}[over]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("over", ["pairs", "batch"])
def test_a_gate_over_the_batch_compares_the_means_that_are_learnt(over):
    """One pair of two has positives, so that over the batch both means are halved."""
    anchors = some_anchors()
    anchors = anchors._replace(
        labels=anchors.labels.at[1].set(0), weights=anchors.weights.at[1].set(0.0)
    )
    student, teacher = (
        with_offsets(one_pair(0), anchors.deltas.at[0, 0, 0, :2, 0].add(off))
        for off in (0.003, 0.015)
    )
    task = TaskConfig(regression_beta=0.0, regression_over=over)
    seen = view_of(student, teacher, labels=anchors, task=task)
    found = value(Hard(margin=0.01, gate="batch"), seen)
    classes = reference.anchor_cross_entropy(
        np.asarray(student.answer.response, np.float64), np.asarray(anchors.labels)
    )
    # A lead of .012 shuts the gate, one of .006 does not.
    boxes = {"pairs": 0.0, "batch": 0.0015}[over]
    np.testing.assert_allclose(found, classes + boxes, rtol=1e-5)


@pytest.mark.parametrize("better", [False, True])
def test_a_gate_over_the_batch_shuts_all_boxes_or_none(better):
    anchors = some_anchors()
    student, teacher = one_pair(0), one_pair(1)
    # Nearer to the labels than the teacher on the mean, not on every anchor.
    share = 0.5 if better else 2.0
    off = np.asarray(teacher.answer.offsets - anchors.deltas) * share
    off[0, 0, 0, 0] *= 1.1 / share
    student = with_offsets(student, anchors.deltas + off)
    seen = view_of(student, teacher, labels=anchors, task=TASK)
    found = value(Hard(margin=0.02, gate="batch"), seen)
    labels = np.asarray(anchors.labels)
    classes = reference.anchor_cross_entropy(
        np.asarray(student.answer.response), labels
    )
    learnt = reference.smooth_l1(off.astype(np.float64), 0.0, beta=0.5)
    boxes = 0.0 if better else reference.pair_mean(learnt, np.asarray(anchors.weights))
    np.testing.assert_allclose(found, classes + 1.5 * boxes, rtol=1e-5)


def test_a_gate_over_the_batch_looks_at_all_devices():
    term = Hard(margin=0.02, gate="batch")
    anchors, teacher = some_anchors(), one_pair(1)
    teacher = with_offsets(teacher, anchors.deltas + 1.0)
    # The first pair beats the teacher, the second is so far off that the mean does not.
    apart = jnp.array([0.5, 4.0]).reshape(2, 1, 1, 1, 1)
    student = with_offsets(one_pair(0), anchors.deltas + apart)

    def share(student, teacher, anchors, *, axis_name=None):
        everywhere = functools.partial(psum, axis_name=axis_name)
        seen = view_of(student, teacher, labels=anchors, task=TASK, psum=everywhere)
        return everywhere(reduce_parts(term(seen).parts, axis_name))

    together = jax.jit(share)(student, teacher, anchors)
    split = jax.tree.map(lambda leaf: leaf[:, None], (student, teacher, anchors))
    over_two = jax.pmap(
        functools.partial(share, axis_name="data"),
        axis_name="data",
        devices=jax.local_devices()[:2],
    )
    np.testing.assert_allclose(over_two(*split)[0], together, rtol=1e-5)


def test_sharing_can_sum_over_anchors():
    learner, peers = one_pair(0), {"peer": one_pair(1)}
    seen = view_of(learner, labels=some_anchors(), peers=peers)
    found, mean = (value(Sharing(reduction=r), seen) for r in ("sum", "mean"))
    np.testing.assert_allclose(found, 12 * mean, rtol=1e-5)


def test_the_anchors_that_an_example_draws_depend_on_its_number_alone(setting):
    *_, examples = setting
    with jax.enable_x64(True):
        label = make_labels(TEACHER, CONFIG.labels)
        draw = jax.jit(lambda e: label(e, jax.random.key(5)))
        whole = draw(examples)
        part = jax.tree.map(lambda leaf: leaf[2:], examples)
        half = draw(part)
        other = examples._replace(number=examples.number + 100)
        moved = draw(other)
    np.testing.assert_array_equal(whole.labels[2:], half.labels)
    assert np.any(np.asarray(whole.labels) != np.asarray(moved.labels))


def test_the_bounded_loss_needs_the_teacher_and_the_plain_one_does_not():
    hard = CONFIG._replace(distill=DistillConfig({"ah": Hard()}))
    with pytest.raises(InputError, match="there is no teacher"):
        make_objective(None, STUDENTS, hard)
    make_objective(None, STUDENTS, objectives.row(CONFIG, "NOKD"))


def test_heads_that_do_not_compare_are_named():
    with pytest.raises(InputError, match="the teacher with one logit per cell"):
        make_objective(networks.TEACHER, STUDENTS, CONFIG)
    head = dataclasses.replace(TEACHER.head, ratios=(1.0,))
    other = dataclasses.replace(TEACHER, head=head)
    with pytest.raises(InputError, match=r"anchors of ratios \(1.0,\)"):
        make_objective(other, STUDENTS, CONFIG)
    with pytest.raises(InputError, match=r"Soft\.form='map' is for SiamFC"):
        whole = objectives.changed(CONFIG, {"ts.form": "map"})
        make_objective(TEACHER, STUDENTS, whole)


def test_the_plain_mean_weighs_every_kept_anchor_alike():
    own, labels = one_pair(0), some_anchors()
    classes, _ = task_parts(own.answer, labels, TaskConfig(classification="mean"))
    logits = np.asarray(own.answer.response, np.float64)
    chosen = np.asarray(labels.labels)
    log_p = logits - np.logaddexp(logits[..., :1], logits[..., 1:])
    picked = np.where(chosen == 1, -log_p[..., 1], -log_p[..., 0])[chosen >= 0]
    assert float(classes.number) == len(picked) == 6
    np.testing.assert_allclose(classes.total, picked.sum(), rtol=1e-5)
