import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.errors import InputError


def test_both_students_learn_unless_the_peer_is_stopped():
    first, second = jnp.array([[0.5, -1.0]]), jnp.array([[1.5, 0.0]])

    def total(peer, stop):
        return losses.knowledge_sharing(first, peer, stop_peer=stop).sum()

    np.testing.assert_array_equal(jax.grad(total)(second, True), 0.0)
    # d/dt KL(sigmoid(s), sigmoid(t)) = sigmoid(t) - sigmoid(s)
    expected = jax.nn.sigmoid(second) - jax.nn.sigmoid(first)
    np.testing.assert_allclose(jax.grad(total)(second, False), expected, rtol=1e-5)


def test_sharing_is_the_soft_loss_with_the_peer_as_teacher():
    first, second = jnp.array([[0.5, -1.0]]), jnp.array([[1.5, 0.0]])
    np.testing.assert_array_equal(
        losses.knowledge_sharing(first, second, temperature=2.0),
        losses.bernoulli_kl(first, second, temperature=2.0),
    )


@pytest.mark.parametrize(
    ("epoch", "options", "expected"),
    [
        (0.0, {}, 1.0),
        (1.0, {}, 0.9),
        (2.5, {}, 0.9**2.5),
        (3.0, {"base": 0.5}, 0.125),
        (9.0, {"warmup_epochs": 10.0}, 1.0),
        (12.0, {"warmup_epochs": 10.0}, 0.81),
        (50.0, {"base": 1.0}, 1.0),
    ],
)
def test_schedule_falls_geometrically_after_the_warmup(epoch, options, expected):
    eager = losses.sharing_schedule(epoch, **options)
    traced = jax.jit(lambda e: losses.sharing_schedule(e, **options))(jnp.array(epoch))
    assert eager.dtype == traced.dtype == jnp.float32
    np.testing.assert_allclose([eager, traced], expected, rtol=1e-6)


@pytest.mark.parametrize("base", [0.0, -0.5, 1.5])
def test_schedule_refuses_a_base_that_does_not_fall(base):
    with pytest.raises(InputError, match=f"base={base}"):
        losses.sharing_schedule(0.0, base=base)


def test_gate_opens_and_closes_where_the_paper_says():
    # Binary fractions, so that the gap of exactly h is exact.
    learner = jnp.array([0.25, 0.5, 0.625, 0.75, 1.0, jnp.nan])
    teacher = jnp.full(6, 0.5)
    opened = losses.gate(learner, teacher, margin=0.25)
    np.testing.assert_array_equal(opened, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    assert opened.dtype == jnp.float32


def test_default_margin_is_the_papers():
    teacher = jnp.zeros(2)
    opened = losses.gate(jnp.array([0.0049, 0.0051]), teacher)
    np.testing.assert_array_equal(opened, [1.0, 0.0])


def test_sigma_is_the_schedule_where_the_gate_is_open():
    learner, teacher = jnp.array([0.5, 2.0]), jnp.array([0.5, 0.5])
    values = losses.sigma(learner, teacher, 2.0)
    np.testing.assert_allclose(values, [0.81, 0.0], rtol=1e-6)


def test_sigma_passes_no_gradient():
    grads = jax.grad(losses.sigma, argnums=(0, 1, 2))(
        jnp.array(0.5), jnp.array(0.5), jnp.array(3.0)
    )
    np.testing.assert_array_equal(grads, 0.0)


def test_the_larger_peer_is_trusted_and_the_smaller_or_equal_one_discounted():
    # Parameters of the half-width student and of the stand-in for the dull one.
    assert losses.sharing_weight(177_000, 593_696) == 1.0
    assert losses.sharing_weight(593_696, 177_000) == 0.5
    assert losses.sharing_weight(7, 7, discount=0.25) == 0.25
    with pytest.raises(InputError, match=r"discount=1.5: must be"):
        losses.sharing_weight(1, 2, discount=1.5)


@pytest.mark.parametrize(
    ("students", "peers", "paper"), [(1, 0.0, 1.0), (2, 1.0, 0.5), (5, 0.25, 0.2)]
)
def test_normaliser_counts_peers_or_students(students, peers, paper):
    assert losses.sharing_normaliser(students) == peers
    assert losses.sharing_normaliser(students, norm="paper") == paper


def test_normaliser_needs_a_student():
    with pytest.raises(InputError, match="students=0"):
        losses.sharing_normaliser(0)
