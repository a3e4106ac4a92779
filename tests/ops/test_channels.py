"""Operations channel by channel against float64 NumPy and JAX's own gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.ops.channels import add_bias, channel_sum, normalise, power_sums

SHAPE = (3, 7, 5, 4)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1, 2), (40, 3, 9, 1)])
def test_sum_of_each_channel(shape):
    x = draw(*shape)
    expected = x.astype(np.float64).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(jax.jit(channel_sum)(x), expected, rtol=1e-5, atol=1e-5)


def test_power_sums_are_those_of_values_and_squares():
    x = draw(*SHAPE)
    exact = x.astype(np.float64).reshape(-1, SHAPE[-1])
    total, squares = power_sums(x)
    np.testing.assert_allclose(total, exact.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(squares, (exact**2).sum(0), rtol=1e-5)


def test_normalise_is_the_formula():
    x, mean, inverse, scale, bias = draw(*SHAPE), *draw(4, 4, seed=1)
    exact = x.astype(np.float64)
    expected = (exact - mean) * (inverse.astype(np.float64) * scale) + bias
    np.testing.assert_allclose(
        normalise(x, mean, inverse, scale, bias), expected, rtol=1e-5, atol=1e-6
    )


def plain_sums(x):
    return jnp.sum(x, axis=(0, 1, 2)), jnp.sum(x * x, axis=(0, 1, 2))


def plain_normalise(x, mean, inverse, scale, bias):
    parts = (part[None, None, None] for part in (mean, inverse * scale, bias))
    mean, factor, bias = parts
    return (x - mean) * factor + bias


@pytest.mark.parametrize(
    ("ours", "plain", "operands"),
    [
        (add_bias, lambda x, b: x + b[None, None, None], 1),
        (power_sums, plain_sums, 0),
        (normalise, plain_normalise, 4),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_closed_gradients_are_those_of_autodiff(ours, plain, operands, mapped):
    arguments = [draw(*SHAPE), *draw(operands, SHAPE[-1], seed=1)]
    if mapped:
        ours, plain = jax.vmap(ours), jax.vmap(plain)
        arguments = [np.stack([a, 2 * a + 1]) for a in arguments]
    results = []
    with jax.enable_x64(True):
        exact = [a.astype(np.float64) for a in arguments]
        for function in (ours, plain):
            values, backward = jax.vjp(function, *exact)
            flow = jax.tree.map(
                lambda leaf: draw(*leaf.shape, seed=2).astype(leaf.dtype), values
            )
            results.append((values, backward(flow)))
    for actual, expected in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
