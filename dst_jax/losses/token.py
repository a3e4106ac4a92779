"""Losses between maps of a transformer's tokens (LoReTrack): QKV and Disc.

A map has one token per cell. Student and teacher have one width; a student of lower
resolution has its map resized first (`ops.resize.resized`) to the teacher's sides.
"""

import jax
import jax.numpy as jnp

from dst_jax.ops.precision import at_least_single
from dst_jax.typing import Array, Bool, Float, Scalar


def token_kl(
    student: Float[Array, "*b h w d"],
    teacher: Float[Array, "*b h w d"],
    *,
    temperature: float | Scalar = 4.0,
) -> Float[Array, "*b h w"]:
    r"""Returns the divergence of each cell's softmax over channels from the teacher's.

    .. math:: T^2 \sum_c p_{T,c} (\log p_{T,c} - \log p_{S,c}), \quad
              p = \mathrm{softmax}_c(F / T)

    No gradient reaches the teacher. It computes in float32 at least.

    Args:
      student: F_S, the student's features.
      teacher: F_T, the teacher's features of the same cells.
      temperature: T, above 0; 4 in public code.

    Returns:
      One value per cell, at least 0 (to rounding). Public LoReTrack sums over cells and
      averages over examples.

    Example:
      >>> student, teacher = jnp.zeros((1, 1, 2)), jnp.array([[[0.0, jnp.log(3.0)]]])
      >>> token_kl(student, teacher, temperature=1.0).round(4).tolist()
      [[0.1307...]]

    References:
      LoReTrack, see docs/papers.md; Hinton et al., arXiv 1503.02531, for T^2.
    """
    teacher = jax.lax.stop_gradient(teacher)
    ours, theirs = (
        jax.nn.log_softmax(_wide(features) / temperature)
        for features in (student, teacher)
    )
    # p_S - p_T, whose sum is 0, joins each term, so that terms are squares of small
    # differences where both agree, instead of differences that must cancel.
    p, gap = jnp.exp(theirs), theirs - ours
    near = p * (gap + jnp.expm1(-jnp.maximum(gap, -1.0)))
    far = p * gap + (jnp.exp(ours) - p)
    terms = jnp.where(gap > -1.0, near, far)
    return temperature**2 * jnp.sum(terms, axis=-1)


def token_mse(
    student: Float[Array, "*b h w d"], teacher: Float[Array, "*b h w d"]
) -> Float[Array, "*b h w"]:
    """Returns the mean squared difference of each cell's features from the teacher's.

    Readers of the LoReTrack paper report this form for q, k and v; the public code has
    `token_kl`. No gradient reaches the teacher. It computes in float32 at least.

    Args:
      student: The student's features.
      teacher: The teacher's features of the same cells.

    Returns:
      One value per cell, a mean over channels.

    Example:
      >>> token_mse(jnp.zeros((1, 1, 2)), jnp.array([[[1.0, 3.0]]])).tolist()
      [[5.0]]
    """
    difference = _wide(student) - _wide(jax.lax.stop_gradient(teacher))
    return jnp.mean(jnp.square(difference), axis=-1)


def salience(features: Float[Array, "*b h w d"]) -> Float[Array, "*b h w"]:
    """Returns the mean square over channels, how much a cell stands out; no gradient.

    Example:
      >>> salience(jnp.array([[[1.0, 3.0], [0.5, 0.5]]])).tolist()
      [[5.0, 0.25]]
    """
    features = _wide(jax.lax.stop_gradient(features))
    return jnp.mean(jnp.square(features), axis=-1)


def most_salient(
    salience: Float[Array, "b h w"], *, share: float
) -> Bool[Array, "b h w"]:
    """Returns which cells are among the most salient ones of their own map.

    Args:
      salience: How much each cell stands out.
      share: Share of a map's cells that count, above 0, rounded up to whole cells;
        cells as salient as the last of them count too.

    Example:
      >>> most_salient(jnp.array([[[1.0, 4.0, 2.0, 3.0]]]), share=0.3).tolist()
      [[[False, True, False, True]]]
    """
    values = salience.reshape(salience.shape[0], -1)
    count = values.shape[1]
    # Products such as .07 * 100 lie a little above a whole number.
    kept = min(max(int(-(-(share * count - 1e-9) // 1)), 1), count)
    least = jnp.sort(values, axis=1)[:, count - kept]
    return salience >= least[:, None, None]


def least_salience(
    salience: Float[Array, "b h w"], share: Float[Array, " b"]
) -> Float[Array, " b"]:
    """Returns the salience that a share of each map's cells reaches.

    Args:
      salience: How much each cell stands out.
      share: Share of the cells of each map, rounded to whole cells, at least one.

    Example:
      >>> maps = jnp.array([[[1.0, 4.0, 2.0, 3.0]]])
      >>> least_salience(maps, jnp.array([0.5])).tolist()
      [3.0]
    """
    values = jnp.sort(salience.reshape(salience.shape[0], -1), axis=1)
    count = values.shape[1]
    kept = jnp.clip(jnp.round(share * count), 1, count).astype(jnp.int32)
    return jnp.take_along_axis(values, (count - kept)[:, None], axis=1)[:, 0]


def salience_weights(
    salient: Bool[Array, "*b h w"],
    *,
    inside: float = 0.6,
    outside: float = 0.4,
) -> Float[Array, "*b h w"]:
    r"""Returns the weights of cells in Disc, larger where the teacher's map stands out.

    Public code multiplies both maps by the mask M and takes the divergence, does so
    with 1 - M, and adds .6 and .4 of the two. A cell of zeros in both maps costs
    nothing, so that this is

    .. math:: \sum_i w_i \, KL_i, \quad w_i = .6 M_i + .4 (1 - M_i)

    Args:
      salient: M, whether a cell stands out.
      inside: Weight of those that do.
      outside: Weight of the others.

    Example:
      >>> salience_weights(jnp.array([[True, False]])).round(1).tolist()
      [[0.6..., 0.4...]]
    """
    return jnp.where(salient, inside, outside)


def _wide(features: Array) -> Array:
    """Returns features in float32 at least."""
    return features.astype(at_least_single(features.dtype))
