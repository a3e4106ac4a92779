"""The teacher-soft (TS) loss: a student's response against the teacher's."""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float, Scalar

Direction: TypeAlias = Literal["student_first", "teacher_first"]


def bernoulli_kl(
    student_logits: Float[Array, "*b u v"],
    teacher_logits: Float[Array, "*b u v"],
    *,
    temperature: float | Scalar = 1.0,
    direction: Direction = "student_first",
) -> Float[Array, "*b u v"]:
    r"""Returns the divergence of two target/background distributions in every cell.

    .. math:: KL(P_s, P_t) = p_s \log\frac{p_s}{p_t} + q_s \log\frac{q_s}{q_t},
              \quad p = \sigma(S / temp), \; q = 1 - p

    SiamFC has one logit per cell and no softmax to soften, so the paper's P is read
    as the pair (p, q) that its own eq. (17) uses. No gradient reaches the teacher.
    The result is not multiplied by temp^2.

    Args:
      student_logits: Raw finite responses, before any sigmoid.
      teacher_logits: Raw finite responses on the same grid.
      temperature: Number above 0; a larger one softens more.
      direction: "student_first" is the paper's KL(P_s, P_t); "teacher_first" is
        KL(P_t, P_s), Hinton's form and what PyTorch's `kl_div` computes.

    Returns:
      One value per cell, at least 0 (to rounding), 0 where both agree.

    Raises:
      InputError: If `direction` is neither of the two.

    Example:
      >>> s, t = jnp.zeros((1, 1)), jnp.full((1, 1), 2.0)
      >>> bernoulli_kl(s, t).round(4).tolist()
      [[0.4337...]]
      >>> bernoulli_kl(t, t).tolist()
      [[0.0]]

    References:
      Liu et al., arXiv 1907.10586, eq. (9), and (17) for the two terms.
    """
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    first, second = _ordered(student_logits, teacher_logits, direction)
    return bernoulli_divergence(first, second, temperature=temperature)


def bernoulli_divergence(
    first_logits: Float[Array, "*b u v"],
    second_logits: Float[Array, "*b u v"],
    *,
    temperature: float | Scalar = 1.0,
) -> Float[Array, "*b u v"]:
    """Returns KL(first, second) per cell; gradients reach both sides."""
    first, second = first_logits / temperature, second_logits / temperature
    # We subtract logarithms, because p log(p / q) is 0 * inf once a sigmoid is 0.
    target = jax.nn.sigmoid(first) * (
        jax.nn.log_sigmoid(first) - jax.nn.log_sigmoid(second)
    )
    background = jax.nn.sigmoid(-first) * (
        jax.nn.log_sigmoid(-first) - jax.nn.log_sigmoid(-second)
    )
    return target + background


def spatial_kl(
    student_logits: Float[Array, "*b u v"],
    teacher_logits: Float[Array, "*b u v"],
    *,
    temperature: float | Scalar = 1.0,
    direction: Direction = "student_first",
) -> Float[Array, "*b"]:
    r"""Returns the divergence of two distributions over the target's position.

    This is the other reading of eq. (9) for SiamFC: P = softmax(S / temp) over all
    positions of the map. Only differences between cells count, so a constant added to
    a response changes nothing. No gradient reaches the teacher.

    Args:
      student_logits: Raw finite responses.
      teacher_logits: Raw finite responses on the same grid.
      temperature: Number above 0; a larger one softens more.
      direction: The direction as in `bernoulli_kl`.

    Returns:
      One value per example, at least 0 (to rounding).

    Raises:
      InputError: If `direction` is neither of the two.

    Example:
      >>> s = jnp.arange(4.0).reshape(1, 2, 2)
      >>> spatial_kl(s, s + 1.0).tolist()
      [0.0]

    References:
      Liu et al., arXiv 1907.10586, eq. (9).
    """
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    first, second = _ordered(student_logits, teacher_logits, direction)
    log_first = jax.nn.log_softmax(first / temperature, axis=(-2, -1))
    log_second = jax.nn.log_softmax(second / temperature, axis=(-2, -1))
    terms = jnp.exp(log_first) * (log_first - log_second)
    return jnp.sum(terms, axis=(-2, -1))


def _ordered(student: Array, teacher: Array, direction: str) -> tuple:
    if direction == "student_first":
        return student, teacher
    if direction == "teacher_first":
        return teacher, student
    raise InputError(
        f'direction={direction!r}: must be "student_first" or "teacher_first".'
    )
