"""The policy: a small LSTM that reads a network's layers and shrinks them.

It samples one action per layer and attribute, auto-regressively, and learns from the
rewards of the networks that it proposed.
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
    """The policy's size and the way in which it learns.

    The defaults of `advantage`, `baseline` and `train_lstm` were the best in
    scripts/compare_policies.py, where three times this learning rate was no better on
    other seeds. The paper as printed has "shared" and "mean".

    Attributes:
      hidden: Units of each of the two LSTM layers.
      learning_rate: Learning rate of Adam.
      advantage: "shared" credits every rollout of an update with their mean reward, as
        eq. (32) does; "per_rollout" credits each rollout with its own.
      baseline: Number that is taken off the rewards: the "mean" of all earlier ones,
        as in eq. (31), or their exponential moving average, "ema".
      ema: Decay of that average per update.
      train_lstm: Whether the LSTM learns; N2N's published code trains only the output
        layer on top of a random LSTM.
      normalise_state: Whether each column of the rows is divided by its largest entry;
        N2N feeds raw numbers, such as 512 beside 3.
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
        require(self.hidden <= 4096, self, "hidden", "must be at most 4,096")
        require_positive(self, "learning_rate")
        require(self.learning_rate <= 1e3, self, "learning_rate", "must be at most 1e3")
        require_one_of(("shared", "per_rollout"), self, "advantage")
        require_one_of(("mean", "ema"), self, "baseline")
        require(0.0 <= self.ema < 1.0, self, "ema", "must lie in [0, 1)")


class Rollouts(NamedTuple):
    """The decisions of sampled rollouts.

    Attributes:
      actions: Indices into `ACTIONS`; `KEEP` where nothing was to be decided.
      log_prob: Log-probability of each decision, in nats; 0 where nothing was to be
        decided.
    """

    actions: Int[Array, "n l 5"]
    log_prob: Float[Array, "n l 5"]


class PolicyState(NamedTuple):
    """All that learning changes; it depends on seed, actions and rewards alone.

    Attributes:
      params: Parameters of the `Policy`.
      opt_state: State of Adam.
      baseline: Average of the earlier rewards; 0 before the first update.
      step: Number of updates taken.
    """

    params: Params
    opt_state: optax.OptState
    baseline: Scalar
    step: Int[Array, ""]


class Policy(nn.Module):
    """One sub-step: two stacked LSTM cells and a linear layer over the actions.

    All weights begin uniform within 1 / sqrt(hidden), as in the framework in which N2N
    is written; linen's orthogonal weights would take longer to compile than all the
    rest.

    Attributes:
      hidden: Units of each LSTM cell.
    """

    hidden: int = 30

    @nn.compact
    def __call__(
        self, carry: Carry, row: Float[Array, " 5"]
    ) -> tuple[Carry, Float[Array, " actions"]]:
        """Reads a layer as it is shrunk so far; returns state and logits of actions.

        Args:
          carry: State of both LSTM cells.
          row: The five numbers of the layer.

        Returns:
          The next state, and raw logits over `ACTIONS`.
        """
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
    an action is drawn, the attribute is multiplied by the action's factor, and the
    LSTM reads the shrunk numbers next. It starts from zeros in each rollout and also
    reads attributes that are not free. Equal proposals may come up more than once.

    Args:
      key: Randomness of all rollouts.
      params: Parameters of the `Policy`, from `PolicyState.params`.
      rows: One row per layer: type, kernel, stride, features, padding, as they are in
        the parent network.
      free: Whether an entry of `rows` is decided.
      config: Static settings, those with which `params` were made.
      rollouts: N_a, the number of proposals.

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
    """Returns the log-probabilities, in nats, of given actions.

    `sample` reports the same numbers of its own actions.

    Args:
      params: Parameters of the `Policy`.
      rows: Rows as in `sample`.
      free: Whether an entry is decided; the actions of the others are ignored and have
        log-probability 0.
      actions: Indices into `ACTIONS`.
      config: Static settings, those with which `params` were made.
    """
    return _log_prob(params, rows, free, actions, config)


@functools.partial(jax.jit, static_argnames=("config",))
def init_policy(key: Array, config: PolicyConfig) -> PolicyState:
    """Returns the state before the first update; its baseline is 0.

    It depends on the key and the settings alone and fits any network, because the
    policy's size does not depend on the number of layers.
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
    """Takes one step of Adam along eq. (32), then moves the baseline.

    The gradient is averaged over the rollouts; N2N's code takes one step per rollout
    instead. The function is pure: the same state, actions and rewards give the same
    next state, so a run is resumed by taking the updates of its ledger again.

    Args:
      state: State from `init_policy` or the update before.
      rows: Rows as in `sample`.
      free: Whether an entry of `rows` is decided.
      actions: Proposals as `sample` returned them; they may hold duplicates.
      rewards: Reward of each proposal, eq. (6); -1 for an impossible architecture.
      config: Static settings, those with which the state was made.

    Returns:
      The next state, and three numbers of this update: the mean `reward` (eq. 8), the
      `baseline` that was taken off, and the mean `log_prob` of a decision before the
      step, which rises from -log(10) to 0 as the policy becomes certain.
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
    """Passes over layers and attributes; `choose(logits, input)` gives each action.

    Returns:
      Actions and their log-probabilities, [layers, attributes].
    """
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
    """Divides each column by its largest magnitude; a column of zeros stays."""
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
