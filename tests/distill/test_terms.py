"""Single terms on made-up outputs, without any network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch, losses
from dst_jax.arch import RegionHeadSpec
from dst_jax.distill import (
    Response,
    Sharing,
    Soft,
    TaskConfig,
    psum,
    reduce_parts,
    task_parts,
)
from dst_jax.distill.labels.cells import cell_labels
from dst_jax.distill.terms.response import SEARCH_SCALE, TEMPLATE_SCALE
from dst_jax.errors import InputError
from dst_jax.models import CellAnswer, Output
from tests import networks
from tests.distill import reference
from tests.distill.views import value, view_of


def output(seed, *, depth=3):
    rng = np.random.default_rng(seed)
    taps = {
        f"{image}/conv2": rng.normal(size=(2, side, side, depth)).astype(np.float32)
        for image, side in (("template", 3), ("search", 6))
    }
    response = rng.normal(size=(2, 4, 4)).astype(np.float32)
    return jax.tree.map(jnp.asarray, Output(CellAnswer(response), taps))


CELLS = cell_labels(jnp.zeros((4, 4)), jnp.ones(2), jnp.zeros(2))
# One target cell; of two pairs the second does not count.
GRID = np.zeros((4, 4), np.float32)
GRID[1, 2] = 1.0
MASKED = cell_labels(jnp.asarray(GRID), jnp.array([1.0, 0.0]), jnp.zeros(2))


def first(output):
    """The response of the pair that counts, in float64."""
    return np.asarray(output.answer.response[:1], np.float64)


def map_kl(student, teacher):
    """Divergence of the softmax over all cells of one map."""
    p, q = (np.exp(x) / np.exp(x).sum() for x in (student, teacher))
    return (p * np.log(p / q)).sum()


@pytest.mark.parametrize("direction", ["student_first", "teacher_first"])
@pytest.mark.parametrize("form", ["cell", "map"])
def test_soft_terms_follow_their_options(direction, form):
    student, teacher = output(0), output(1)
    term = Soft(temperature=2.5, direction=direction, form=form)
    pair = [first(student) / 2.5, first(teacher) / 2.5]
    if direction == "teacher_first":
        pair.reverse()
    expected = map_kl(*pair)
    if form == "cell":
        expected = reference.balanced_kl(*pair, GRID[None])
    found = value(term, view_of(student, teacher, labels=MASKED))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["family", "balanced", "mean", "sum"])
def test_cells_are_weighed_as_the_reduction_says(reduction):
    student, teacher = output(0), output(1)
    values = reference.bernoulli_kl(first(student), first(teacher))
    halves = 0.5 * values[0, 1, 2] + 0.5 * np.delete(values.ravel(), 6).mean()
    expected = {"mean": values.mean(), "sum": values.sum()}.get(reduction, halves)
    term = Soft(reduction=reduction)
    found = value(term, view_of(student, teacher, labels=MASKED))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_distribution_over_a_map_has_no_cells_to_weigh():
    with pytest.raises(InputError, match=r"Soft\.reduction='sum': must be 'family'"):
        Soft(form="map", reduction="sum")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_sharing_terms_follow_their_options(reduction):
    learner, peer = output(0), output(1)
    term = Sharing(temperature=2.5, reduction=reduction)
    cells = reference.bernoulli_kl(first(learner) / 2.5, first(peer) / 2.5)
    expected = cells.mean() if reduction == "mean" else cells.sum()
    found = value(term, view_of(learner, labels=MASKED, peers={"peer": peer}))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", ["l2", "none"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("reduction", ["mse", "l2"])
def test_response_terms_follow_their_options(norm, weighted, reduction):
    student, teacher = output(0), output(1, depth=5)
    options = {"norm": norm, "weighted": weighted, "reduction": reduction}
    term = Response(layers=(2,), **options)

    def map_of(features):
        return (
            reference.unit_map(features) if norm == "l2" else np.abs(features).sum(-1)
        )

    def maps(found):
        z, x = (
            np.asarray(found.taps[f"{image}/conv2"][0], np.float64)
            for image in ("template", "search")
        )
        w = reference.weight_map(x, z)[..., None] if weighted else 1.0
        return map_of(z), map_of(w * x)

    expected = 0.0
    for one, two in zip(maps(student), maps(teacher), strict=True):
        squares = (one - two) ** 2
        expected += squares.mean() if reduction == "mse" else np.sqrt(squares.sum())
    found = value(term, view_of(student, teacher, labels=MASKED))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def unit_squares(student, teacher, image):
    """Sum over cells of the squared difference of two maps of norm 1."""
    maps = []
    for found in (student, teacher):
        z, x = (
            np.asarray(found.taps[f"{name}/conv2"][0], np.float64)
            for name in ("template", "search")
        )
        whole = z if image == "template" else reference.weight_map(x, z)[..., None] * x
        maps.append(reference.unit_map(whole))
    return ((maps[0] - maps[1]) ** 2).sum()


def test_sums_over_cells_have_one_constant_for_each_image():
    student, teacher = output(0), output(1, depth=5)
    term = Response(layers=(2,), scale="cells")
    # Mean of 1 / cells of SiamFC's maps of layers 3, 4 and 5 at 239 and 127 px.
    search = np.mean([24.0**-2, 22.0**-2, 20.0**-2])
    template = np.mean([10.0**-2, 8.0**-2, 6.0**-2])
    expected = search * unit_squares(student, teacher, "search")
    expected += template * unit_squares(student, teacher, "template")
    found = value(term, view_of(student, teacher, labels=MASKED))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_constants_belong_to_the_maps_of_siamfc():
    spec = arch.named("siamfc-alexnet")
    for side, constant in ((239, SEARCH_SCALE), (127, TEMPLATE_SCALE)):
        cells = [spec.maps(side)[layer - 1].side ** 2 for layer in (3, 4, 5)]
        assert constant == pytest.approx(np.mean([1 / n for n in cells]), rel=1e-12)


# Maps of 7, 5 and 5 cells of the template.
CUT_HEAD = RegionHeadSpec(form="depthwise", features=4, template_cells=3)
CUT = dataclasses.replace(networks.REGION_TEACHER, head=CUT_HEAD)


def taps(seed, *, depth, side):
    """Maps of a stage of 5 cells and of one of 6, and their search maps."""
    rng = np.random.default_rng(seed)
    sizes = {"template/conv1": 6, "template/conv3": side, "search/conv1": 9}
    sizes |= {"search/conv3": 8}
    return {
        name: jnp.asarray(rng.normal(size=(1, s, s, depth)).astype(np.float32))
        for name, s in sizes.items()
    }


@pytest.mark.parametrize("which", ["head", "full"])
def test_template_maps_are_cut_to_the_cells_that_the_head_sees(which):
    labels = cell_labels(jnp.zeros((4, 4)), jnp.ones(1), jnp.zeros(1))
    found = [taps(seed, depth=depth, side=5) for seed, depth in ((0, 3), (1, 4))]
    outputs = [Output(CellAnswer(jnp.zeros((1, 4, 4))), one) for one in found]
    # The stage of 6 cells is not the head's: nothing of it is cut.
    kept = slice(1, 4) if which == "head" else slice(5)
    cut = [
        {n: x[:, kept, kept] if n == "template/conv3" else x for n, x in one.items()}
        for one in jax.tree.map(lambda x: np.asarray(x, np.float64), found)
    ]
    expected = reference.target_response(*cut, ("conv1", "conv3"))
    term = Response(layers=("conv1", 3), template_cells=which)
    got = value(term, view_of(*outputs, labels=labels, specs={"own": CUT}))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_templates_that_are_cut_otherwise_do_not_compare():
    head = dataclasses.replace(CUT_HEAD, template_cells=0)
    whole = dataclasses.replace(CUT, head=head)
    term = Response(layers=("conv1", "conv3"))
    term.check(CUT, CUT, {})
    with pytest.raises(InputError, match=r"\[15, 3\], the teacher's \[15, 5\]; .*cut"):
        term.check(CUT, whole, {})
    dataclasses.replace(term, template_cells="full").check(CUT, whole, {})


@pytest.mark.parametrize("scale", ["mean", "cells"])
def test_search_and_template_part_are_logged_apart(scale):
    student, teacher = output(0), output(1, depth=5)
    term = Response(layers=(2,), scale=scale)
    parts, logs = jax.jit(lambda: term(view_of(student, teacher, labels=MASKED)))()
    factors = {"mean": (1 / 36, 1 / 9), "cells": (SEARCH_SCALE, TEMPLATE_SCALE)}
    for name, image, factor in zip(
        ("str_x", "str_z"), ("search", "template"), factors[scale], strict=True
    ):
        expected = factor * unit_squares(student, teacher, image)
        np.testing.assert_allclose(logs[name], expected, rtol=1e-4)
    np.testing.assert_allclose(
        parts[0].total / parts[0].number, logs["str_x"] + logs["str_z"], rtol=1e-6
    )


def test_devices_agree_on_the_parts_that_are_logged():
    student, teacher = output(0), output(1, depth=5)
    labels = cell_labels(jnp.asarray(GRID), jnp.array([1.0, 0.5]), jnp.zeros(2))
    term = Response(layers=(2,), scale="cells")

    def found(student, teacher, labels, *, axis_name=None):
        everywhere = functools.partial(psum, axis_name=axis_name)
        seen = view_of(student, teacher, labels=labels, psum=everywhere)
        parts, logs = term(seen)
        return everywhere(reduce_parts(parts, axis_name)), logs

    one = jax.jit(found)(student, teacher, labels)
    two = jax.pmap(
        functools.partial(found, axis_name="data"),
        axis_name="data",
        devices=jax.local_devices()[:2],
    )(*jax.tree.map(lambda leaf: leaf[:, None], (student, teacher, labels)))
    for device in range(2):
        jax.tree.map(
            lambda a, b, d=device: np.testing.assert_allclose(a[d], b, rtol=1e-5),
            two,
            one,
        )


def test_a_norm_over_cells_has_no_scale():
    with pytest.raises(InputError, match=r"Response\.scale='cells': must be 'mean'"):
        Response(reduction="l2", scale="cells")


@pytest.mark.parametrize("stop", [False, True])
def test_the_students_weight_is_a_constant_if_told_so(stop):
    student, teacher = output(0), output(1)
    term, name = Response(layers=(2,), stop_weight=stop), "template/conv2"

    def total(template):
        own = student._replace(taps={**student.taps, name: template})
        (part,) = term(view_of(own, teacher, labels=CELLS)).parts
        return part.total

    def template_part(template):
        values = losses.template_response_loss(template, teacher.taps[name])
        return values.sum()

    @jax.jit
    def through_w(template):
        # W alone lets the search part see the student's template.
        return jax.grad(total)(template) - jax.grad(template_part)(template)

    found = np.abs(through_w(student.taps[name])).max()
    assert bool(found > 1e-5) == (not stop)


def test_the_plain_mean_weighs_every_cell_alike():
    own = output(0)
    response = first(own)[0]
    loss = np.logaddexp(0.0, np.where(GRID > 0, -response, response))
    config = TaskConfig(classification="mean")
    (part,) = task_parts(own.answer, MASKED, config)
    np.testing.assert_allclose(part.total / part.number, loss.mean(), rtol=1e-5)
    assert float(part.number) == 16
