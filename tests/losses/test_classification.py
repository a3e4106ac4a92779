import jax
import jax.numpy as jnp
import numpy as np

from dst_jax import losses

balanced_mean = jax.jit(losses.balanced_mean)


def test_logistic_by_hand():
    response = jnp.array([[[0.0, 2.0, 2.0]]])
    labels = jnp.array([[[1.0, 1.0, 0.0]]])
    # log 2, log(1 + e^-2), log(1 + e^2)
    expected = [[[0.6931472, 0.1269280, 2.1269280]]]
    np.testing.assert_allclose(losses.logistic(response, labels), expected, rtol=1e-6)


def test_one_label_map_serves_the_whole_batch(keys):
    response = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    labels = np.eye(3, 4, dtype=np.float32)[None]
    values = np.asarray(losses.logistic(response, labels))
    np.testing.assert_array_equal(values[1], losses.logistic(response[1], labels[0]))


def test_positives_and_negatives_weigh_one_half_each():
    labels = np.zeros((4, 5, 5), np.float32)
    labels[:, 2, 1:4] = 1.0
    weights = np.asarray(jax.jit(losses.balanced_weights)(labels))
    # 12 positives and 88 negatives in the batch
    np.testing.assert_allclose(weights[:, 2, 1:4], 0.5 / 12.0, rtol=1e-6)
    np.testing.assert_allclose(weights[0, 0, 0], 0.5 / 88.0, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-6)


def test_balanced_mean_by_hand():
    values = jnp.array([[[1.0, 3.0, 10.0, 20.0]]])
    labels = jnp.array([[[1.0, 1.0, 0.0, 0.0]]])
    # (1 + 3) / 2 / 2 + (10 + 20) / 2 / 2
    np.testing.assert_allclose(balanced_mean(values, labels), 8.5, rtol=1e-6)


def test_masked_batch_equals_the_shorter_one(keys):
    values = np.arange(36, dtype=np.float32).reshape(4, 3, 3)
    labels = np.zeros((1, 3, 3), np.float32)
    labels[0, 1, 1] = 1.0
    mask = np.array([1.0, 0.0, 1.0, 0.0], np.float32)
    masked = balanced_mean(values, labels, mask=mask)
    shorter = balanced_mean(values[::2], labels)
    np.testing.assert_allclose(masked, shorter, rtol=1e-6)


def test_a_kind_that_is_absent_weighs_nothing():
    values, none = np.full((2, 3, 3), 4.0, np.float32), np.zeros(2, np.float32)
    negatives = balanced_mean(values, np.zeros_like(values))
    np.testing.assert_allclose(negatives, 2.0, rtol=1e-6)
    nothing = balanced_mean(values, np.ones_like(values), mask=none)
    np.testing.assert_array_equal(nothing, 0.0)
