"""Optimizer settings and schedules."""

import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.train import OptimConfig, make_optimizer

pytestmark = pytest.mark.optax


def rates(config, steps):
    """The learning rate of each step, read off plain gradient descent."""
    tx = make_optimizer(config, total_steps=steps)
    state = tx.init(jnp.zeros(1))
    found = []
    for _ in range(steps):
        update, state = tx.update(jnp.ones(1), state, jnp.zeros(1))
        found.append(-float(update[0]))
    return found


def test_the_rate_falls_exponentially_from_first_to_last_step():
    config = OptimConfig(learning_rate=1e-2, final_learning_rate=1e-4)
    np.testing.assert_allclose(rates(config, 5), 10.0 ** np.linspace(-2, -4, 5), 1e-5)


def test_the_rate_can_be_held_before_it_falls():
    config = OptimConfig(
        epochs=7.0, hold_epochs=2.0, learning_rate=1e-2, final_learning_rate=1e-4
    )
    expected = [1e-2, 1e-2, *10.0 ** np.linspace(-2, -4, 5)]
    np.testing.assert_allclose(rates(config, 7), expected, 1e-5)
    with pytest.raises(InputError, match=r"hold_epochs=7.0: .*below the 7.0 epochs"):
        OptimConfig(epochs=7.0, hold_epochs=7.0)


def test_equal_rates_stay_constant():
    np.testing.assert_allclose(rates(OptimConfig(), 3), 1e-2, rtol=1e-6)


def test_decay_and_clipping_come_before_momentum():
    config = OptimConfig(weight_decay=0.1, clip_norm=1.0, momentum=0.5)
    tx = make_optimizer(config, total_steps=10)
    params = jnp.array([2.0, 0.0])
    state = tx.init(params)
    update, state = tx.update(jnp.array([3.0, 4.0]), state, params)
    # clip to norm 1: (.6, .8); decay adds .1 * (2, 0); times the rate.
    np.testing.assert_allclose(update, [-0.008, -0.008], rtol=1e-5)


def test_length_in_steps():
    config = OptimConfig(epochs=2.5, pairs_per_epoch=100)
    assert config.steps_per_epoch(8) == 12
    assert config.total_steps(8) == 30


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0.0),
        ("learning_rate", -1.0),
        ("momentum", 1.0),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("pairs_per_epoch", 0),
    ],
)
def test_unfit_settings_are_named(field, value):
    with pytest.raises(InputError, match=field):
        OptimConfig(**{field: value})
