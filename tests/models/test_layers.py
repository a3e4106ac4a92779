"""The normalisation of several maps together, against Flax's of one array."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.models.kinds import Kinds
from dst_jax.models.layers import BatchNorm

SETTINGS = {"momentum": 0.9, "epsilon": 1e-3}


def kinds(*, dtype=jnp.float32, axis_name=None):
    """The same settings as our modules get them."""
    return Kinds(
        dtype, jnp.float32, axis_name, SETTINGS["epsilon"], SETTINGS["momentum"]
    )


def maps(count: int, dtype=np.float32) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    sides = [(4, 6, 5), (4, 3, 2)][:count]
    return [(3 * rng.standard_normal((*s, 7)) + 1).astype(dtype) for s in sides]


def reference(variables, images, *, train, dtype=jnp.float32):
    """Flax's layer on all cells in one array, its new statistics and gradients."""
    norm = nn.BatchNorm(use_running_average=not train, dtype=dtype, **SETTINGS)
    cells = jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in images])
    with jax.numpy_dtype_promotion("standard"):
        return norm.apply(variables, cells, mutable=["batch_stats"])


def ours(variables, images, *, train, dtype=jnp.float32, axis_name=None):
    norm = BatchNorm(kinds(dtype=dtype, axis_name=axis_name))
    results, changed = norm.apply(
        variables, images, train=train, mutable=["batch_stats"]
    )
    return jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in results]), changed


def fresh_variables():
    rng = np.random.default_rng(9)
    draw = lambda: rng.uniform(0.5, 2.0, 7).astype(np.float32)  # noqa: E731
    return {
        "params": {"scale": draw(), "bias": draw()},
        "batch_stats": {"mean": draw(), "var": draw()},
    }


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_it_is_flaxs_layer_on_all_cells(train, count, dtype):
    images, variables = maps(count, dtype), fresh_variables()
    actual, changed = ours(variables, images, train=train, dtype=dtype)
    expected, wanted = reference(variables, images, train=train, dtype=dtype)
    assert actual.dtype == expected.dtype
    tolerance = 2e-5 if dtype == jnp.float32 else 2e-2
    as_floats = [np.asarray(x, np.float32) for x in (actual, expected)]
    np.testing.assert_allclose(*as_floats, rtol=tolerance, atol=tolerance)
    assert jax.tree.structure(changed) == jax.tree.structure(wanted)
    for ours_now, theirs in zip(*map(jax.tree.leaves, (changed, wanted)), strict=True):
        np.testing.assert_allclose(ours_now, theirs, rtol=1e-5, atol=1e-6)


def test_its_gradient_is_that_of_flaxs_layer():
    images, variables = maps(2), fresh_variables()
    statistics = variables["batch_stats"]

    def squares(layer, params, images):
        state = {"params": params, "batch_stats": statistics}
        return jnp.sum(jnp.sin(layer(state, images, train=True)[0]))

    actual, expected = (
        jax.grad(squares, argnums=(1, 2))(layer, variables["params"], images)
        for layer in (ours, reference)
    )
    for pair in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        np.testing.assert_allclose(*pair, rtol=2e-4, atol=2e-5)


def test_a_mapped_axis_shares_the_statistics():
    image, variables = maps(1)[0], fresh_variables()
    halves = image.reshape(2, 2, *image.shape[1:])
    split = jax.vmap(
        lambda half: ours(variables, [half], train=True, axis_name="devices"),
        axis_name="devices",
    )
    parts, changed = split(halves)
    whole, wanted = ours(variables, [image], train=True)
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, rtol=1e-4, atol=1e-5)
    for ours_now, alone in zip(*map(jax.tree.leaves, (changed, wanted)), strict=True):
        np.testing.assert_allclose(ours_now[0], alone, rtol=1e-5)


def test_fresh_variables_are_flaxs():
    norm = BatchNorm(kinds(axis_name="devices"))
    actual = norm.init(jax.random.key(0), maps(2), train=True)
    theirs = nn.BatchNorm(use_running_average=False, **SETTINGS)
    expected = theirs.init(jax.random.key(0), maps(2)[0])
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for pair in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        np.testing.assert_array_equal(*pair)
