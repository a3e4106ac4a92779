"""Feature distillation: three forms of one value, their memory, degenerate maps."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.errors import InputError
from tests.losses import reference

FORMS = ("direct", "blockwise", "gram")


def maps(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


@functools.cache
def slope(form):
    """Values of the pair loss, and the gradient of their sum in the student."""

    def total(student, teacher):
        values = losses.pair_distance(student, teacher, form=form)
        return jnp.sum(values), values

    return jax.jit(jax.grad(total, has_aux=True))


# 25 cells are one block; 21 rows of 5 cells are three of 35.
@pytest.mark.parametrize("sides", [(5, 5), (21, 5)], ids=str)
def test_the_three_forms_have_one_value_and_one_gradient(sides):
    student, teacher = maps(0, (2, *sides, 4), (2, *sides, 7))
    with jax.enable_x64(True):
        found = [slope(form)(student, teacher) for form in FORMS]
        for gradient, values in found[1:]:
            np.testing.assert_allclose(values, found[0][1], rtol=0, atol=1e-10)
            np.testing.assert_allclose(gradient, found[0][0], rtol=0, atol=1e-10)
    assert np.max(np.abs(found[0][0])) > 1e-4


def temporaries(form, batch, side, channels):
    """Bytes that the program of value and gradient needs beside both."""
    shapes = [(batch, side, side, c) for c in channels]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return slope(form).lower(*arrays).compile().memory_analysis().temp_size_in_bytes


def test_blockwise_holds_less_than_a_quarter_of_what_direct_holds():
    # So few channels that features and their gradients are next to nothing.
    direct, blockwise = (temporaries(f, 32, 21, (4, 4)) for f in FORMS[:2])
    assert direct >= 32 * 441**2 * 4  # one matrix of the batch at least
    assert blockwise < 0.25 * direct


def test_the_default_is_the_form_with_fewer_products():
    # (s^2 + t^2 + s t) / (s + t) by hand: 450,624 / 760 = 592.9, 366,352 / 668 = 548.4
    # and 1,769,472 / 1,536 = 1,152.
    for (student, teacher), last in (
        ((248, 512), 592),
        ((156, 512), 548),
        ((768, 768), 1152),
    ):
        cheapest = functools.partial(
            losses.cheapest_pair_form,
            student_channels=student,
            teacher_channels=teacher,
        )
        assert cheapest(last) == "direct"
        assert cheapest(last + 1) == "gram"


def test_gram_is_never_computed_below_float32():
    student, teacher = (
        jnp.asarray(m, jnp.bfloat16) for m in maps(1, (2, 4, 4, 3), (2, 4, 4, 5))
    )
    values = losses.pair_distance(student, teacher, form="gram")
    assert values.dtype == jnp.float32
    exact = reference.pair_distance(
        *(np.asarray(m, np.float64) for m in (student, teacher))
    )
    np.testing.assert_allclose(values, exact, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_teacher_of_zeros_gives_a_finite_loss_and_gradient(form):
    (student,) = maps(2, (2, 4, 4, 3))
    gradient, values = slope(form)(np.float32(student), np.zeros((2, 4, 4, 5)))
    # No cell of the teacher is similar to any; what is left is the student's own.
    own = [
        [reference.cosine(a, b) ** 2 for a in s for b in s]
        for s in student.reshape(2, 16, 3)
    ]
    np.testing.assert_allclose(values, np.mean(own, axis=1), rtol=1e-5)
    assert np.all(np.isfinite(gradient))


def test_similarities_do_not_depend_on_the_scale_of_features():
    student, teacher = maps(3, (2, 3, 3, 3), (2, 3, 3, 5))
    values = losses.pair_distance(np.float32(student), np.float32(teacher))
    # Their squares are beyond float32.
    grown = losses.pair_distance(
        np.float32(1e25 * student), np.float32(1e-25 * teacher)
    )
    np.testing.assert_allclose(grown, values, rtol=1e-5)


def test_unknown_forms_are_refused():
    (one,) = maps(4, (1, 2, 2, 2))
    with pytest.raises(InputError, match=r"form='gramm': must be one of"):
        inspect.unwrap(losses.pair_distance)(one, one, form="gramm")
    with pytest.raises(InputError, match=r"form='l1': must be \"mse\" or \"l2\""):
        inspect.unwrap(losses.point_distance)(one, one, form="l1")
