"""Losses of a head that regresses boxes: from labels, from a teacher, from a peer.

Boxes are encoded against their anchors (`dst_jax.ops.anchors.encode`), four numbers
on the last axis: [b, u, v, k, 4] in training. Every loss sums over the four and returns
one value per anchor. Which anchors count, and how much, is the caller's: positives
with weight 1 / (positives of the pair) for eq. (5), (9) and (10), as
`dst_jax.ops.anchors.assign` gives them; all anchors for eq. (18).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float


def smooth_l1(
    predicted: Float[Array, "*b 4"],
    target: Float[Array, "*b 4"],
    *,
    beta: float = 1.0,
) -> Float[Array, "*b"]:
    r"""Smooth L1 distance of two encoded boxes: L_r, the regression of eq. (5).

    .. math:: L_r = \sum_{c=1}^4 \begin{cases} d_c^2 / 2\beta & |d_c| < \beta \\
              |d_c| - \beta / 2 & \text{otherwise} \end{cases}, \quad d = B - G

    With the teacher's boxes as target it is the regression part of the TS loss, which
    the paper calls the original regression loss of the network: on the anchors of the
    ground truth by default. No gradient reaches the target.

    Args:
      predicted: B, what is learnt.
      target: G, or the teacher's B_t.
      beta: Where the square becomes a line, at least 0; 0 is plain L1.

    Returns:
      One value per anchor, at least 0.

    Raises:
      InputError: If `beta` is negative.

    Example:
      >>> smooth_l1(jnp.array([0.5, -3.0, 0.0, 0.0]), jnp.zeros(4)).item()
      2.625

    References:
      Liu et al., arXiv 1907.10586, eq. (5), and the second term of (9) and its
      Table 1; Girshick, "Fast R-CNN", ICCV 2015.
    """
    return _distance(predicted - jax.lax.stop_gradient(target), beta)


def l1(
    predicted: Float[Array, "*b 4"], target: Float[Array, "*b 4"]
) -> Float[Array, "*b"]:
    """Sum of absolute differences, the regression loss of pysot (weight 1.2 there).

    The paper names smooth L1. No gradient reaches the target, and none passes where
    both are equal.

    Args:
      predicted: What is learnt, encoded.
      target: The same for the ground truth or the teacher.

    Returns:
      One value per anchor, at least 0.

    Example:
      >>> l1(jnp.array([0.5, -3.0, 0.0, 0.0]), jnp.zeros(4)).item()
      3.5
    """
    return smooth_l1(predicted, target, beta=0.0)


def bounded_gate(
    student_loss: Float[Array, "*b"],
    teacher_loss: Float[Array, "*b"],
    *,
    margin: float = 0.005,
) -> Float[Array, "*b"]:
    r"""1 unless the student is better than its teacher by `margin` or more.

    .. math:: gap = L_r(B_t, G) - L_r(B_s, G) < m

    So the student learns until it has left the teacher behind. No gradient passes. A
    NaN on either side closes the gate.

    Args:
      student_loss: Per anchor, or one mean over the batch of all devices.
      teacher_loss: The same of the teacher.
      margin: m; at a gap of exactly m the gate is closed.

    Returns:
      1 (open: learn) or 0 (closed).

    Example:
      >>> bounded_gate(jnp.array([0.5, 0.25]), jnp.array([0.5, 0.5])).tolist()
      [1.0, 0.0]

    References:
      Liu et al., arXiv 1907.10586, the condition of eq. (10).
    """
    gap = jnp.asarray(teacher_loss) - jnp.asarray(student_loss)
    return jax.lax.stop_gradient((gap < margin).astype(gap.dtype))


def bounded_regression(
    student: Float[Array, "*b 4"],
    teacher: Float[Array, "*b 4"],
    target: Float[Array, "*b 4"],
    *,
    margin: float = 0.005,
    beta: float = 1.0,
    compared: Callable[[Array], Array] = lambda values: values,
) -> Float[Array, "*b"]:
    r"""Teacher-bounded regression, the box part of the adaptive hard (AH) loss.

    .. math:: \begin{cases} L_r(B_s, G) & L_r(B_t, G) - L_r(B_s, G) < m \\
              0 & \text{otherwise} \end{cases}

    The teacher and the target get no gradient, the gate neither: where it is open the
    gradient is that of L_r(B_s, G).

    Args:
      student: B_s.
      teacher: B_t.
      target: G, the encoded ground truth.
      margin: m, by how much the student must be better to be left alone.
      beta: Of `smooth_l1`; 0 is plain L1.
      compared: What of the losses per anchor the gate compares. As they are, each
        anchor has its own gate (Chen et al.'s bound is per box); their mean over a
        batch, of all devices, gives one gate for all.

    Returns:
      One value per anchor, at least 0.

    Raises:
      InputError: If `beta` is negative.

    Example:
      >>> target, teacher = jnp.zeros((2, 4)), jnp.full((2, 4), 1.0)
      >>> student = jnp.array([[2.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]])
      >>> bounded_regression(student, teacher, target).tolist()
      [0.0, 0.0]
      >>> bounded_regression(4.0 * student, teacher, target).tolist()
      [7.5, 0.0]
      >>> bounded_regression(4.0 * student, teacher, target, compared=jnp.mean).tolist()
      [7.5, 1.5]

    References:
      Liu et al., arXiv 1907.10586, eq. (10); Chen et al., "Learning efficient object
      detection models with knowledge distillation", NIPS 2017.
    """
    learnt = smooth_l1(student, target, beta=beta)
    bound = smooth_l1(teacher, target, beta=beta)
    gate = bounded_gate(compared(learnt), compared(bound), margin=margin)
    return gate * learnt


def regression_sharing(
    learner: Float[Array, "*b 4"],
    peer: Float[Array, "*b 4"],
    *,
    beta: float = 1.0,
    stop_peer: bool = True,
) -> Float[Array, "*b"]:
    r"""Knowledge sharing (KS), regression: one student learns another's boxes.

    .. math:: L_1(r_1(d_i) - r_2(d_i)), \quad L_1 \text{ the smooth one}

    Args:
      learner: r_1, of the student that learns.
      peer: r_2, of the student that is learnt from, same anchors.
      beta: Of `smooth_l1`; 0 is plain L1.
      stop_peer: Whether the peer is a mere target. If False, the peer is drawn towards
        the learner too.

    Returns:
      One value per anchor. The paper sums over proposals; average, as for
      `softmax_sharing`, so that the weight does not grow with the map.

    Raises:
      InputError: If `beta` is negative.

    Example:
      >>> boxes = jnp.ones((2, 4))
      >>> regression_sharing(boxes, boxes - 0.5).tolist()
      [0.5, 0.5]

    References:
      Liu et al., arXiv 1907.10586, eq. (18) and (19).
    """
    if stop_peer:
        peer = jax.lax.stop_gradient(peer)
    return _distance(learner - peer, beta)


def _distance(difference: Array, beta: float) -> Array:
    """Smooth L1 over the last axis, differentiable in whatever the difference is."""
    if beta < 0.0:
        raise InputError(f"beta={beta}: must be at least 0 (0 is plain L1).")
    # |d| with gradient 0 at 0, where `jnp.abs` has 1.
    size = difference * jax.lax.stop_gradient(jnp.sign(difference))
    if beta > 0.0:
        inner = jnp.minimum(size, beta)
        # Square up to beta, line beyond, without a branch that could overflow.
        size = inner * (size - 0.5 * inner) / beta
    return jnp.sum(size, axis=-1)
