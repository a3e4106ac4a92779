"""The policy: a small LSTM that reads a network's layers and shrinks them.

It samples one action per layer and attribute, auto-regressively, and learns from the
rewards of what it proposed.
"""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from dst_jax.losses.reinforce import (
    advantages,
    ema_baseline,
    mean_baseline,
    reinforce,
)
from dst_jax.require import require, require_at_least, require_one_of, require_positive
from dst_jax.search.space import ACTIONS, FEATURES
from dst_jax.typing import Array, Bool, Float, Int, Params, Scalar

KEEP = len(ACTIONS) - 1
ROW = len(FEATURES)
OUTPUT = "output"

Carry: TypeAlias = tuple[tuple[Array, Array], ...]


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """How the policy looks and learns.

    The defaults of `advantage`, `baseline` and `train_lstm` won
    scripts/compare_policies.py, where three times this learning rate was no better on
    other seeds; the paper's letter is "shared" and "mean".

    Attributes:
      hidden: Units of each of the two LSTM layers.
      learning_rate: Of Adam.
      advantage: "shared" credits every rollout of an update with their mean reward,
        as eq. (32); "per_rollout" each with its own.
      baseline: What is taken off the rewards: the "mean" of all earlier ones, as
        eq. (31), or their exponential moving average, "ema".
      ema: Decay of that average per update.
      train_lstm: Whether the LSTM learns; N2N's published code trains its output
        layer alone, on a random LSTM.
      normalise_state: Whether rows are divided by the largest of each column; N2N
        feeds raw numbers, 512 beside 3.
    """

    hidden: int = 30
    learning_rate: float = 0.01
    advantage: Literal["shared", "per_rollout"] = "per_rollout"
    baseline: Literal["mean", "ema"] = "ema"
    ema: float = 0.9
    train_lstm: bool = True
    normalise_state: bool = True

    def __post_init__(self):
        require_at_least(1, self, "hidden")
        require_positive(self, "learning_rate")
        require_one_of(("shared", "per_rollout"), self, "advantage")
        require_one_of(("mean", "ema"), self, "baseline")
        require(0.0 <= self.ema < 1.0, self, "ema", "must lie in [0, 1)")


class Rollouts(NamedTuple):
    """Sampled decisions.

    Attributes:
      actions: Indices into `ACTIONS`; `KEEP` where nothing was to be decided.
      log_prob: Of each decision, in nats; 0 where nothing was to be decided.
    """

    actions: Int[Array, "n l 5"]
    log_prob: Float[Array, "n l 5"]


class PolicyState(NamedTuple):
    """All that learning changes; a function of seed, actions and rewards alone.

    Attributes:
      params: Of the `Policy`.
      opt_state: Adam's.
      baseline: Average of the earlier rewards; 0 before the first update.
      step: Updates taken.
    """

    params: Params
    opt_state: optax.OptState
    baseline: Scalar
    step: Int[Array, ""]


class Policy(nn.Module):
    """One sub-step: two stacked LSTM cells and a linear layer over the actions.

    All weights begin uniform within 1 / sqrt(hidden), as in the framework that N2N is
    written in; linen's orthogonal ones would cost more to compile than all the rest.
    """

    hidden: int = 30

    @nn.compact
    def __call__(
        self, carry: Carry, row: Float[Array, " 5"]
    ) -> tuple[Carry, Float[Array, " actions"]]:
        """Reads a layer as it is shrunk so far; returns raw logits over `ACTIONS`."""
        init = _uniform(self.hidden**-0.5)
        weights = {"kernel_init": init, "bias_init": init}
        lstm = functools.partial(
            nn.OptimizedLSTMCell, self.hidden, recurrent_kernel_init=init, **weights
        )
        states, x = [], row
        for name, state in zip(("lower", "upper"), carry, strict=True):
            state, x = lstm(name=name)(state, x)
            states.append(state)
        return tuple(states), nn.Dense(len(ACTIONS), name=OUTPUT, **weights)(x)


@functools.partial(jax.jit, static_argnames=("config", "rollouts"))
def sample(
    key: Array,
    params: Params,
    rows: Float[Array, "l 5"],
    free: Bool[Array, "l 5"],
    config: PolicyConfig,
    *,
    rollouts: int,
) -> Rollouts:
    """Samples shrink actions for every free attribute of every layer.

    Layer by layer and attribute by attribute, the LSTM reads the layer's five numbers,
    an action is drawn, the attribute is multiplied by its factor, and the shrunk
    numbers are what is read next. The LSTM starts from zeros in each rollout and reads
    attributes that are not free as well. Equal proposals may come up more than once.

    Args:
      key: Randomness of all rollouts.
      params: Of the `Policy`, from `PolicyState.params`.
      rows: One row per layer: type, kernel, stride, features, padding, as they are in
        the parent network.
      free: Which entries of `rows` are decided.
      config: Static; must be that of `params`.
      rollouts: How many proposals, N_a.

    References:
      Liu et al., arXiv 1907.10586, section 4.1; Ashok et al., "N2N learning",
      arXiv 1709.06030, layer shrinkage.
    """
    keys = jax.random.split(key, (rollouts, rows.size))

    def draw(logits: Array, key: Array) -> Array:
        return jax.random.categorical(key, logits).astype(jnp.int32)

    rollout = functools.partial(_rollout, draw, params, rows, free, config)
    return Rollouts(*jax.vmap(rollout)(keys))


@functools.partial(jax.jit, static_argnames=("config",))
def log_prob(
    params: Params,
    rows: Float[Array, "l 5"],
    free: Bool[Array, "l 5"],
    actions: Int[Array, "n l 5"],
    config: PolicyConfig,
) -> Float[Array, "n l 5"]:
    """Log-probabilities, in nats, of given actions: what `sample` reports of its own.

    Args:
      params: Of the `Policy`.
      rows: As in `sample`.
      free: As in `sample`; the other entries' actions are not looked at and count 0.
      actions: Indices into `ACTIONS`.
      config: Static; must be that of `params`.
    """
    return _log_prob(params, rows, free, actions, config)


@functools.partial(jax.jit, static_argnames=("config",))
def init_policy(key: Array, config: PolicyConfig) -> PolicyState:
    """Returns the state before the first update; its baseline is 0.

    It depends on the key alone and fits any network: the policy's size does not
    depend on the number of layers.
    """
    carry, row = _zero_carry(config, jnp.float32), jnp.zeros(ROW, jnp.float32)
    params = Policy(config.hidden).init(jnp.asarray(key), carry, row)["params"]
    opt_state = _optimizer(config).init(params)
    zero = jnp.zeros((), jnp.float32)
    return PolicyState(params, opt_state, zero, jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnames=("config",))
def update(
    state: PolicyState,
    rows: Float[Array, "l 5"],
    free: Bool[Array, "l 5"],
    actions: Int[Array, "n l 5"],
    rewards: Float[Array, " n"],
    config: PolicyConfig,
) -> tuple[PolicyState, dict[str, Scalar]]:
    """One step of Adam along eq. (32), averaged over the rollouts; then the baseline.

    Pure: the same state, actions and rewards give the same next state, so a run is
    resumed by taking the updates of its ledger again. N2N's code takes one step per
    rollout instead.

    Args:
      state: From `init_policy` or the update before.
      rows: As in `sample`.
      free: As in `sample`.
      actions: What was proposed, as `sample` returned it; may hold duplicates.
      rewards: Of each proposal, eq. (6); -1 for an impossible architecture.
      config: Static.

    Returns:
      The next state, and of this update: mean `reward` (eq. 8), the `baseline` that
      was taken off, and the mean `log_prob` of a decision before the step, which
      rises from -log(10) to 0 as the policy makes up its mind.
    """

    def surrogate(params: Params) -> tuple[Array, Array]:
        if not config.train_lstm:
            fixed = {n: jax.lax.stop_gradient(p) for n, p in params.items()}
            params = {**fixed, OUTPUT: params[OUTPUT]}
        logs = _log_prob(params, rows, free, actions, config).reshape(len(rewards), -1)
        # Adam moves a parameter whose gradients were all 0 by exactly 0.
        return jnp.mean(reinforce(logs, credit)), jnp.sum(logs)

    shared = config.advantage == "shared"
    credit = advantages(rewards, state.baseline, shared=shared)
    grads, total = jax.grad(surrogate, has_aux=True)(state.params)
    steps, opt_state = _optimizer(config).update(grads, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, steps)
    reward = jnp.mean(rewards)
    baseline = _next_baseline(state, reward, config)
    decisions = jnp.maximum(jnp.sum(free) * len(rewards), 1).astype(total.dtype)
    metrics = {
        "reward": reward,
        "baseline": state.baseline,
        "log_prob": total / decisions,
    }
    return PolicyState(params, opt_state, baseline, state.step + 1), metrics


def _log_prob(
    params: Params, rows: Array, free: Array, actions: Array, config: PolicyConfig
) -> Array:
    def follow(logits: Array, action: Array) -> Array:
        del logits
        return action

    rollout = functools.partial(_rollout, follow, params, rows, free, config)
    return jax.vmap(rollout)(actions.reshape(len(actions), -1))[1]


def _rollout(
    choose: Any,
    params: Params,
    rows: Array,
    free: Array,
    config: PolicyConfig,
    inputs: Array,
) -> tuple[Array, Array]:
    """One pass over layers and attributes; `choose(logits, input)` gives the action."""
    policy = Policy(config.hidden)

    def sub_step(carry: Any, xs: Any) -> tuple[Any, tuple[Array, Array]]:
        states, shrunk = carry
        row, attribute, decided, given = xs
        shrunk = jnp.where(attribute == 0, row, shrunk)
        outputs: Any = policy.apply({"params": params}, states, shrunk)
        states, logits = outputs
        action = jnp.where(decided, choose(logits, given), KEEP)
        logs = jnp.where(decided, jax.nn.log_softmax(logits)[action], 0.0)
        factor = jnp.asarray(ACTIONS, shrunk.dtype)[action] / 10.0
        here = jnp.arange(ROW) == attribute
        return (states, jnp.where(here, shrunk * factor, shrunk)), (action, logs)

    rows = _normalised(rows) if config.normalise_state else jnp.asarray(rows)
    attributes = jnp.tile(jnp.arange(ROW), len(rows))
    xs = (jnp.repeat(rows, ROW, axis=0), attributes, free.reshape(-1), inputs)
    start = (_zero_carry(config, rows.dtype), jnp.zeros(ROW, rows.dtype))
    _, (actions, logs) = jax.lax.scan(sub_step, start, xs)
    return actions.reshape(rows.shape), logs.reshape(rows.shape)


def _normalised(rows: Array) -> Array:
    """Columns divided by their largest magnitude; a column of zeros stays."""
    largest = jnp.max(jnp.abs(rows), axis=0, keepdims=True)
    return rows / jnp.where(largest > 0.0, largest, 1.0)


def _uniform(bound: float) -> Any:
    def init(key: Array, shape: Any, dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _zero_carry(config: PolicyConfig, dtype: Any) -> Carry:
    zeros = jnp.zeros(config.hidden, dtype)
    return ((zeros, zeros), (zeros, zeros))


def _next_baseline(state: PolicyState, reward: Array, config: PolicyConfig) -> Array:
    if config.baseline == "mean":
        return mean_baseline(state.baseline, reward, state.step)
    return ema_baseline(state.baseline, reward, state.step, decay=config.ema)


def _optimizer(config: PolicyConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)
