import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.errors import InputError
from tests.losses import reference


def at(*distances):
    """Boxes whose four numbers sum to these plain distances from 0, in the first."""
    return jnp.array([[d, 0.0, 0.0, 0.0] for d in distances])


TARGET = jnp.zeros((3, 4))


def test_smooth_l1_by_hand():
    # .5 * .5^2 + (3 - .5) + 0 + (1 - .5)
    value = losses.smooth_l1(jnp.array([0.5, -3.0, 0.0, 1.0]), jnp.zeros(4))
    np.testing.assert_allclose(value, 0.125 + 2.5 + 0.5, rtol=1e-6)
    # beta 2: .5^2 / 4 + (3 - 1) + 1 / 4
    value = losses.smooth_l1(jnp.array([0.5, -3.0, 0.0, 1.0]), jnp.zeros(4), beta=2.0)
    np.testing.assert_allclose(value, 0.0625 + 2.0 + 0.25, rtol=1e-6)


def test_smooth_l1_with_beta_0_is_l1():
    boxes = jnp.array([0.5, -3.0, 0.0, 1.0])
    assert losses.l1(boxes, jnp.zeros(4)).item() == 4.5
    assert losses.smooth_l1(boxes, jnp.zeros(4), beta=0.0).item() == 4.5


@pytest.mark.parametrize("beta", [0.0, 0.1, 2.0])
def test_smooth_l1_equals_loops_at_any_beta(beta):
    boxes, target = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    with jax.enable_x64(True):
        value = losses.smooth_l1(boxes, target, beta=beta)
    expected = reference.smooth_l1(boxes, target, beta)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


@pytest.mark.parametrize("beta, expected", [(1.0, (-1, -0.5, 0, 0.5, 1)), (0.0, None)])
def test_the_gradient_is_the_clipped_difference(beta, expected):
    difference = jnp.array([-2.0, -0.5, 0.0, 0.5, 1.0])
    boxes = jnp.stack([difference] * 4, axis=-1)
    expected = expected or (-1, -1, 0, 1, 1)
    total = jax.grad(lambda x: losses.smooth_l1(x, 0.0 * x, beta=beta).sum())
    np.testing.assert_allclose(total(boxes)[:, 2], expected, rtol=1e-6)


def test_a_student_worse_than_its_teacher_learns_and_a_better_one_rests():
    student, teacher = at(3.0, 1.0, 2.0), at(2.0, 2.0, 2.0)
    # Losses 2.5, .5, 1.5 against 1.5: gaps -1, 1, 0.
    value = losses.bounded_regression(student, teacher, TARGET)
    np.testing.assert_allclose(value, (2.5, 0.0, 1.5), rtol=1e-6)


def test_the_gate_closes_at_a_lead_of_exactly_the_margin():
    student, teacher = at(1.75, 1.5, 1.25), at(2.0, 2.0, 2.0)
    # Gaps .25, .5, .75, exact in binary.
    value = losses.bounded_regression(student, teacher, TARGET, margin=0.5)
    np.testing.assert_array_equal(value, (1.25, 0.0, 0.0))


def test_the_default_margin_is_that_of_the_paper():
    losses_of = jnp.array([1.0, 1.0]), jnp.array([1.0049, 1.0051])
    np.testing.assert_array_equal(losses.bounded_gate(*losses_of), (1.0, 0.0))


def test_a_nan_closes_the_gate():
    nan, one = jnp.full((1,), jnp.nan), jnp.ones(1)
    assert losses.bounded_gate(nan, one).item() == 0.0
    assert losses.bounded_gate(one, nan).item() == 0.0


def test_an_open_gate_passes_the_gradient_of_the_plain_loss_and_a_closed_one_none():
    student, teacher = at(3.0, 1.0, 0.5), at(2.0, 2.0, 0.25)
    grad = jax.grad(lambda s: losses.bounded_regression(s, teacher, TARGET).sum())
    np.testing.assert_allclose(grad(student), at(1.0, 0.0, 0.5), rtol=1e-6)


def test_a_gate_over_the_batch_compares_means():
    student, teacher = at(3.0, 1.0, 2.0), at(2.0, 2.0, 2.0)

    # Means 1.5 and 1.5: open for all; with a better student closed for all.
    def over(weight):
        def mean(values):
            total = jnp.sum(values * weight)
            return total / jnp.maximum(jnp.sum(weight), 1.0)

        return mean

    everything = jnp.ones(3)

    @jax.jit
    def bounded(s, weight=everything):
        return losses.bounded_regression(s, teacher, TARGET, compared=over(weight))

    np.testing.assert_allclose(bounded(student), (2.5, 0.5, 1.5), rtol=1e-6)
    np.testing.assert_array_equal(bounded(at(2.5, 1.0, 2.0)), 0.0)
    # Only the last two count: .5 and 1.5 against 1.5 each.
    weight = jnp.array([0.0, 1.0, 1.0])
    np.testing.assert_array_equal(bounded(student, weight), 0.0)
    # Nothing counts: no gap, so all learn.
    value = bounded(student, jnp.zeros(3))
    np.testing.assert_allclose(value, (2.5, 0.5, 1.5), rtol=1e-6)


def test_a_weighted_gate_over_the_batch_equals_loops():
    rng = np.random.default_rng(1)
    weight = rng.uniform(size=(2, 3))
    opened = []
    for _ in range(8):
        arrays = rng.normal(size=(3, 2, 3, 4))
        with jax.enable_x64(True):
            value = losses.bounded_regression(
                *arrays, compared=lambda v: jnp.sum(v * weight) / weight.sum()
            )
        expected = reference.bounded_regression(*arrays, gate="batch", weight=weight)
        np.testing.assert_allclose(value, expected, rtol=1e-9)
        opened.append(bool(np.any(expected)))
    assert set(opened) == {True, False}


def test_a_peer_that_is_not_stopped_moves_the_other_way():
    learner, peer = at(3.0, 1.0, 0.5), at(2.0, 2.0, 0.25)
    total = jax.grad(
        lambda both: losses.regression_sharing(*both, stop_peer=False).sum()
    )
    mine, theirs = total((learner, peer))
    np.testing.assert_allclose(mine, at(1.0, -1.0, 0.25), rtol=1e-6)
    np.testing.assert_array_equal(mine, -theirs)


def test_a_negative_beta_is_refused():
    with pytest.raises(InputError, match=r"beta=-1\.0: must be at least 0"):
        losses.smooth_l1(TARGET, TARGET, beta=-1.0)
