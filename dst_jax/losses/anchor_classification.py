"""Losses of a head that says of every anchor: background or target.

Logits are [..., 2], background first, target second, one pair for each anchor of each
cell: [b, u, v, k, 2] in training. Two logits and a softmax are one logit, their
difference, and a sigmoid, so these are SiamFC's losses at that difference.
"""

import jax.numpy as jnp

from dst_jax.losses.classification import logistic
from dst_jax.losses.sharing import knowledge_sharing
from dst_jax.losses.soft import Direction, bernoulli_kl
from dst_jax.typing import Array, Float, Int, Scalar


def log_odds(logits: Float[Array, "*b u k 2"]) -> Float[Array, "*b u k"]:
    """Target over background: softmax(logits)[..., 1] is sigmoid(log_odds)."""
    return logits[..., 1] - logits[..., 0]


def cross_entropy(
    logits: Float[Array, "*b u k 2"], labels: Int[Array, "*b u k"]
) -> Float[Array, "*b u k"]:
    r"""Cross-entropy of every anchor's two classes, L_cls of eq. (5) before its mean.

    .. math:: \ell_i = -\log \mathrm{softmax}(C_i)_{G_i}

    Args:
      logits: C, raw, background first.
      labels: 1 target, 0 background, -1 ignored.

    Returns:
      One value per anchor, 0 at the ignored. The paper leaves the mean open; the
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
    r"""Teacher-soft (TS) classification: divergence of two softmaxes per anchor.

    .. math:: KL(P_s, P_t) = \sum_{c \in \{0, 1\}} P_{s,c} \log\frac{P_{s,c}}{P_{t,c}},
              \quad P = \mathrm{softmax}(C / temp)

    The result is not multiplied by temp^2. No gradient reaches the teacher.

    Args:
      student_logits: C_s, raw and finite.
      teacher_logits: C_t of the same anchors.
      temperature: Above 0; larger is softer.
      direction: "student_first" is the paper's KL(P_s, P_t); "teacher_first" is
        KL(P_t, P_s), Hinton's form and what PyTorch's `kl_div` computes.

    Returns:
      One value per anchor, at least 0 (to rounding), 0 where both agree. The paper
      says "across all the outputs": average over all anchors.

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
    r"""Knowledge sharing (KS), classification: one student learns from another.

    .. math:: p_1 \log\frac{p_1}{p_2} + q_1 \log\frac{q_1}{q_2}, \quad
              (q, p) = \mathrm{softmax}(C / temp)

    Args:
      learner_logits: Of the student that learns.
      peer_logits: Of the student that is learnt from, same anchors.
      temperature: Above 0; the paper has none here, which is 1.
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
