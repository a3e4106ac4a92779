"""REINFORCE: the policy gradient as a loss, its advantages and its baselines."""

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float, Int, Scalar


def reinforce(
    log_prob: Float[Array, "n t"], advantage: Float[Array, " n"]
) -> Float[Array, " n"]:
    r"""Returns the surrogate whose gradient, averaged over rollouts, is minus eq. (32).

    .. math:: L_i = -A_i \sum_t \log P_\theta(a_{i,t} | h_{i,t})

    The value itself means nothing. Minimising the mean of `L_i` ascends the expected
    reward. Eq. (32) leaves open how its one sum over t meets the N_a rollouts; here
    the mean over rollouts is meant. No gradient reaches the advantages.

    Args:
      log_prob: Log-probability, in nats, of each decision that a rollout took; 0 where
        nothing was decided.
      advantage: Advantage of each rollout, from `advantages`.

    Returns:
      One value per rollout; the caller averages.

    Example:
      >>> log_prob = jnp.log(jnp.array([[0.5, 0.25], [1.0, 0.5]]))
      >>> reinforce(log_prob, jnp.array([1.0, -2.0])).round(4).tolist()
      [2.0794..., -1.3862...]

    References:
      Liu et al., arXiv 1907.10586, eq. (32); Williams, "Simple statistical
      gradient-following algorithms", Machine Learning 8, 1992.
    """
    return -jax.lax.stop_gradient(advantage) * jnp.sum(log_prob, axis=-1)


def advantages(
    rewards: Float[Array, " n"], baseline: Scalar, *, shared: bool
) -> Float[Array, " n"]:
    """Returns the reward above the baseline with which each rollout is credited.

    Args:
      rewards: Rewards of the rollouts of one update.
      baseline: Baseline of the updates before, which depends on none of `rewards`.
      shared: Whether all rollouts get mean(rewards) - baseline, as in eq. (32);
        otherwise each gets its own reward - baseline. Both are unbiased; the shared
        one credits a rollout with its neighbours' luck and is the noisier.

    Example:
      >>> advantages(jnp.array([0.25, 0.75]), jnp.array(0.25), shared=True).tolist()
      [0.25, 0.25]
      >>> advantages(jnp.array([0.25, 0.75]), jnp.array(0.25), shared=False).tolist()
      [0.0, 0.5]

    References:
      Liu et al., arXiv 1907.10586, eq. (8) and (32).
    """
    if shared:
        return jnp.full_like(rewards, jnp.mean(rewards)) - baseline
    return rewards - baseline


def mean_baseline(baseline: Scalar, reward: Scalar, step: Int[Array, ""]) -> Scalar:
    """Returns the plain mean of all rewards so far, this update's included.

    Before the first update there is no reward and the baseline is 0. N2N's own code
    divides the same sum by the number of updates plus one; that variant is not offered.

    Args:
      baseline: Mean of the earlier updates' rewards; it is 0 and not used at step 0.
      reward: Mean reward of this update's rollouts, eq. (8).
      step: Number of updates before this one.

    Example:
      >>> b = mean_baseline(jnp.array(0.0), jnp.array(0.5), jnp.array(0))
      >>> float(mean_baseline(b, jnp.array(1.0), jnp.array(1)))
      0.75

    References:
      Liu et al., arXiv 1907.10586, eq. (31).
    """
    return baseline + (reward - baseline) / (step + 1).astype(baseline.dtype)


def ema_baseline(
    baseline: Scalar, reward: Scalar, step: Int[Array, ""], *, decay: float = 0.9
) -> Scalar:
    r"""Returns the exponential moving average of rewards, without its bias towards 0.

    .. math:: b_k = \sum_{j \le k} d^{k-j} R_j \Big/ \sum_{j \le k} d^{k-j}

    So the first reward is the first average, and with `decay` near 1 the average is
    the plain mean. The text under eq. (31) and N2N's paper speak of such an average.

    Args:
      baseline: The average before this update; it is 0 and not used at step 0.
      reward: Mean reward of this update's rollouts, eq. (8).
      step: Number of updates before this one.
      decay: d, in [0, 1): the weight of a reward that is one update older.

    Example:
      >>> b = ema_baseline(jnp.array(0.0), jnp.array(0.5), jnp.array(0), decay=0.5)
      >>> float(ema_baseline(b, jnp.array(2.0), jnp.array(1), decay=0.5))
      1.5

    References:
      Liu et al., arXiv 1907.10586, below eq. (31).
    """
    weights = 1.0 - decay ** (step + 1).astype(baseline.dtype)
    return baseline + (1.0 - decay) * (reward - baseline) / weights
