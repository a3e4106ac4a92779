"""The objective of region heads: single terms, then the whole against plain NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import ROWS, DistillConfig, make_objective, with_row
from dst_jax.distill import regions as r
from dst_jax.distill import terms as t
from dst_jax.errors import InputError
from dst_jax.models import Output, build, forward_train, init_variables
from dst_jax.models import forward as infer
from dst_jax.ops.anchors import AssignConfig, assign, head_anchors
from dst_jax.ops.examples import Examples
from tests import networks
from tests.distill import reference

pytestmark = pytest.mark.optax

TEACHER, STUDENTS = networks.REGION_TEACHER, networks.REGION_STUDENTS
PEERS = {"dull": "intelligent", "intelligent": "dull"}
# Not the defaults, so that a setting that is not passed on shows.
CONFIG = DistillConfig(
    response_layers=(2, 3),
    sharing_decay=0.8,
    sharing_discount=0.25,
    sharing_margin=1e3,
    temperature=2.0,
    hard_margin=0.02,
    regression_weight=1.5,
    regression_beta=0.5,
    assign=AssignConfig(
        positive_iou=0.4, positives=3, negatives=5, window_cells=3, window_negatives=4
    ),
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
        grid = head_anchors(TEACHER, 47).astype(jnp.float64)
        rows = [
            assign(
                jax.random.fold_in(jax.random.key(0), index),
                grid,
                examples.search_box[row],
                is_negative=bool(examples.is_negative[row]),
                config=CONFIG.assign,
            )
            for row, index in enumerate((7, 8, 9, 10))
        ]
        return tuple(np.stack([np.asarray(part[i]) for part in rows]) for i in range(3))


def task(output, anchors):
    labels, deltas, weights = anchors
    boxes = reference.smooth_l1(output.offsets, deltas, beta=0.5)
    return reference.anchor_cross_entropy(
        output.response, labels
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
        learnt = reference.smooth_l1(own.offsets, deltas, beta=0.5)
        bound = reference.smooth_l1(teacher.offsets, deltas, beta=0.5)
        hard = np.where(bound - learnt < 0.02, learnt, 0.0)
        towards = reference.smooth_l1(own.offsets, teacher.offsets, beta=0.5)
        between = reference.smooth_l1(own.offsets, peer.offsets, beta=0.5)
        kl = reference.softmax_kl(own.response / 2.0, teacher.response / 2.0)
        shared = reference.softmax_kl(own.response / 2.0, peer.response / 2.0)
        maps = (own.template, own.search), (teacher.template, teacher.search)
        expected |= {
            f"{name}/ah": 0.1
            * (
                reference.anchor_cross_entropy(own.response, labels)
                + 1.5 * reference.pair_mean(hard, weights)
            ),
            f"{name}/ts": kl.mean() + 1.5 * reference.pair_mean(towards, weights),
            f"{name}/str": 100 * reference.target_response(*maps, LAYERS),
            f"{name}/ks": beta * 0.8**2.5 * (shared.mean() + 1.5 * between.mean()),
        }
    assert set(metrics.terms) == set(expected)
    for term, value in expected.items():
        np.testing.assert_allclose(metrics.terms[term], value, rtol=1e-8, err_msg=term)
    np.testing.assert_allclose(loss, sum(expected.values()), rtol=1e-8)


def test_the_logged_loss_is_that_of_the_labels(setting, outputs, anchors):
    _, metrics = evaluate(setting, CONFIG)
    for name, output in outputs.items():
        np.testing.assert_allclose(
            metrics.globals[f"gt/{name}"], task(output, anchors), rtol=1e-8
        )


def test_ground_truth_alone_has_weight_one(setting, outputs, anchors):
    loss, _ = evaluate(setting, with_row(CONFIG, "NOKD"))
    expected = sum(task(outputs[name], anchors) for name in STUDENTS)
    np.testing.assert_allclose(loss, expected, rtol=1e-8)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_the_terms_of_its_table(setting, row):
    alone = {"dull": STUDENTS["dull"]}
    _, metrics = evaluate(setting, with_row(CONFIG, row), students=alone)
    names = {"GT": "gt", "TS": "ts", "AH": "ah", "STR": "str"}
    expected = {f"dull/{names[term]}" for term in ROWS[row] if term in names}
    assert set(metrics.terms) == expected


def test_masked_pairs_count_nowhere(setting, outputs, anchors):
    weights = anchors[2][[0, 1]]
    with jax.enable_x64(True):
        mask = jnp.array([1.0, 1.0, 0.0, 0.0], jnp.float64)
    _, metrics = evaluate(setting, CONFIG, mask=mask)
    own, teacher = (outputs[name] for name in ("dull", "teacher"))
    boxes = reference.smooth_l1(own.offsets[:2], teacher.offsets[:2], beta=0.5)
    kl = reference.softmax_kl(own.response[:2] / 2.0, teacher.response[:2] / 2.0)
    expected = kl.mean() + 1.5 * reference.pair_mean(boxes, weights)
    np.testing.assert_allclose(metrics.terms["dull/ts"], expected, rtol=1e-8)
    with jax.enable_x64(True):
        nothing = jnp.zeros(4, jnp.float64)
    loss, _ = evaluate(setting, CONFIG, mask=nothing)
    assert loss == 0.0


def test_without_sharing_each_student_is_on_its_own(setting):
    config = with_row(CONFIG, "TSKD")
    together, _ = evaluate(setting, config)
    alone = [evaluate(setting, config, students={n: s})[0] for n, s in STUDENTS.items()]
    np.testing.assert_allclose(together, sum(alone), rtol=1e-12)


def one_pair(seed, *, b=2):
    """Made-up answers on a 2 x 2 map of 3 anchors."""
    rng = np.random.default_rng(seed)
    maps = {"conv2": jnp.zeros((b, 1, 1, 1))}
    answers = (rng.normal(size=(b, 2, 2, 3, n)).astype(np.float32) for n in (2, 4))
    response, offsets = (jnp.asarray(a) for a in answers)
    return Output(response, maps, maps, offsets)


def some_anchors():
    labels = -np.ones((2, 2, 2, 3), np.int32)
    labels[0, 0, 0] = (1, 1, 0)
    labels[1, 1, 1] = (0, 0, 1)
    weights = (labels == 1) / np.maximum(
        (labels == 1).sum(axis=(1, 2, 3), keepdims=True), 1
    )
    deltas = np.random.default_rng(8).normal(size=(2, 2, 2, 3, 4))
    return r.Anchors(
        jnp.asarray(labels),
        jnp.asarray(deltas.astype(np.float32)),
        jnp.asarray(weights.astype(np.float32)),
        jnp.ones(2),
    )


def value(terms):
    return float(jax.jit(lambda: t.reduce_terms(terms, None))())


def test_all_anchors_regress_to_the_teacher_if_told_so():
    config = dataclasses.replace(CONFIG, soft_anchors="all")
    student, teacher = one_pair(0), one_pair(1)
    found = value(r.soft_terms(student, teacher, some_anchors(), config, 3.0))
    s, q = (
        jax.tree.map(lambda x: np.asarray(x, np.float64), o) for o in (student, teacher)
    )
    kl = reference.softmax_kl(s.response / 2.0, q.response / 2.0).mean()
    boxes = reference.smooth_l1(s.offsets, q.offsets, beta=0.5).mean()
    np.testing.assert_allclose(found, 3.0 * (kl + 1.5 * boxes), rtol=1e-5)


@pytest.mark.parametrize("better", [False, True])
def test_a_gate_over_the_batch_shuts_all_boxes_or_none(better):
    config = dataclasses.replace(CONFIG, hard_gate="batch")
    anchors = some_anchors()
    student, teacher = one_pair(0), one_pair(1)
    # Nearer to the labels than the teacher on the mean, not on every anchor.
    share = 0.5 if better else 2.0
    off = np.asarray(teacher.offsets - anchors.deltas) * share
    off[0, 0, 0, 0] *= 1.1 / share
    student = student._replace(offsets=anchors.deltas + off)
    found = value(r.hard_terms(student, teacher, anchors, config, 1.0, axis_name=None))
    labels = np.asarray(anchors.labels)
    classes = reference.anchor_cross_entropy(np.asarray(student.response), labels)
    learnt = reference.smooth_l1(off.astype(np.float64), 0.0, beta=0.5)
    boxes = 0.0 if better else reference.pair_mean(learnt, np.asarray(anchors.weights))
    np.testing.assert_allclose(found, classes + 1.5 * boxes, rtol=1e-5)


def test_a_gate_over_the_batch_looks_at_all_devices():
    config = dataclasses.replace(CONFIG, hard_gate="batch")
    anchors, teacher = some_anchors(), one_pair(1)
    teacher = teacher._replace(offsets=anchors.deltas + 1.0)
    # The first pair beats the teacher, the second is so far off that the mean does not.
    apart = jnp.array([0.5, 4.0]).reshape(2, 1, 1, 1, 1)
    student = one_pair(0)._replace(offsets=anchors.deltas + apart)

    def share(student, teacher, anchors, *, axis_name=None):
        group = r.hard_terms(
            student, teacher, anchors, config, 1.0, axis_name=axis_name
        )
        return t.psum(t.reduce_terms(group, axis_name), axis_name)

    together = jax.jit(share)(student, teacher, anchors)
    split = jax.tree.map(lambda leaf: leaf[:, None], (student, teacher, anchors))
    over_two = jax.pmap(
        functools.partial(share, axis_name="data"),
        axis_name="data",
        devices=jax.local_devices()[:2],
    )
    np.testing.assert_allclose(over_two(*split)[0], together, rtol=1e-5)


def test_sharing_can_sum_over_anchors():
    config = dataclasses.replace(CONFIG, sharing_reduction="sum")
    learner, peer = one_pair(0), one_pair(1)
    found = value(r.sharing_terms(learner, peer, some_anchors(), config, 2.0))
    mean = value(r.sharing_terms(learner, peer, some_anchors(), CONFIG, 2.0))
    np.testing.assert_allclose(found, 12 * mean, rtol=1e-5)


def test_the_anchors_that_an_example_draws_depend_on_its_number_alone(setting):
    *_, examples = setting
    with jax.enable_x64(True):
        draw = jax.jit(lambda e: r.anchors_of(jax.random.key(5), TEACHER, e, CONFIG))
        whole = draw(examples)
        part = jax.tree.map(lambda leaf: leaf[2:], examples)
        half = draw(part)
        other = examples._replace(number=examples.number + 100)
        moved = draw(other)
    np.testing.assert_array_equal(whole.labels[2:], half.labels)
    assert np.any(np.asarray(whole.labels) != np.asarray(moved.labels))


def test_the_bounded_loss_needs_the_teacher_and_the_plain_one_does_not():
    hard = dataclasses.replace(with_row(CONFIG, "NOKD"), adaptive_hard=0.1)
    with pytest.raises(InputError, match="there is no teacher"):
        make_objective(None, STUDENTS, hard)
    make_objective(None, STUDENTS, with_row(CONFIG, "NOKD"))


def test_heads_that_do_not_compare_are_named():
    with pytest.raises(InputError, match="teacher answers with one logit per cell"):
        make_objective(networks.TEACHER, STUDENTS, CONFIG)
    head = dataclasses.replace(TEACHER.head, ratios=(1.0,))
    other = dataclasses.replace(TEACHER, head=head)
    with pytest.raises(InputError, match=r"anchors of ratios \(1.0,\)"):
        make_objective(other, STUDENTS, CONFIG)
    with pytest.raises(InputError, match="soft_form='map' is for SiamFC"):
        whole = dataclasses.replace(CONFIG, soft_form="map")
        make_objective(TEACHER, STUDENTS, whole)
