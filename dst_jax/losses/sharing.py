"""Knowledge sharing between students, its gate, its schedule and its weights."""

from typing import Literal

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.losses.soft import bernoulli_divergence
from dst_jax.typing import Array, Float, Scalar


def knowledge_sharing(
    learner_logits: Float[Array, "*b u v"],
    peer_logits: Float[Array, "*b u v"],
    *,
    temperature: float | Scalar = 1.0,
    stop_peer: bool = True,
) -> Float[Array, "*b u v"]:
    r"""Returns L^KS(learner || peer) of every cell: one student learns from another.

    .. math:: p_1 \log\frac{p_1}{p_2} + q_1 \log\frac{q_1}{q_2}

    The paper sums over proposals; the objective averages, so that the weight does not
    depend on the size of the map. SiamFC has no boxes, hence no eq. (18).

    Args:
      learner_logits: Raw responses of the student that learns.
      peer_logits: Raw responses of the student that it learns from.
      temperature: Number above 0; the paper has none here, which means 1.
      stop_peer: Whether the peer is a mere target ("prior knowledge"). If False,
        the peer is drawn towards the learner too.

    Returns:
      One value per cell, at least 0 (to rounding), 0 where both agree.

    Example:
      >>> s = jnp.ones((1, 2, 2))
      >>> knowledge_sharing(s, s).sum().item()
      0.0

    References:
      Liu et al., arXiv 1907.10586, eq. (17) and (19).
    """
    if stop_peer:
        peer_logits = jax.lax.stop_gradient(peer_logits)
    return bernoulli_divergence(learner_logits, peer_logits, temperature=temperature)


def sharing_schedule(
    epoch: float | Scalar, *, base: float = 0.9, warmup_epochs: float = 0.0
) -> Scalar:
    """Returns f(e) = base^e, where e counts epochs from the end of the warm-up.

    During the warm-up f is 1. The paper says only that f falls geometrically; 0.9 is
    the base of the one public implementation.

    Args:
      epoch: Real-valued epoch, step / steps per epoch; it may be traced.
      base: Base in (0, 1]; 1 never decays.
      warmup_epochs: Number of epochs before e starts to count.

    Returns:
      A scalar in (0, 1].

    Raises:
      InputError: If `base` is not in (0, 1].

    Example:
      >>> round(sharing_schedule(3.0, warmup_epochs=1.0).item(), 4)
      0.81

    References:
      Liu et al., arXiv 1907.10586, f(e) of eq. (22).
    """
    if not 0.0 < base <= 1.0:
        raise InputError(f"base={base}: must be above 0 and at most 1.")
    elapsed = jnp.maximum(jnp.asarray(epoch) - warmup_epochs, 0.0)
    return jnp.power(base, elapsed)


def gate(
    learner_loss: Float[Array, "*b"],
    teacher_loss: Float[Array, "*b"],
    *,
    margin: float = 0.005,
) -> Float[Array, "*b"]:
    """Returns 1 where the learner's own loss is less than `margin` above the teacher's.

    As eq. (22) is printed, the condition is on the student that learns, not on the one
    that it learns from. A NaN on either side closes the gate. No gradient passes.

    Args:
      learner_loss: L^GT(s) over the whole batch of all devices.
      teacher_loss: L^GT(t) of the same batch.
      margin: h, the gap below which the gate is open.

    Returns:
      1 where the gate is open, 0 where it is closed; a gap of exactly `margin` closes
      it.

    Example:
      >>> gate(jnp.array([0.5, 0.75]), jnp.array([0.5, 0.5]), margin=0.25).tolist()
      [1.0, 0.0]

    References:
      Liu et al., arXiv 1907.10586, eq. (22).
    """
    gap = jnp.asarray(learner_loss) - jnp.asarray(teacher_loss)
    return jax.lax.stop_gradient((gap < margin).astype(gap.dtype))


def sigma(
    learner_loss: Float[Array, "*b"],
    teacher_loss: Float[Array, "*b"],
    epoch: float | Scalar,
    *,
    margin: float = 0.005,
    base: float = 0.9,
    warmup_epochs: float = 0.0,
) -> Float[Array, "*b"]:
    """Returns the weight of sharing: f(e) where the gate is open, 0 where it is closed.

    Args:
      learner_loss: L^GT(s) over the whole batch of all devices.
      teacher_loss: L^GT(t) of the same batch.
      epoch: Real-valued epoch; it may be traced.
      margin: h, the margin of `gate`.
      base: The base of `sharing_schedule`.
      warmup_epochs: The warm-up of `sharing_schedule`.

    Returns:
      Values in [0, 1], without gradient.

    Example:
      >>> loss = jnp.array(0.25)
      >>> round(sigma(loss, loss, 2.0).item(), 4)
      0.81

    References:
      Liu et al., arXiv 1907.10586, eq. (22).
    """
    opened = gate(learner_loss, teacher_loss, margin=margin)
    decay = sharing_schedule(epoch, base=base, warmup_epochs=warmup_epochs)
    return opened * jax.lax.stop_gradient(decay).astype(opened.dtype)


def sharing_weight(
    learner_parameters: int, peer_parameters: int, *, discount: float = 0.5
) -> float:
    """Returns beta_ij: 1 if the peer is the larger network, else the discount.

    Args:
      learner_parameters: Number of parameters of the student that learns.
      peer_parameters: Number of parameters of the student that it learns from.
      discount: Trust in a peer that is not larger, in [0, 1].

    Returns:
      The weight of L^KS(learner || peer).

    Raises:
      InputError: If `discount` is outside [0, 1].

    Example:
      >>> sharing_weight(170_000, 590_000), sharing_weight(590_000, 170_000)
      (1.0, 0.5)

    References:
      Liu et al., arXiv 1907.10586, beta of eq. (21) and beta_ij of eq. (33).
    """
    if not 0.0 <= discount <= 1.0:
        raise InputError(f"discount={discount}: must be between 0 and 1.")
    return 1.0 if peer_parameters > learner_parameters else discount


def sharing_normaliser(
    students: int, *, norm: Literal["peers", "paper"] = "peers"
) -> float:
    """Returns the factor that multiplies the sum over peers in eq. (33).

    The paper prints 1/n over j = 1..n. At n = 2 that is half of eq. (20)-(21), because
    the term j = i is 0. With "peers" the factor is 1/(n - 1), and n = 2 gives
    eq. (20)-(21).

    Args:
      students: n, the number of students, at least 1.
      norm: "peers" for 1/(n - 1), "paper" for 1/n.

    Returns:
      The factor; it is 0 with "peers" and a single student, who has no peer.

    Raises:
      InputError: If `students` is less than 1 or `norm` neither of the two.

    Example:
      >>> sharing_normaliser(2), sharing_normaliser(2, norm="paper")
      (1.0, 0.5)

    References:
      Liu et al., arXiv 1907.10586, eq. (33).
    """
    if students < 1:
        raise InputError(f"students={students}: must be at least 1.")
    if norm == "paper":
        return 1.0 / students
    if norm == "peers":
        return 1.0 / (students - 1) if students > 1 else 0.0
    raise InputError(f'norm={norm!r}: must be "peers" or "paper".')
