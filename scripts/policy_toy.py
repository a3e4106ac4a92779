"""A toy search whose reward costs nothing, for scripts/compare_policies.py.

The toy: the five convolutions of AlexNet with features and kernel free, and the reward
C (2 - C) acc of a smooth stand-in for accuracy. Each row of the table gives the mean
reward of the policy after some updates less that of uniform sampling, averaged over
seeds, with a 95 % interval (Student's t, paired by seed).
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from dst_jax.search.policy import (
    ACTIONS,
    PolicyConfig,
    init_policy,
    sample,
    update,
)
from dst_jax.typing import Array

# Type, kernel, stride, features, padding of AlexNet's convolutions.
ROWS = np.array(
    [
        [1, 11, 2, 96, 0],
        [1, 5, 1, 256, 0],
        [1, 3, 1, 384, 0],
        [1, 3, 1, 384, 0],
        [1, 3, 1, 256, 0],
    ],
    np.float32,
)
FREE = np.tile(np.array([False, True, False, True, False]), (len(ROWS), 1))
# Factor at which a layer keeps 63 % of what its kernel, its features can give.
KERNEL_NEED = np.array([0.30, 0.25, 0.15, 0.15, 0.30], np.float32)
FEATURES_NEED = np.array([0.10, 0.12, 0.20, 0.08, 0.25], np.float32)
# Rollouts whose mean reward stands for the trained policy's.
JUDGED = 256


def toy_reward(actions: Array) -> Array:
    """C (2 - C) acc of actions [..., 5, 5], smooth in the factors; 0 for the parent."""
    factors = (jnp.asarray(actions)[..., (1, 3)] + 1.0) / 10.0
    kernel, features = factors[..., 0], factors[..., 1]
    inputs = jnp.concatenate([jnp.ones_like(features[..., :1]), features[..., :-1]], -1)
    channels = np.array([3, *ROWS[:-1, 3]], np.float32)
    weights = ROWS[:, 1] ** 2 * channels * ROWS[:, 3]
    share = kernel**2 * inputs * features @ (weights / weights.sum())
    accuracy = jnp.prod(
        _kept(kernel, KERNEL_NEED) * _kept(features, FEATURES_NEED), axis=-1
    )
    compression = 1.0 - share
    return compression * (2.0 - compression) * accuracy


def _kept(factor: Array, need: Array) -> Array:
    """A saturating curve from 0 to 1 over a factor from 0 to 1."""
    need = jnp.broadcast_to(need, factor.shape)
    return (1.0 - jnp.exp(-factor / need)) / (1.0 - jnp.exp(-1.0 / need))


def gain(key: Array, config: PolicyConfig, *, updates: int, rollouts: int) -> Array:
    """Mean reward after `updates` of `rollouts` proposals, less uniform sampling's."""
    start, learn, judge, chance = jax.random.split(key, 4)

    def step(state: tuple, key: Array) -> tuple:
        proposed = sample(key, state[0], ROWS, FREE, config, rollouts=rollouts)
        rewards = toy_reward(proposed.actions)
        return update(state, ROWS, FREE, proposed.actions, rewards, config)

    first = init_policy(start, config)
    last, _ = jax.lax.scan(step, first, jax.random.split(learn, updates))
    judged = sample(judge, last.params, ROWS, FREE, config, rollouts=JUDGED)
    uniform = jax.random.randint(chance, judged.actions.shape, 0, len(ACTIONS))
    return jnp.mean(toy_reward(judged.actions)) - jnp.mean(toy_reward(uniform))


def gains(
    config: PolicyConfig, seeds: Sequence[int], *, updates: int = 50, rollouts: int = 3
) -> np.ndarray:
    """The gain of each seed; all seeds run in one compiled program."""
    one = functools.partial(gain, config=config, updates=updates, rollouts=rollouts)
    return np.asarray(jax.jit(jax.vmap(one))(jax.vmap(jax.random.key)(np.array(seeds))))


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % interval."""
    error = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    mean = float(np.mean(values))
    return mean, float(mean - error), float(mean + error)


def variants(rates: Sequence[float]) -> list[PolicyConfig]:
    """Every combination of the options, at every learning rate."""
    kinds = {f.name: f.type for f in dataclasses.fields(PolicyConfig)}
    return [
        PolicyConfig(
            learning_rate=rate, advantage=advantage, baseline=baseline, train_lstm=lstm
        )
        for rate, advantage, baseline, lstm in itertools.product(
            rates,
            get_args(kinds["advantage"]),
            get_args(kinds["baseline"]),
            (True, False),
        )
    ]


def table(
    rates: Sequence[float], seeds: Sequence[int], *, updates: int, rollouts: int
) -> str:
    """The table, a row per variant, best first."""
    rows = []
    for config in variants(rates):
        values = gains(config, seeds, updates=updates, rollouts=rollouts)
        rows.append((*interval(values), config))
    lines = [
        "| learning rate | advantage | baseline | trained | gain | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for mean, low, high, config in sorted(rows, key=lambda row: -row[0]):
        trained = "all" if config.train_lstm else "output layer"
        options = f"{config.learning_rate} | {config.advantage} | {config.baseline}"
        found = f"{mean:+.4f} | [{low:+.4f}, {high:+.4f}]"
        lines.append(f"| {options} | {trained} | {found} |")
    return "\n".join(lines)
