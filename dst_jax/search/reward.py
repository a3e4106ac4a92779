"""What a candidate is worth, eq. 6-8."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.boxes import iou
from dst_jax.ops.anchors import decode
from dst_jax.typing import Array, Float

IMPOSSIBLE = -1.0  # N2N's reward of a network that cannot be built


def compression(student: TrackerSpec, teacher: TrackerSpec) -> float:
    """C = 1 - S_s / S_t, of the learnable parameters."""
    return 1.0 - tracker_cost(student).parameters / tracker_cost(teacher).parameters


def reward(student_accuracy: float, teacher_accuracy: float, saved: float) -> float:
    """R = C (2 - C) acc_s / acc_t, eq. 6; `saved` is C.

    Example:
      >>> reward(0.5, 1.0, 0.5)
      0.375
    """
    return saved * (2.0 - saved) * student_accuracy / teacher_accuracy


def mean_reward(rewards: Sequence[float]) -> float:
    """R_t = 1 / N_a sum_i R_ti, eq. 8."""
    return float(np.mean(rewards))


def proposal_overlap(
    response: Float[Array, "b u u"],
    size: Float[Array, "b 2"],
    truth: Float[Array, "b 4"],
    *,
    stride: float,
    search_px: int,
    proposals: int,
) -> Float[Array, " b"]:
    """Mean overlap of the top-N proposals with the truth; M N of these are eq. 7.

    SiamFC proposes no boxes: the previous target's box is set at each of the N cells
    of highest response. The mean over N keeps the accuracy in [0, 1]; eq. 6 has it in
    a ratio, where N and M cancel.

    Args:
      response: Logits.
      size: Width and height of the target in the template, at the search's scale.
      truth: (cx, cy, w, h) in pixels of the search crop.
      stride: Search pixels per cell.
      search_px: Side of the search crop.
      proposals: N; all cells if there are fewer.
    """
    batch, side, _ = response.shape
    count = min(proposals, side * side)
    _, cells = jax.lax.top_k(response.reshape(batch, side * side), count)
    rows, columns = cells // side, cells % side
    centre = 0.5 * search_px
    offset = jnp.stack([columns, rows], axis=-1).astype(response.dtype)
    centres = centre + stride * (offset - 0.5 * (side - 1))
    sizes = jnp.broadcast_to(size[:, None].astype(response.dtype), centres.shape)
    return _mean_overlap(jnp.concatenate([centres, sizes], axis=-1), truth)


def region_overlap(
    response: Float[Array, "b u v k 2"],
    offsets: Float[Array, "b u v k 4"],
    anchors: Float[Array, "u v k 4"],
    truth: Float[Array, "b 4"],
    *,
    proposals: int,
) -> Float[Array, " b"]:
    """The same for a head that proposes boxes: those of the top-N anchors.

    Neither window nor penalties of tracking take part.

    Args:
      response: Logits, background first.
      offsets: (dx, dy, dw, dh) of every anchor.
      anchors: (cx, cy, w, h) in pixels of the search crop.
      truth: (cx, cy, w, h) in the same pixels.
      proposals: N; all anchors if there are fewer.
    """
    batch = len(response)
    # Of two classes, the difference of logits orders as the probability does.
    score = (response[..., 1] - response[..., 0]).reshape(batch, -1)
    _, best = jax.lax.top_k(score, min(proposals, score.shape[-1]))
    chosen = jnp.take_along_axis(offsets.reshape(batch, -1, 4), best[..., None], axis=1)
    boxes = decode(jnp.asarray(anchors).reshape(-1, 4)[best], chosen)
    return _mean_overlap(boxes, truth)


def _mean_overlap(
    boxes: Float[Array, "b n 4"], truth: Float[Array, "b 4"]
) -> Float[Array, " b"]:
    truths = jnp.broadcast_to(truth[:, None].astype(boxes.dtype), boxes.shape)
    return jnp.mean(iou(boxes, truths), axis=-1)
