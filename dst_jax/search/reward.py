"""The reward of a candidate, eq. 6-8."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.boxes import iou
from dst_jax.typing import Array, Float

IMPOSSIBLE = -1.0  # N2N's reward for a network that cannot be built

# What S of eq. 6 counts.
Size: TypeAlias = Literal["parameters", "macs"]


def size_of(spec: TrackerSpec, size: Size) -> int:
    """Returns S of eq. 6: learnable parameters, or multiply-adds of a search image."""
    cost = tracker_cost(spec)
    return cost.parameters if size == "parameters" else cost.search_macs


def compression(
    student: TrackerSpec, teacher: TrackerSpec, *, size: Size = "parameters"
) -> float:
    """Returns C = 1 - S_s / S_t, where S is the `size_of` a network."""
    return 1.0 - size_of(student, size) / size_of(teacher, size)


def reward(student_accuracy: float, teacher_accuracy: float, saved: float) -> float:
    """Returns R = C (2 - C) acc_s / acc_t, eq. 6; `saved` is C.

    Example:
      >>> reward(0.5, 1.0, 0.5)
      0.375
    """
    return saved * (2.0 - saved) * student_accuracy / teacher_accuracy


def mean_reward(rewards: Sequence[float]) -> float:
    """Returns R_t = 1 / N_a sum_i R_ti, eq. 8."""
    return float(np.mean(rewards))


def proposal_overlap(
    boxes: Float[Array, "b n 4"],
    scores: Float[Array, "b n"],
    truth: Float[Array, "b 4"],
    *,
    proposals: int,
) -> Float[Array, " b"]:
    """Returns the mean overlap of the top-N proposals with the truth, for eq. 7.

    Eq. 7 sums overlaps over M pairs and N proposals; means keep the accuracy in [0, 1].
    In the ratio of eq. 6 M and N cancel. Neither window nor penalties of tracking take
    part.

    Args:
      boxes: Boxes that the network proposes, (cx, cy, w, h) in pixels of the search
        crop. SiamFC proposes no boxes; for it they are the previous target's box at
        each cell.
      scores: Scores by which the boxes are ordered.
      truth: True boxes, (cx, cy, w, h) in the same pixels.
      proposals: N; all boxes count if there are fewer.
    """
    _, best = jax.lax.top_k(scores, min(proposals, scores.shape[-1]))
    chosen = jnp.take_along_axis(boxes, best[..., None], axis=1)
    truths = jnp.broadcast_to(truth[:, None].astype(chosen.dtype), chosen.shape)
    return jnp.mean(iou(chosen, truths), axis=-1)
