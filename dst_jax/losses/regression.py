"""Losses of a head that regresses boxes: from labels, from a teacher, from a peer.

Boxes are encoded against their anchors (`dst_jax.ops.anchors.encode`), four numbers
on the last axis: [b, u, v, k, 4] in training. Every loss sums over the four and returns
one value per anchor. The caller decides which anchors count, and how much: positives
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
    r"""Returns the smooth L1 distance of encoded boxes, L_r of eq. (5).

    .. math:: L_r = \sum_{c=1}^4 \begin{cases} d_c^2 / 2\beta & |d_c| < \beta \\
              |d_c| - \beta / 2 & \text{otherwise} \end{cases}, \quad d = B - G

    With the teacher's boxes as target it is the regression part of the TS loss, which
    the paper calls the original regression loss of the network; by default the ground
    truth's anchors count. No gradient reaches the target.

    Args:
      predicted: B, the encoded boxes that are learnt.
      target: G of the ground truth, or the teacher's B_t.
      beta: Difference at which the square becomes a line, at least 0; 0 is plain L1.

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
    """Returns the sum of absolute differences, pysot's regression loss.

    pysot gives it the weight 1.2; the paper names smooth L1. No gradient reaches the
    target, and none passes where both are equal.

    Args:
      predicted: The encoded boxes that are learnt.
      target: The encoded boxes of the ground truth or the teacher.

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
    r"""Returns 1 unless the student is better than its teacher by `margin` or more.

    .. math:: gap = L_r(B_t, G) - L_r(B_s, G) < m

    So the student learns until it has left the teacher behind. No gradient passes. A
    NaN on either side closes the gate.

    Args:
      student_loss: L_r of the student, per anchor or as one mean over the batch of all
        devices.
      teacher_loss: L_r of the teacher, in the same form.
      margin: m, the gap at which the gate closes.

    Returns:
      1 where the gate is open and the student learns, 0 where it is closed.

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
    r"""Returns the teacher-bounded regression loss of every anchor.

    It is the box part of the adaptive hard (AH) loss.

    .. math:: \begin{cases} L_r(B_s, G) & L_r(B_t, G) - L_r(B_s, G) < m \\
              0 & \text{otherwise} \end{cases}

    No gradient reaches the teacher or the target, and none passes through the gate:
    where it is open the gradient is that of L_r(B_s, G).

    Args:
      student: B_s, the encoded boxes of the student.
      teacher: B_t, the encoded boxes of the teacher.
      target: G, the encoded ground truth.
      margin: m, the lead over the teacher at which the student is left alone.
      beta: The `beta` of `smooth_l1`; 0 is plain L1.
      compared: Function of the losses per anchor whose values the gate compares. By
        default each anchor has its own gate (Chen et al.'s bound is per box); a mean
        over the batch of all devices gives one gate for all anchors.

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
    r"""Returns the knowledge-sharing (KS) regression loss of every anchor.

    One student, the learner, learns the boxes of another, the peer.

    .. math:: L_1(r_1(d_i) - r_2(d_i)), \quad L_1 \text{ the smooth one}

    Args:
      learner: r_1, the encoded boxes of the student that learns.
      peer: r_2, those of the student that it learns from, for the same anchors.
      beta: The `beta` of `smooth_l1`; 0 is plain L1.
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
    """Returns smooth L1 over the last axis; gradients reach both sides."""
    if beta < 0.0:
        raise InputError(f"beta={beta}: must be at least 0 (0 is plain L1).")
    # This is |d| with gradient 0 at 0, where `jnp.abs` has 1.
    size = difference * jax.lax.stop_gradient(jnp.sign(difference))
    if beta > 0.0:
        inner = jnp.minimum(size, beta)
        # A square up to beta and a line beyond, without a branch that could overflow.
        size = inner * (size - 0.5 * inner) / beta
    return jnp.sum(size, axis=-1)
