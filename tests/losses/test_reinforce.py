import jax
import jax.numpy as jnp
import numpy as np

from dst_jax import losses


def test_gradient_of_the_mean_is_minus_the_averaged_score_times_advantage():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5)).astype(np.float32)
    actions, credit = rng.integers(0, 5, (3, 4)), np.array([0.5, -1.0, 2.0], np.float32)

    def loss(logits):
        logs = jax.nn.log_softmax(logits)
        taken = jnp.take_along_axis(logs, jnp.array(actions)[..., None], axis=-1)
        return jnp.mean(losses.reinforce(taken[..., 0], jnp.array(credit)))

    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    ascent = (np.eye(5)[actions] - chances) * credit[:, None, None] / 3
    np.testing.assert_allclose(jax.grad(loss)(logits), -ascent, rtol=1e-6, atol=1e-7)


def test_no_gradient_reaches_the_advantages():
    logs = jnp.log(jnp.array([[0.5, 0.25]]))
    grad = jax.grad(lambda a: losses.reinforce(logs, a).sum())(jnp.array([3.0]))
    np.testing.assert_array_equal(grad, 0.0)


def test_a_shared_advantage_is_the_mean_rewards_and_else_each_has_its_own():
    rewards, baseline = jnp.array([0.2, 0.5, -1.0]), jnp.array(0.3)
    shared = losses.advantages(rewards, baseline, shared=True)
    np.testing.assert_allclose(shared, 3 * [-0.4], rtol=1e-6)  # -0.3 / 3 - 0.3
    own = losses.advantages(rewards, baseline, shared=False)
    np.testing.assert_allclose(own, [-0.1, 0.2, -1.3], rtol=1e-6)


def follow(update, rewards):
    baseline, seen = jnp.array(0.0), []
    for step, reward in enumerate(rewards):
        baseline = update(baseline, jnp.array(reward), jnp.array(step))
        seen.append(float(baseline))
    return seen


def test_the_mean_baseline_is_the_mean_of_all_rewards_so_far():
    seen = follow(losses.mean_baseline, [0.5, 1.0, -1.0, 0.25])
    np.testing.assert_allclose(seen, [0.5, 0.75, 0.5 / 3, 0.1875], rtol=1e-6)


def test_the_moving_average_weighs_rewards_by_their_age():
    def update(*arguments):
        return losses.ema_baseline(*arguments, decay=0.5)

    # Weights 1, 1/2, 1/4, newest first, over their sum.
    third = (1.0 * -1.0 + 0.5 * 2.0 + 0.25 * 0.5) / 1.75
    seen = follow(update, [0.5, 2.0, -1.0])
    np.testing.assert_allclose(seen, [0.5, (2.0 + 0.25) / 1.5, third], rtol=1e-6)


def test_the_moving_average_keeps_nine_tenths_unless_told_otherwise():
    second = (1.0 + 0.9 * 0.5) / 1.9
    seen = follow(losses.ema_baseline, [0.5, 1.0])
    np.testing.assert_allclose(seen, [0.5, second], rtol=1e-6)
