"""Losses of a head that classifies every anchor as background or target.

Logits are [..., 2], background first, target second, one pair for each anchor of each
cell: [b, u, v, k, 2] in training. A softmax of two logits equals a sigmoid of their
difference, so these are SiamFC's losses at that difference.
"""

import jax.numpy as jnp

from dst_jax.losses.classification import logistic
from dst_jax.losses.sharing import knowledge_sharing
from dst_jax.losses.soft import Direction, bernoulli_kl
from dst_jax.typing import Array, Float, Int, Scalar


def log_odds(logits: Float[Array, "*b u k 2"]) -> Float[Array, "*b u k"]:
    """Returns the log odds of the target: their sigmoid is softmax(logits)[..., 1]."""
    return logits[..., 1] - logits[..., 0]


def cross_entropy(
    logits: Float[Array, "*b u k 2"], labels: Int[Array, "*b u k"]
) -> Float[Array, "*b u k"]:
    r"""Returns every anchor's cross-entropy, L_cls of eq. (5) before its mean.

    .. math:: \ell_i = -\log \mathrm{softmax}(C_i)_{G_i}

    Args:
      logits: C, the raw logits, background first.
      labels: 1 for target, 0 for background, -1 for ignored anchors.

    Returns:
      One value per anchor, 0 at ignored ones. The paper leaves the mean open; the
      public recipe takes half the mean over all positives of the batch plus half the
      mean over all its negatives.

    Example:
      >>> logits = jnp.log(jnp.array([[[1.0, 3.0], [1.0, 3.0], [1.0, 3.0]]]))
      >>> cross_entropy(logits, jnp.array([[1, 0, -1]])).round(4).tolist()
      [[0.2876..., 1.3862..., 0.0]]

    References:
      Liu et al., arXiv 1907.10586, eq. (5) and the first term of (11).
    """
    labels = jnp.asarray(labels)
    positive = (labels == 1).astype(logits.dtype)
    return jnp.where(labels < 0, 0.0, logistic(log_odds(logits), positive))


def softmax_kl(
    student_logits: Float[Array, "*b u k 2"],
    teacher_logits: Float[Array, "*b u k 2"],
    *,
    temperature: float | Scalar = 1.0,
    direction: Direction = "student_first",
) -> Float[Array, "*b u k"]:
    r"""Returns the teacher-soft (TS) classification loss of every anchor.

    It is the divergence of two softmaxes.

    .. math:: KL(P_s, P_t) = \sum_{c \in \{0, 1\}} P_{s,c} \log\frac{P_{s,c}}{P_{t,c}},
              \quad P = \mathrm{softmax}(C / temp)

    The result is not multiplied by temp^2. No gradient reaches the teacher.

    Args:
      student_logits: C_s, raw and finite.
      teacher_logits: C_t of the same anchors.
      temperature: Number above 0; a larger one softens more.
      direction: "student_first" is the paper's KL(P_s, P_t); "teacher_first" is
        KL(P_t, P_s), Hinton's form and what PyTorch's `kl_div` computes.

    Returns:
      One value per anchor, at least 0 (to rounding), 0 where both agree. The paper
      says "across all the outputs", so average over all anchors.

    Raises:
      InputError: If `direction` is neither of the two.

    Example:
      >>> student = jnp.zeros((1, 1, 2))
      >>> teacher = jnp.array([[[5.0, 7.0]]])
      >>> softmax_kl(student, teacher).round(4).tolist()
      [[0.4337...]]

    References:
      Liu et al., arXiv 1907.10586, eq. (9).
    """
    return bernoulli_kl(
        log_odds(student_logits),
        log_odds(teacher_logits),
        temperature=temperature,
        direction=direction,
    )


def softmax_sharing(
    learner_logits: Float[Array, "*b u k 2"],
    peer_logits: Float[Array, "*b u k 2"],
    *,
    temperature: float | Scalar = 1.0,
    stop_peer: bool = True,
) -> Float[Array, "*b u k"]:
    r"""Returns the knowledge-sharing (KS) classification loss of every anchor.

    One student, the learner, learns from another, the peer.

    .. math:: p_1 \log\frac{p_1}{p_2} + q_1 \log\frac{q_1}{q_2}, \quad
              (q, p) = \mathrm{softmax}(C / temp)

    Args:
      learner_logits: Logits of the student that learns.
      peer_logits: Logits of the student that it learns from, for the same anchors.
      temperature: Number above 0; the paper has none here, which means 1.
      stop_peer: Whether the peer is a mere target ("prior knowledge"). If False,
        the peer is drawn towards the learner too.

    Returns:
      One value per anchor. The paper sums over proposals; a sum over the 1805 anchors
      of SiamRPN would outweigh every other term, so average.

    Example:
      >>> logits = jnp.array([[[0.0, 1.0]]])
      >>> softmax_sharing(logits, logits + 3.0).tolist()
      [[0.0]]

    References:
      Liu et al., arXiv 1907.10586, eq. (17) and (19).
    """
    return knowledge_sharing(
        log_odds(learner_logits),
        log_odds(peer_logits),
        temperature=temperature,
        stop_peer=stop_peer,
    )
