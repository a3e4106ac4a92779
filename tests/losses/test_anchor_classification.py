import math

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax import losses
from tests.losses import reference


def random_anchors(seed=0):
    rng = np.random.default_rng(seed)
    logits = 3.0 * rng.normal(size=(2, 3, 3, 5, 2))
    return logits, rng.integers(-1, 2, logits.shape[:-1]).astype(np.int32)


def test_cross_entropy_by_hand():
    # softmax (1/4, 3/4)
    logits = jnp.log(jnp.array([[[1.0, 3.0]] * 3]))
    value = losses.cross_entropy(logits, jnp.array([[1, 0, -1]]))
    np.testing.assert_allclose(
        value, [[math.log(4 / 3), math.log(4.0), 0.0]], rtol=1e-6
    )


def test_cross_entropy_equals_the_loops_of_the_reference():
    logits, labels = random_anchors()
    expected = reference.cross_entropy(logits, labels)
    value = jax.jit(losses.cross_entropy)(logits.astype(np.float32), labels)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_cross_entropy_is_that_of_finite_differences():
    logits, labels = random_anchors(1)
    way, step = np.random.default_rng(2).normal(size=logits.shape), 1e-5
    ahead, behind = (
        reference.cross_entropy(logits + sign * step * way, labels).sum()
        for sign in (1.0, -1.0)
    )
    with jax.enable_x64(True):
        total = jax.jit(jax.grad(lambda x: losses.cross_entropy(x, labels).sum()))
        grad = np.asarray(total(jnp.asarray(logits)))
    np.testing.assert_allclose(np.vdot(grad, way), (ahead - behind) / (2 * step), 1e-6)
    # softmax less one-hot, and nothing at the ignored
    p = np.exp(logits[..., 1]) / np.exp(logits).sum(axis=-1)
    expected = np.where(labels < 0, 0.0, p - labels)
    np.testing.assert_allclose(grad[..., 1], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(grad[..., 0], -expected, rtol=1e-9, atol=1e-12)


def test_cross_entropy_is_finite_at_extremes():
    logits = jnp.array([[[1e4, -1e4], [-1e4, 1e4]]])
    labels = jnp.array([[1, 1]])
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), [[2e4, 0.0]])


def test_soft_classes_by_hand():
    student, teacher = jnp.zeros((1, 1, 2)), jnp.log(jnp.array([[[1.0, 3.0]]]))
    literal = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    np.testing.assert_allclose(losses.softmax_kl(student, teacher), literal, rtol=1e-6)
    hinton = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    value = losses.softmax_kl(student, teacher, direction="teacher_first")
    np.testing.assert_allclose(value, hinton, rtol=1e-6)


def test_a_constant_on_both_logits_changes_no_loss():
    a, b = (jnp.asarray(random_anchors(s)[0], jnp.float32) for s in (3, 4))
    moved = losses.softmax_kl(a + 2.0, b - 1.0)
    np.testing.assert_allclose(moved, losses.softmax_kl(a, b), rtol=1e-4, atol=1e-5)


def test_a_peer_that_is_not_stopped_is_drawn_too():
    a, b = jnp.zeros((1, 1, 2)), jnp.array([[[0.0, 2.0]]])
    total = jax.grad(lambda p: losses.softmax_sharing(a, p, stop_peer=False).sum())
    # d/dl KL(1/2 || sigmoid(l)) = sigmoid(l) - 1/2 in the log odds l
    slope = 1 / (1 + math.exp(-2.0)) - 0.5
    np.testing.assert_allclose(total(b), [[[-slope, slope]]], rtol=1e-5)
