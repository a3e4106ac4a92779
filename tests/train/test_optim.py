"""Optimizer settings and schedules."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.decode import from_json, to_json
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


# The public recipe of SiamRPN++: 5 epochs up, then 15 down.
RECIPE = OptimConfig(
    epochs=20.0,
    pairs_per_epoch=600_000,
    rise_epochs=5.0,
    rise_from=1e-3,
    learning_rate=5e-3,
    final_learning_rate=5e-4,
    rate_per="epoch",
)
RISE = [0.001, 0.00138, 0.0019, 0.00263, 0.00362]


def test_the_rate_of_an_epoch_rises_short_of_where_it_falls_from():
    found = np.array(rates(RECIPE, 60)).reshape(20, 3)
    # The same throughout an epoch, here of three steps.
    np.testing.assert_array_equal(found, found[:, :1] * np.ones((1, 3)))
    np.testing.assert_allclose(found[:5, 0], RISE, rtol=3e-3)
    np.testing.assert_allclose(found[5:8, 0], [0.005, 0.00424, 0.0036], rtol=2e-3)
    np.testing.assert_allclose(found[-1, 0], 0.0005, rtol=1e-5)
    ratios = found[6:, 0] / found[5:-1, 0]
    np.testing.assert_allclose(ratios, 0.8483, rtol=1e-4)


def test_a_rise_can_reach_the_rate_as_it_is_written():
    found = rates(dataclasses.replace(RECIPE, rise_reaches=True), 20)
    np.testing.assert_allclose(found[:5], 1e-3 * 5.0 ** np.linspace(0, 1, 5), rtol=1e-5)
    np.testing.assert_allclose(found[5], 0.005, rtol=1e-5)


def test_a_rise_by_steps_passes_the_same_rates():
    per_step = dataclasses.replace(RECIPE, rate_per="step")
    found = rates(per_step, 60)
    # The first steps of its epochs have those of the epochs.
    np.testing.assert_allclose(found[:15:3], RISE, rtol=3e-3)
    np.testing.assert_allclose(found[:15], 1e-3 * 5.0 ** (np.arange(15) / 15), 1e-5)
    fall = 5e-3 * 0.1 ** (np.arange(45) / 44)
    np.testing.assert_allclose(found[15:], fall, rtol=1e-5)
    reached = rates(dataclasses.replace(per_step, rise_reaches=True), 60)
    np.testing.assert_allclose(reached[14:16], [5e-3, 5e-3], rtol=1e-5)


def test_a_rate_can_rise_hold_and_fall():
    config = dataclasses.replace(RECIPE, epochs=8.0, rise_epochs=2.0, hold_epochs=3.0)
    expected = [1e-3, 1e-3 * 5**0.5, 5e-3, 5e-3, 5e-3, 5e-3, 5e-3 * 0.1**0.5, 5e-4]
    np.testing.assert_allclose(rates(config, 8), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rise_epochs": 20.0}, r"rise_epochs=20.0: .*below the 20.0 epochs"),
        ({"hold_epochs": 15.0}, r"rise_epochs=5.0: with hold_epochs=15.0 leaves none"),
        ({"rise_epochs": 2.5}, r"rise_epochs=2.5: must be whole where rate_per"),
        ({"rise_from": 0.0}, "rise_from=0.0"),
        ({"skip_above": 0.0}, "skip_above=0.0: must be finite and positive"),
        ({"parts": (("", 1.0, 0.0),)}, r"parts: '': expected a path such as backbone/"),
        ({"parts": (("a:", 1.0, 0.0),)}, r"parts: 'a:': expected a path"),
        ({"parts": (("conv1", -1.0, 0.0),)}, r"parts: conv1: the factor -1.0 must lie"),
        (
            {"parts": (("conv1", 0.1, 20.0),)},
            r"parts: conv1 is to learn from epoch 20, and the run has 20; give an ear",
        ),
    ],
)
def test_what_a_recipe_cannot_mean_is_one_line(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(RECIPE, **changes)


def test_options_at_their_defaults_are_in_no_json():
    old = {"epochs", "pairs_per_epoch", "learning_rate", "final_learning_rate"}
    old |= {"hold_epochs", "method", "momentum", "weight_decay", "clip_norm"}
    assert set(to_json(OptimConfig())) == old
    parts = (("backbone", 0.1, 3.0), ("head", 1.0, 0.0))
    other = dataclasses.replace(RECIPE, parts=parts, skip_above=1e4)
    read = from_json(OptimConfig, json.loads(json.dumps(to_json(other))), "optim")
    assert read == other


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


@pytest.mark.parametrize("rate_per", ["step", "epoch"])
def test_the_rate_can_fall_at_once(rate_per):
    config = OptimConfig(
        epochs=5.0,
        hold_epochs=4.0,
        learning_rate=4e-4,
        final_learning_rate=4e-5,
        fall="step",
        rate_per=rate_per,
    )
    expected = [4e-4] * 8 + [4e-5] * 2
    np.testing.assert_allclose(rates(config, 10), expected, 1e-6)


def adamw(params, *, steps=2, **options):
    config = OptimConfig(
        method="adamw", learning_rate=0.1, final_learning_rate=0.1, **options
    )
    tx = make_optimizer(config, total_steps=steps)
    state = tx.init(params)
    for _ in range(steps):
        gradients = {name: 2.0 * value for name, value in params.items()}
        updates, state = tx.update(gradients, state, params)
        params = {name: value + updates[name] for name, value in params.items()}
    return params


def by_hand(value, *, decay, steps=2):
    """Adam's .9, .999 and 1e-8 on the gradient 2 x; the decay is taken off apart."""
    first = second = 0.0
    for step in range(1, steps + 1):
        slope = 2.0 * value
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        unit = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)) ** 0.5 + 1e-8)
        value -= 0.1 * (unit + decay * value)
    return value


@pytest.mark.parametrize("norms", [True, False])
def test_adamw_takes_the_decay_off_apart_and_from_norms_as_told(norms):
    params = {"kernel": jnp.full((1, 2), 3.0), "scale": jnp.full((2,), 3.0)}
    found = adamw(params, weight_decay=0.05, decay_norms=norms)
    np.testing.assert_allclose(found["kernel"], by_hand(3.0, decay=0.05), 1e-5)
    expected = by_hand(3.0, decay=0.05 if norms else 0.0)
    np.testing.assert_allclose(found["scale"], expected, 1e-5)
