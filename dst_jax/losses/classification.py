"""The hard loss: a student's response against the ground-truth labels."""

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float, Scalar


def logistic(
    response: Float[Array, "*b u v"], labels: Float[Array, "*#b u v"]
) -> Float[Array, "*b u v"]:
    r"""Returns the logistic loss of every response cell, L^FC before its mean.

    .. math:: \ell[u] = \log(1 + e^{-y[u] S[u]}), \quad y = 2 \, labels - 1

    Args:
      response: Raw responses S, before any sigmoid.
      labels: 1 on the target, 0 elsewhere.

    Returns:
      One value per cell. The paper averages them; every public implementation gives
      positives and negatives half of the weight each (see `balanced_mean`).

    Example:
      >>> logistic(jnp.zeros((1, 1)), jnp.ones((1, 1))).tolist()
      [[0.69314...]]

    References:
      Liu et al., arXiv 1907.10586, eq. (2).
    """
    sign = 2.0 * jax.lax.stop_gradient(labels).astype(response.dtype) - 1.0
    return jax.nn.softplus(-sign * response)


def balanced_weights(
    labels: Float[Array, "*b u v"], *, mask: Float[Array, "*b"] | None = None
) -> Float[Array, "*b u v"]:
    """Returns cell weights that sum to 0.5 over positives and to 0.5 over negatives.

    The counts are taken over the whole batch. A kind that is absent has no weight, so
    the weights of a batch without positives sum to 0.5.

    Args:
      labels: 1 on the target, 0 elsewhere.
      mask: 1 for the examples to use, 0 for the others; None uses all.

    Returns:
      Weights in the labels' shape; they are 0 in examples whose mask is 0.

    Example:
      >>> balanced_weights(jnp.array([[1.0, 0.0], [0.0, 0.0]])).round(3).tolist()
      [[0.5, 0.16...], [0.16..., 0.16...]]
    """
    labels = jnp.asarray(labels)
    used = jnp.ones_like(labels)
    if mask is not None:
        used = used * jnp.asarray(mask)[..., None, None]
    positive, negative = used * labels, used * (1.0 - labels)
    return 0.5 * (_share(positive) + _share(negative))


def balanced_mean(
    values: Float[Array, "*b u v"],
    labels: Float[Array, "*#b u v"],
    *,
    mask: Float[Array, "*b"] | None = None,
) -> Scalar:
    """Returns half the mean over positive cells plus half the mean over negative ones.

    It serves notebooks and checks. Over several devices the counts must be summed
    first, as the objective does.

    Args:
      values: Elementwise values of any loss on the response grid.
      labels: 1 on the target, 0 elsewhere.
      mask: 1 for the examples to use, 0 for the others; None uses all.

    Returns:
      A scalar.

    Example:
      >>> response, labels = jnp.zeros((8, 3, 3)), jnp.zeros((8, 3, 3))
      >>> labels = labels.at[:, 1, 1].set(1.0)
      >>> round(balanced_mean(logistic(response, labels), labels).item(), 4)
      0.6931
    """
    full = jnp.broadcast_to(jnp.asarray(labels).astype(values.dtype), values.shape)
    return jnp.sum(values * balanced_weights(full, mask=mask))


def _share(part: Array) -> Array:
    """Divides values by their sum, or by 1 where the sum is 0."""
    total = jnp.sum(part)
    return part / jnp.where(total > 0.0, total, 1.0)
