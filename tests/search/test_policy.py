import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.search import policy
from dst_jax.search.policy import KEEP, PolicyConfig
from scripts import policy_toy as toy

SMALL = PolicyConfig(hidden=4, learning_rate=0.01, baseline="mean")
LITERAL = PolicyConfig(advantage="shared", baseline="mean")
ROWS = np.array(
    [[1, 5, 2, 32, 0], [4, 0, 0, 32, 0], [1, 3, 1, 64, 1]], dtype=np.float32
)
FREE = np.zeros((3, 5), bool)
FREE[0, [1, 3]] = FREE[2, [1, 3, 4]] = True
REWARDS = np.array([0.3, -1.0, 0.7], np.float32)

# Adam mixes int and float.
pytestmark = pytest.mark.optax


@functools.cache
def start(config=SMALL, seed=0):
    return policy.init_policy(jax.random.key(seed), config)


@functools.cache
def proposed(config=SMALL, seed=1, rollouts=3):
    key = jax.random.key(seed)
    return policy.sample(
        key, start(config).params, ROWS, FREE, config, rollouts=rollouts
    )


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def reference_rollout(params, actions, *, normalise=True):
    """Log-probabilities [l, 5], states and chances of one rollout, in plain loops.

    Works on complex numbers, so that derivatives are exact: f'(x) = Im f(x + ih) / h.
    """
    rows = ROWS.astype(np.float64)
    rows = rows / np.array([4, 5, 2, 64, 1]) if normalise else rows
    hidden = len(params["lower"]["hi"]["bias"])
    c = {"lower": np.zeros(hidden), "upper": np.zeros(hidden)}
    h = dict(c)
    logs, states, chances = np.zeros((3, 5), complex), {}, {}
    for i in range(3):
        vector = rows[i].copy()
        for j in range(5):
            x = vector
            for name in ("lower", "upper"):
                p = params[name]
                gate = {
                    g: x @ p["i" + g]["kernel"]
                    + h[name] @ p["h" + g]["kernel"]
                    + p["h" + g]["bias"]
                    for g in "ifgo"
                }
                c[name] = sigmoid(gate["f"]) * c[name] + sigmoid(gate["i"]) * np.tanh(
                    gate["g"]
                )
                x = h[name] = sigmoid(gate["o"]) * np.tanh(c[name])
            logits = x @ params["output"]["kernel"] + params["output"]["bias"]
            states[i, j] = x
            chances[i, j] = np.exp(logits) / np.exp(logits).sum()
            if FREE[i, j]:
                logs[i, j] = np.log(chances[i, j][actions[i, j]])
                vector[j] *= (actions[i, j] + 1) / 10
    return logs, states, chances


def in_float64(params, dtype=np.float64):
    return jax.tree.map(lambda p: np.asarray(p, dtype), params)


def surrogate_gradient(config, actions, rewards, params):
    """What `update` descends along, read off a plain gradient step of size 1."""
    sgd = policy.optax.sgd(1.0)
    state = policy.PolicyState(params, sgd.init(params), jnp.zeros(()), jnp.array(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "_optimizer", lambda config: sgd)
        # Past the cache of `jit`, which knows nothing of the patch.
        raw = jax.jit(functools.partial(policy.update.__wrapped__, config=config))
        after, _ = raw(state, ROWS.astype(np.float64), FREE, actions, rewards)
    return jax.tree.map(lambda a, b: np.asarray(a - b), params, after.params)


@pytest.mark.parametrize("advantage", ["shared", "per_rollout"])
def test_the_policy_gradient_is_exact_in_every_parameter(advantage):
    config = PolicyConfig(hidden=4, advantage=advantage)
    actions = np.asarray(proposed().actions)
    rewards = REWARDS.astype(np.float64)
    credit = np.full(3, rewards.mean()) if advantage == "shared" else rewards
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, in_float64(start().params))
        gradient = surrogate_gradient(config, actions, rewards, params)

    def loss(params):
        logs = [reference_rollout(params, a)[0].sum() for a in actions]
        return -np.mean(credit * np.array(logs))

    complex_params = in_float64(start().params, np.complex128)
    leaves, tree = jax.tree.flatten(complex_params)
    for leaf, found in zip(leaves, tree.flatten_up_to(gradient), strict=True):
        expected = np.zeros(leaf.shape)
        for place in np.ndindex(*leaf.shape):
            leaf[place] += 1e-30j
            expected[place] = loss(complex_params).imag / 1e-30
            leaf[place] -= 1e-30j
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_the_output_layers_gradient_is_the_sum_of_scores_times_advantage():
    config = PolicyConfig(hidden=4, advantage="per_rollout")
    actions, rewards = np.asarray(proposed().actions), REWARDS.astype(np.float64)
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, in_float64(start().params))
        gradient = surrogate_gradient(config, actions, rewards, params)["output"]
    bias, kernel = np.zeros(10), np.zeros((4, 10))
    for a, reward in zip(actions, rewards, strict=True):
        _, states, chances = reference_rollout(in_float64(start().params), a)
        for place in zip(*np.nonzero(FREE), strict=True):
            score = np.eye(10)[a[place]] - chances[place]
            bias -= reward * score / 3
            kernel -= reward * np.outer(states[place], score) / 3
    np.testing.assert_allclose(gradient["bias"], bias, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(gradient["kernel"], kernel, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("normalise", [True, False])
def test_log_probabilities_equal_the_loops_and_those_of_sampling(normalise):
    config = PolicyConfig(hidden=4, normalise_state=normalise)
    found = proposed(config)
    params = start(config).params
    again = policy.log_prob(params, ROWS, FREE, found.actions, config)
    np.testing.assert_allclose(again, found.log_prob, rtol=1e-6, atol=1e-7)
    for actions, logs in zip(np.asarray(found.actions), again, strict=True):
        expected = reference_rollout(in_float64(params), actions, normalise=normalise)
        np.testing.assert_allclose(logs, expected[0].real, rtol=1e-5, atol=1e-6)


def test_what_is_not_free_is_kept_and_counts_nothing():
    found = proposed()
    assert (np.asarray(found.actions)[:, ~FREE] == KEEP).all()
    np.testing.assert_array_equal(np.asarray(found.log_prob)[:, ~FREE], 0.0)
    assert (np.asarray(found.log_prob)[:, FREE] < 0.0).all()
    other = np.where(FREE, found.actions, 2).astype(np.int32)
    again = policy.log_prob(start().params, ROWS, FREE, other, SMALL)
    np.testing.assert_allclose(again, found.log_prob, rtol=1e-6, atol=1e-7)


def test_actions_come_up_as_often_as_their_probabilities_say():
    # Logits far from even, so that a uniform sampler would be caught.
    params = dict(start().params)
    bias = np.linspace(-1.5, 1.5, 10).astype(np.float32)
    params["output"] = {**params["output"], "bias": bias}
    key, draws = jax.random.key(5), 4096
    found = policy.sample(key, params, ROWS, FREE, SMALL, rollouts=draws)
    first = np.asarray(found.actions)[:, 0, 1]
    kept = np.full((3, 5), KEEP)
    chances = reference_rollout(in_float64(params), kept)[2][0, 1]
    share = np.bincount(first, minlength=10) / draws
    # Four standard deviations.
    assert (np.abs(share - chances) < 4 * np.sqrt(chances / draws)).all()
    assert np.abs(chances - 0.1).max() > 0.1


def test_the_key_decides_the_proposals_and_the_first_weights():
    again = policy.sample(
        jax.random.key(1), start().params, ROWS, FREE, SMALL, rollouts=3
    )
    np.testing.assert_array_equal(again.actions, proposed().actions)
    assert (np.asarray(proposed(seed=2).actions) != proposed().actions).any()
    assert len({a.tobytes() for a in np.asarray(again.actions)}) == 3
    weights = [np.asarray(start(seed=s).params["output"]["kernel"]) for s in (0, 1)]
    assert (weights[0] != weights[1]).all()


def test_taking_the_ledgers_updates_again_gives_the_same_state():
    states = []
    for _ in range(2):
        state = policy.init_policy(jax.random.key(0), SMALL)
        for seed in (1, 2, 3):
            actions = np.asarray(proposed(seed=seed).actions)
            state, _ = policy.update(state, ROWS, FREE, actions, REWARDS, SMALL)
        states.append(state)
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert int(states[0].step) == 3


def test_an_update_reports_and_averages_the_rewards():
    actions = np.asarray(proposed().actions)
    state, first = policy.update(start(), ROWS, FREE, actions, REWARDS, SMALL)
    rewards = np.array([0.5, 0.5, 0.8], np.float32)
    state, second = policy.update(state, ROWS, FREE, actions, rewards, SMALL)
    assert float(first["baseline"]) == 0.0
    np.testing.assert_allclose(first["reward"], 0.0, atol=1e-7)
    np.testing.assert_allclose(second["baseline"], 0.0, atol=1e-7)
    logs = np.asarray(proposed().log_prob)[:, FREE].mean()
    np.testing.assert_allclose(first["log_prob"], logs, rtol=1e-5)
    np.testing.assert_allclose(state.baseline, 0.3, rtol=1e-6)  # of 0 and 0.6


def test_the_baseline_is_of_the_kind_asked_for():
    config = PolicyConfig(hidden=4, baseline="ema", ema=0.5)
    state = start(config)
    actions = np.asarray(proposed().actions)
    for reward in (0.9, 0.3):
        rewards = np.full(3, reward, np.float32)
        state, _ = policy.update(state, ROWS, FREE, actions, rewards, config)
    np.testing.assert_allclose(state.baseline, (0.3 + 0.45) / 1.5, rtol=1e-6)


@pytest.mark.parametrize("train_lstm", [True, False])
def test_the_lstm_learns_unless_the_output_layer_is_to_learn_alone(train_lstm):
    config = PolicyConfig(hidden=4, train_lstm=train_lstm)
    actions = np.asarray(proposed().actions)
    state, _ = policy.update(start(), ROWS, FREE, actions, REWARDS + 1, config)
    state, _ = policy.update(state, ROWS, FREE, actions, REWARDS, config)

    def moved(part):
        old, new = start().params[part], state.params[part]
        differ = jax.tree.map(lambda a, b: bool(np.any(a != b)), old, new)
        return jax.tree.leaves(differ)

    assert all(moved("output"))
    for part in ("lower", "upper"):
        assert all(moved(part)) if train_lstm else not any(moved(part))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden", 0),
        ("hidden", 5000),
        ("learning_rate", 1e4),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("advantage", "both"),
        ("baseline", "none"),
        ("ema", 1.0),
    ],
)
def test_a_setting_out_of_range_is_refused(field, value):
    config = PolicyConfig()
    # Past beartype, which users do not have.
    object.__setattr__(config, field, value)
    with pytest.raises(InputError, match=f"PolicyConfig.{field}="):
        config.__post_init__()


def test_the_toys_reward_is_0_for_the_parent_and_by_hand_for_one_layer():
    kept = np.full((5, 5), KEEP)
    np.testing.assert_allclose(toy.toy_reward(kept), 0.0, atol=1e-6)
    halved = kept.copy()
    halved[1, 1] = 4  # conv2's kernel of 5 by 0.5
    weights = [121 * 3 * 96, 25 * 96 * 256, 9 * 256 * 384, 9 * 384 * 384, 9 * 384 * 256]
    share = 0.75 * weights[1] / sum(weights)
    accuracy = (1 - np.exp(-0.5 / 0.25)) / (1 - np.exp(-1 / 0.25))
    expected = share * (2 - share) * accuracy
    np.testing.assert_allclose(toy.toy_reward(halved), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(PolicyConfig(), id="default"),
        pytest.param(LITERAL, id="paper", marks=pytest.mark.slow),
    ],
)
def test_fifty_updates_beat_uniform_sampling_on_the_toy(config):
    _, low, _ = toy.interval(toy.gains(config, range(20)))
    assert low > 0.0
