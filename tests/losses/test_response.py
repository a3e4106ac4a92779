import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.errors import InputError
from tests.losses import battery, reference


@pytest.fixture
def features():
    rng = np.random.default_rng(5)
    return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in battery.FEATURES]


def test_activation_map_by_hand():
    features = jnp.array([[[[1.0, -2.0, 3.0], [0.0, 0.0, -4.0]]]])
    np.testing.assert_array_equal(losses.activation_map(features), [[[6.0, 4.0]]])


def test_weight_equals_the_loops_at_an_even_template():
    rng = np.random.default_rng(1)
    search, template = rng.normal(size=(2, 8, 8, 3)), rng.normal(size=(2, 6, 6, 3))
    with jax.enable_x64(True):
        weight = losses.target_weight(search, template)
        expected = reference.target_weight(search, template)
        np.testing.assert_allclose(weight, expected, atol=1e-12)


def test_weight_lifts_the_target_out_of_a_busy_background():
    search = jnp.full((1, 9, 9, 2), 1.0).at[..., 1].set(0.0)
    target = jnp.array([0.0, 1.0])
    search = search.at[0, 3:6, 3:6].set(target)
    template = jnp.broadcast_to(target, (1, 3, 3, 2))
    run = jax.jit(losses.search_response, static_argnames="weighted")
    plain = run(search, template, weighted=False)
    weighted = run(search, template)
    # Every cell has the same activation; only W tells the target from the rest.
    np.testing.assert_allclose(plain, 1.0 / 9.0, rtol=1e-6)
    assert jnp.argmax(weighted) == 4 * 9 + 4
    np.testing.assert_allclose(weighted[0, 0], 0.0, atol=1e-6)


def test_parts_add_up(features):
    sx, sz, tx, tz = features
    parts = losses.search_response_loss(sx, sz, tx, tz)
    parts += losses.template_response_loss(sz, tz)
    whole = losses.siamese_target_response(sx, sz, tx, tz)
    np.testing.assert_allclose(whole, parts, rtol=1e-6)


def test_scaling_any_features_changes_nothing_under_unit_norm(features):
    sx, sz, tx, tz = features
    run = jax.jit(losses.siamese_target_response)
    plain, scaled = run(sx, sz, tx, tz), run(7.0 * sx, sz, tx, 0.1 * tz)
    np.testing.assert_allclose(plain, scaled, rtol=1e-4)


def test_stopping_the_weight_changes_the_gradient_and_not_the_value(features):
    sx, sz, tx, tz = features

    def total(z, stop):
        values = losses.search_response_loss(sx, z, tx, tz, stop_weight=stop)
        return jnp.sum(values)

    run = jax.jit(jax.value_and_grad(total), static_argnums=1)
    (value, grad), (same, through) = run(sz, True), run(sz, False)
    np.testing.assert_allclose(value, same, rtol=1e-6)
    # The student's template enters the search part through W alone.
    np.testing.assert_array_equal(grad, 0.0)
    assert np.any(np.asarray(through) != 0.0)


@pytest.mark.parametrize("norm", ["l2", "none"])
@pytest.mark.parametrize("reduction", ["mse", "l2"])
def test_all_zero_features_have_zero_finite_gradient(features, norm, reduction):
    sx, sz, tx, tz = features
    dead = [jnp.zeros_like(sx), jnp.zeros_like(sz)]

    def total(learnt, teacher):
        values = losses.siamese_target_response(
            *learnt, *teacher, norm=norm, reduction=reduction
        )
        return jnp.sum(values)

    run = jax.jit(jax.value_and_grad(total))
    for teacher in ([tx, tz], [jnp.zeros_like(tx), jnp.zeros_like(tz)]):
        value, grads = run(dead, teacher)
        assert np.isfinite(value)
        for grad in grads:
            np.testing.assert_array_equal(grad, 0.0)


def test_half_precision_maps_do_not_overflow(features):
    sx, sz, tx, tz = (1e6 * f.astype(jnp.bfloat16) for f in features)
    values = jax.jit(losses.siamese_target_response)(sx, sz, tx, tz)
    assert np.all(np.isfinite(np.asarray(values, np.float32)))


@pytest.mark.parametrize("option", [{"norm": "max"}, {"reduction": "sum"}])
def test_unknown_options_are_refused(option):
    q = jnp.ones((1, 2, 2, 1))
    with pytest.raises(InputError, match="must be"):
        inspect.unwrap(losses.template_response_loss)(q, q, **option)
