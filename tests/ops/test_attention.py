"""Attention against loops over heads and tokens."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.ops.attention import (
    attention,
    attention_shares,
    default_attention_formulation,
)

BATCH, COUNT, HEADS, CHANNELS = 2, 5, 3, 4


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    shape = (BATCH, COUNT, HEADS * CHANNELS)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(3)]


def shares_of(query, keys, kept):
    """Softmax of one token of one head over the tokens that are kept."""
    weights = [
        np.exp(query @ key / CHANNELS**0.5) if there else 0.0
        for key, there in zip(keys, kept, strict=True)
    ]
    return np.array(weights) / sum(weights)


def by_loops(queries, keys, values, kept):
    found = np.zeros(queries.shape)
    for b in range(BATCH):
        for h in range(HEADS):
            own = slice(h * CHANNELS, (h + 1) * CHANNELS)
            for n in range(COUNT):
                shares = shares_of(queries[b, n, own], keys[b, :, own], kept[b])
                found[b, n, own] = shares @ values[b, :, own]
    return found


@pytest.mark.parametrize("formulation", ["plain", "xla"])
@pytest.mark.parametrize("masked", [False, True])
def test_each_formulation_agrees_with_loops(formulation, masked):
    queries, keys, values = drawn()
    kept = np.ones((BATCH, COUNT), bool)
    if masked:
        kept[0, 2:4], kept[1, 0] = False, False
    found = attention(
        queries,
        keys,
        values,
        heads=HEADS,
        kept=kept if masked else None,
        formulation=formulation,
    )
    aim = by_loops(queries, keys, values, kept)
    np.testing.assert_allclose(found, aim, rtol=1e-5, atol=1e-6)


def test_shares_are_the_mean_of_the_heads_softmaxes():
    queries, keys, _ = drawn()
    kept = np.array([[True] * 5, [True, False, True, True, False]])
    found = attention_shares(queries[:, 1], keys, heads=HEADS, kept=kept)
    for b in range(BATCH):
        split = [slice(h * CHANNELS, (h + 1) * CHANNELS) for h in range(HEADS)]
        each = [shares_of(queries[b, 1, s], keys[b, :, s], kept[b]) for s in split]
        np.testing.assert_allclose(found[b], np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(found[1, [1, 4]], 0.0)


def test_a_cpu_and_doubles_have_products_over_one_axis(monkeypatch):
    for dtype in (jnp.float32, jnp.float64):
        assert default_attention_formulation(dtype) == "plain"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert default_attention_formulation(jnp.float64) == "plain"
    assert default_attention_formulation(jnp.float32) == "xla"


def test_masked_attention_never_asks_for_cudnn():
    """Its kernels have no mask of one row, and a CPU has no cuDNN."""
    tokens = [x.astype(jnp.bfloat16) for x in drawn()]
    kept = np.ones((BATCH, COUNT), bool)
    kept[:, 2] = False
    with jax.numpy_dtype_promotion("standard"):  # JAX's attention adds types
        found, aim = (
            attention(*tokens, heads=HEADS, kept=kept, formulation=formulation)
            for formulation in ("cudnn", "xla")
        )
    np.testing.assert_array_equal(found, aim)


def test_gradients_have_no_product_over_two_batch_axes():
    """For these oneDNN has no fast kernel."""
    tokens = jnp.ones((2, 5, 6))

    def loss(x):
        return jnp.sum(attention(x, x, x, heads=3, formulation="plain"))

    program = str(jax.make_jaxpr(jax.grad(loss))(tokens))
    axes = re.findall(r"dimension_numbers=\(\(.*?\), \(\[(.*?)\]", program)
    assert len(axes) == 6 and set(axes) == {"0"}
