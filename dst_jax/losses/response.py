"""Siamese target response (STR): a student learns to look where its teacher looks.

Feature maps of teacher and student have different numbers of channels, so only their
one-channel activation maps are compared; no adapter is needed. The maps must have the
same height and width, which holds while kernels, strides and pools are the teacher's.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.ops.xcorr import xcorr_same
from dst_jax.typing import Array, Float

Norm: TypeAlias = Literal["l2", "none"]
Reduction: TypeAlias = Literal["mse", "l2"]


def activation_map(features: Float[Array, "*b h w d"]) -> Float[Array, "*b h w"]:
    r"""Returns F(U) = \sum_c |U_c|, how much a layer responds at each cell (eq. 12)."""
    return jnp.sum(_absolute(features), axis=-1)


def target_weight(
    search_features: Float[Array, "b h w d"],
    template_features: Float[Array, "#b i j d"],
) -> Float[Array, "b h w"]:
    """Returns W = Q_x * Q_z, how much each search cell resembles the target.

    The paper leaves the size of W open although it multiplies Q_x by it. Here Q_x is
    padded with zeros, (i - 1) // 2 before and the rest after, so that W has the size of
    Q_x.

    Args:
      search_features: Q_x, a layer's map of the search image.
      template_features: Q_z, the same layer's map of the template.

    Returns:
      One weight per search cell, of either sign, broadcast over channels.

    References:
      Liu et al., arXiv 1907.10586, W^j under eq. (15).
    """
    return xcorr_same(search_features, template_features)


def search_response(
    search_features: Float[Array, "b h w d"],
    template_features: Float[Array, "#b i j d"],
    *,
    norm: Norm = "l2",
    weighted: bool = True,
    stop_weight: bool = False,
) -> Float[Array, "b h w"]:
    """Returns F(W Q_x), the search response that Fig. 3 draws, with or without W.

    Args:
      search_features: Q_x, a layer's map of the search image.
      template_features: Q_z, the same layer's map of the template.
      norm: "l2" divides each map by its norm over all cells; "none" leaves it.
      weighted: Whether W suppresses the background.
      stop_weight: Whether W is a constant for the gradient.

    Returns:
      One map per example, at least 0; with norm="l2" its norm is 1, or it is all 0.
    """
    response = activation_map(search_features)
    if weighted:
        weight = target_weight(search_features, template_features)
        if stop_weight:
            weight = jax.lax.stop_gradient(weight)
        # W has one channel, and so F(W Q) = |W| F(Q).
        response = _absolute(weight) * response
    return _normalised(response, norm)


def search_response_loss(
    student_search: Float[Array, "b h w d"],
    student_template: Float[Array, "b i j d"],
    teacher_search: Float[Array, "b h w e"],
    teacher_template: Float[Array, "b i j e"],
    *,
    norm: Norm = "l2",
    weighted: bool = True,
    reduction: Reduction = "mse",
    stop_weight: bool = False,
) -> Float[Array, " b"]:
    r"""Returns the search part of STR for one layer, one value per example.

    .. math:: L_x = \| F(W_S Q_{Sx}) - F(W_T Q_{Tx}) \|

    Arguments, options and reference are those of `siamese_target_response`.
    """
    student = search_response(
        student_search,
        student_template,
        norm=norm,
        weighted=weighted,
        stop_weight=stop_weight,
    )
    teacher = search_response(
        teacher_search, teacher_template, norm=norm, weighted=weighted
    )
    return _distance(student, jax.lax.stop_gradient(teacher), reduction)


def template_response_loss(
    student_template: Float[Array, "b i j d"],
    teacher_template: Float[Array, "b i j e"],
    *,
    norm: Norm = "l2",
    reduction: Reduction = "mse",
) -> Float[Array, " b"]:
    r"""Returns the template part of STR for one layer, one value per example.

    .. math:: L_z = \| F(Q_{Sz}) - F(Q_{Tz}) \|

    Arguments, options and reference are those of `siamese_target_response`.
    """
    student = _normalised(activation_map(student_template), norm)
    teacher = _normalised(activation_map(teacher_template), norm)
    return _distance(student, jax.lax.stop_gradient(teacher), reduction)


def siamese_target_response(
    student_search: Float[Array, "b h w d"],
    student_template: Float[Array, "b i j d"],
    teacher_search: Float[Array, "b h w e"],
    teacher_template: Float[Array, "b i j e"],
    *,
    norm: Norm = "l2",
    weighted: bool = True,
    reduction: Reduction = "mse",
    stop_weight: bool = False,
) -> Float[Array, " b"]:
    r"""Returns the STR loss of one layer, L_x + L_z; the caller sums over layers.

    .. math:: L = \| F(W_S Q_{Sx}) - F(W_T Q_{Tx}) \| + \| F(Q_{Sz}) - F(Q_{Tz}) \|,
              \quad W = Q_x \star Q_z

    The printed form compares raw sums over hundreds of channels, whose squares are
    10^2 to 10^4; at the paper's weight of 100 they would drown every other term. So
    each map is divided by its own norm by default, and the reduction follows the
    paper's Table 1 ("MSE"); norm="none" with reduction="l2" is the literal form.

    Args:
      student_search: Q_Sx, the student's map of the search image.
      student_template: Q_Sz, the student's map of the template.
      teacher_search: Q_Tx, the teacher's map of the search image; no gradient reaches
        it.
      teacher_template: Q_Tz, the teacher's map of the template; no gradient reaches it.
      norm: "l2" divides each map by its norm over all cells; "none" leaves it.
      weighted: Whether W suppresses the background.
      reduction: "mse" is the mean squared difference over cells, "l2" the norm of
        the difference.
      stop_weight: Whether W_S is a constant for the gradient.

    Returns:
      One value per example.

    Raises:
      InputError: If `norm` or `reduction` is unknown.

    Example:
      >>> q = jnp.ones((2, 4, 4, 3))
      >>> siamese_target_response(q, q[:, :2, :2], 5.0 * q, 5.0 * q[:, :2, :2]).tolist()
      [0.0, 0.0]

    References:
      Liu et al., arXiv 1907.10586, eq. (12)-(15). The left side of (13) is misprinted
      as L_z.
    """
    search = search_response_loss(
        student_search,
        student_template,
        teacher_search,
        teacher_template,
        norm=norm,
        weighted=weighted,
        reduction=reduction,
        stop_weight=stop_weight,
    )
    template = template_response_loss(
        student_template, teacher_template, norm=norm, reduction=reduction
    )
    return search + template


def _absolute(values: Array) -> Array:
    """Returns |x| with gradient 0 at 0.

    There `jnp.abs` has gradient 1, which would move dead channels.
    """
    return values * jax.lax.stop_gradient(jnp.sign(values))


def _normalised(response: Array, norm: str) -> Array:
    """Divides each map by its norm; a map of zeros stays so and has gradient zero."""
    if norm == "none":
        return response
    if norm != "l2":
        raise InputError(f'norm={norm!r}: must be "l2" or "none".')
    # Dividing by a constant changes neither the result nor its gradient, and without
    # it the squares of large responses would overflow.
    peak = jax.lax.stop_gradient(jnp.max(response, axis=(-2, -1), keepdims=True))
    scaled = response / jnp.where(peak > 0.0, peak, 1.0)
    total = jnp.sum(jnp.square(scaled), axis=(-2, -1), keepdims=True)
    return scaled / jnp.sqrt(jnp.where(total > 0.0, total, 1.0))


def _distance(student: Array, teacher: Array, reduction: str) -> Array:
    difference = student - teacher.astype(student.dtype)
    if reduction == "mse":
        return jnp.mean(jnp.square(difference), axis=(-2, -1))
    if reduction != "l2":
        raise InputError(f'reduction={reduction!r}: must be "mse" or "l2".')
    total = jnp.sum(jnp.square(difference), axis=(-2, -1))
    # The norm has no gradient at 0, where we take the gradient to be 0.
    safe = jnp.where(total > 0.0, total, 1.0)
    return jnp.where(total > 0.0, jnp.sqrt(safe), 0.0)
