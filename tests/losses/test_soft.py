import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.errors import InputError


def test_bernoulli_kl_by_hand():
    student, teacher = jnp.zeros((1, 1)), jnp.full((1, 1), jnp.log(3.0))
    # P_s = (1/2, 1/2), P_t = (3/4, 1/4)
    literal = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    hinton = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    value = losses.bernoulli_kl(student, teacher)
    np.testing.assert_allclose(value[0, 0], literal, rtol=1e-6)
    value = losses.bernoulli_kl(student, teacher, direction="teacher_first")
    np.testing.assert_allclose(value[0, 0], hinton, rtol=1e-6)


def test_gradient_with_teacher_first_is_the_difference_of_probabilities():
    student, teacher = jnp.array([[0.5, -3.0]]), jnp.array([[2.0, -1.0]])
    grad = jax.grad(
        lambda s: losses.bernoulli_kl(s, teacher, direction="teacher_first").sum()
    )(student)
    expected = jax.nn.sigmoid(student) - jax.nn.sigmoid(teacher)
    np.testing.assert_allclose(grad, expected, rtol=1e-6)


def test_a_confident_disagreement_costs_its_gap_in_logits():
    student, teacher = jnp.full((1, 1), 50.0), jnp.full((1, 1), -50.0)
    # p_s = 1, so KL = log(1 / sigmoid(-50)) = 50 to within e^-50
    np.testing.assert_allclose(losses.bernoulli_kl(student, teacher), 50.0, rtol=1e-6)


def test_a_traced_temperature_softens():
    student, teacher = jnp.full((1, 2), 1.0), jnp.full((1, 2), 3.0)
    soft = jax.jit(lambda t: losses.bernoulli_kl(student, teacher, temperature=t))
    halved = losses.bernoulli_kl(0.5 * student, 0.5 * teacher)
    np.testing.assert_allclose(soft(jnp.array(2.0)), halved, rtol=1e-6)


def test_spatial_kl_ignores_a_constant_added_to_the_response():
    student = jnp.arange(9.0).reshape(1, 3, 3)
    teacher = jnp.flip(student, axis=-1)
    moved = losses.spatial_kl(student + 7.0, teacher - 5.0)
    np.testing.assert_allclose(moved, losses.spatial_kl(student, teacher), rtol=1e-5)


@pytest.mark.parametrize("loss", [losses.bernoulli_kl, losses.spatial_kl])
def test_unknown_direction_is_refused(loss):
    with pytest.raises(InputError, match="direction='both': must be"):
        inspect.unwrap(loss)(jnp.zeros((1, 1)), jnp.zeros((1, 1)), direction="both")
