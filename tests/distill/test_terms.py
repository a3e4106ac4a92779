"""Single terms on made-up outputs, without any network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.distill import DistillConfig
from dst_jax.distill import cells as c
from dst_jax.distill import terms as t
from dst_jax.models import Output
from tests.distill import reference

CONFIG = DistillConfig(response_layers=(2,))


def output(seed, *, depth=3):
    rng = np.random.default_rng(seed)
    maps = {
        kind: {"conv2": rng.normal(size=(2, side, side, depth)).astype(np.float32)}
        for kind, side in (("template", 3), ("search", 6))
    }
    response = rng.normal(size=(2, 4, 4)).astype(np.float32)
    return jax.tree.map(jnp.asarray, Output(response, maps["template"], maps["search"]))


CELLS = c.cells_of(jnp.zeros((4, 4)), jnp.ones(2), jnp.zeros(2))
# One target cell; of two pairs the second does not count.
GRID = np.zeros((4, 4), np.float32)
GRID[1, 2] = 1.0
MASKED = c.cells_of(jnp.asarray(GRID), jnp.array([1.0, 0.0]), jnp.zeros(2))


def value(terms):
    """What a group of terms adds to the loss on one device."""
    return float(jax.jit(lambda: t.reduce_terms(terms, None))())


def first(output):
    """The response of the pair that counts, in float64."""
    return np.asarray(output.response[:1], np.float64)


def map_kl(student, teacher):
    """Divergence of the softmax over all cells of one map."""
    p, q = (np.exp(x) / np.exp(x).sum() for x in (student, teacher))
    return (p * np.log(p / q)).sum()


@pytest.mark.parametrize("direction", ["student_first", "teacher_first"])
@pytest.mark.parametrize("form", ["cell", "map"])
def test_soft_terms_follow_their_options(direction, form):
    student, teacher = output(0), output(1)
    config = dataclasses.replace(
        CONFIG, temperature=2.5, soft_kl=direction, soft_form=form
    )
    pair = [first(student) / 2.5, first(teacher) / 2.5]
    if direction == "teacher_first":
        pair.reverse()
    expected = map_kl(*pair)
    if form == "cell":
        expected = reference.balanced_kl(*pair, GRID[None])
    terms = c.soft_terms(student, teacher, MASKED, config, 3.0)
    np.testing.assert_allclose(value(terms), 3.0 * expected, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_sharing_terms_follow_their_options(reduction):
    learner, peer = output(0), output(1)
    config = dataclasses.replace(CONFIG, temperature=2.5, sharing_reduction=reduction)
    cells = reference.bernoulli_kl(first(learner) / 2.5, first(peer) / 2.5)
    expected = cells.mean() if reduction == "mean" else cells.sum()
    terms = c.sharing_terms(learner, peer, MASKED, config, 3.0)
    np.testing.assert_allclose(value(terms), 3.0 * expected, rtol=1e-5)


@pytest.mark.parametrize("norm", ["l2", "none"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("reduction", ["mse", "l2"])
def test_response_terms_follow_their_options(norm, weighted, reduction):
    student, teacher = output(0), output(1, depth=5)
    config = dataclasses.replace(
        CONFIG,
        response_norm=norm,
        response_weighted=weighted,
        response_reduction=reduction,
    )

    def map_of(features):
        return (
            reference.unit_map(features) if norm == "l2" else np.abs(features).sum(-1)
        )

    def maps(found):
        z, x = (
            np.asarray(part["conv2"][0], np.float64)
            for part in (found.template, found.search)
        )
        w = reference.weight_map(x, z)[..., None] if weighted else 1.0
        return map_of(z), map_of(w * x)

    expected = 0.0
    for one, two in zip(maps(student), maps(teacher), strict=True):
        squares = (one - two) ** 2
        expected += squares.mean() if reduction == "mse" else np.sqrt(squares.sum())
    terms = t.response_terms(student, teacher, MASKED.mask, config, 3.0)
    np.testing.assert_allclose(value(terms), 3.0 * expected, rtol=1e-4)


@pytest.mark.parametrize("stop", [False, True])
def test_the_students_weight_is_a_constant_if_told_so(stop):
    student, teacher = output(0), output(1)
    config = dataclasses.replace(CONFIG, response_stop_weight=stop)

    def total(template):
        own = student._replace(template={"conv2": template})
        (term,) = t.response_terms(own, teacher, CELLS.mask, config, 1.0)
        return term.total

    def template_part(template):
        values = losses.template_response_loss(template, teacher.template["conv2"])
        return values.sum()

    @jax.jit
    def through_w(template):
        # W alone lets the search part see the student's template.
        return jax.grad(total)(template) - jax.grad(template_part)(template)

    found = np.abs(through_w(student.template["conv2"])).max()
    assert bool(found > 1e-5) == (not stop)
