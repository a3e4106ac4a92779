"""OSTrack's online tracking: a fixed template, one crop, the box of the best cell.

It follows the public OSTrack step by step. As there, windows are cut at whole pixels
and are black outside of the frame, and the box is kept in the frame in the order of
operations of public code.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.models.build import Variables, respond
from dst_jax.models.heads.answers import Answer
from dst_jax.models.network import Network
from dst_jax.models.proposals import proposals
from dst_jax.ops.centre import clamped_sigmoid
from dst_jax.ops.crop import crop_resize_snapped
from dst_jax.ops.windows import hann
from dst_jax.track.config import OSTrackTracking
from dst_jax.track.state import FrameSize, TrackOutput, TrackState, judge
from dst_jax.typing import Array, Float, Scalar


def step_many(
    module: Network,
    variables: Variables,
    state: TrackState,
    frames: Num[Array, "b h w 3"],
    frame_hw: Num[Array, "b 2"],
    *,
    config: OSTrackTracking,
) -> tuple[TrackState, TrackOutput]:
    """Returns states and outputs of several videos after their next frame.

    The crops of all videos pass the network as one batch. One rule is added to the
    public procedure: an answer that is not finite leaves the box where it is, with
    score 0.

    Args:
      module: The network.
      variables: Its weights.
      state: One state per video.
      frames: RGB 0-255, one frame per video, on canvases of one size.
      frame_hw: Height and width of each frame in its canvas.
      config: Online hyper-parameters.
    """
    cut = jax.vmap(lambda *one: search_crop(module, *one, config=config))
    crops = cut(state, frames, frame_hw)
    answer = respond(module, variables, state.memory, crops)
    move = jax.vmap(lambda *one: update_box(module, *one, config=config))
    boxes, scores = move(state.box, answer, frame_hw)
    said = TrackOutput(boxes, scores, judge(scores, config))
    return state._replace(box=boxes), said


def shown_frame(
    centre_xy: Float[Array, " 2"],
    side: Scalar,
    frame_hw: FrameSize,
    config: OSTrackTracking,
) -> FrameSize:
    """Returns height and width of what a window shows of the frame.

    Args:
      centre_xy: Middle of the window, frame pixels.
      side: Side of the window, whole frame pixels.
      frame_hw: Height and width of the frame.
      config: Online hyper-parameters; with `literal_border` a window that reaches the
        frame's last column or row does not show it.
    """
    if not config.literal_border:
        return frame_hw
    wh = jnp.asarray(frame_hw)[::-1]
    end = jnp.round(centre_xy - 0.5 * side) + side
    reached = end >= wh.astype(end.dtype)
    return (wh - reached.astype(wh.dtype))[::-1]


def search_crop(
    module: Network,
    state: TrackState,
    frame: Num[Array, "h w 3"],
    frame_hw: FrameSize,
    *,
    config: OSTrackTracking,
) -> Float[Array, "p p 3"]:
    """Returns the crop around the last box of one video."""
    spec = module.spec.input
    centre, side = state.box[:2], spec.search_side(state.box[2:])
    return crop_resize_snapped(
        frame,
        centre,
        side,
        out_px=spec.search_px,
        fill=state.fill_rgb,
        frame_hw=shown_frame(centre, side, frame_hw, config),
    )


def update_box(
    module: Network,
    box: Float[Array, " 4"],
    answer: Answer,
    frame_hw: FrameSize,
    *,
    config: OSTrackTracking,
) -> tuple[Float[Array, " 4"], Scalar]:
    """Returns the new box of one video, that of the cell of the highest score.

    Scores are multiplied by a Hann window without its zero border.

    Args:
      module: The network.
      box: The last box, cxcywh in frame pixels.
      answer: The network's answer to the search crop, without a batch axis.
      frame_hw: Height and width of the frame.
      config: Online hyper-parameters.

    Returns:
      The new box, and its score without the window.
    """
    spec = module.spec
    alone: Any = jax.tree.map(lambda leaf: leaf[None], answer)
    proposed = proposals(spec, alone, search_px=spec.input.search_px)
    boxes, score = proposed.boxes[0], clamped_sigmoid(proposed.scores[0])
    ranked = score
    if config.window:
        side = spec.response_side(spec.input.search_px)
        ranked = score * jnp.asarray(hann(side + 2)[1:-1, 1:-1]).ravel()
    # A box that is not finite, from too large an offset, is not chosen.
    usable = jnp.isfinite(ranked) & jnp.isfinite(boxes).all(axis=-1)
    best = jnp.argmax(jnp.where(usable, ranked, -jnp.inf))
    chosen = boxes[best]
    zoom = spec.input.search_side(box[2:]) / spec.input.search_px
    centre = box[:2] + (chosen[:2] - 0.5 * spec.input.search_px) * zoom
    found = jnp.concatenate([centre, chosen[2:] * zoom])
    moved = kept_in_frame(found, frame_hw, border_px=config.border_px)
    said = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(answer)]
    sound = jnp.stack(said).all() & jnp.isfinite(moved).all()
    return jnp.where(sound, moved, box), jnp.where(sound, score[best], 0.0)


def kept_in_frame(
    box: Float[Array, " 4"], frame_hw: FrameSize, *, border_px: float
) -> Float[Array, " 4"]:
    """Returns a box of which at least `border_px` pixels lie in the frame.

    Corners are moved in the order of public code, and both sides are at least
    `border_px`.

    Args:
      box: (cx, cy, w, h) in frame pixels.
      frame_hw: Height and width of the frame.
      border_px: The least overlap and side.

    Example:
      >>> box = jnp.array([-2.0, 50.0, 10.0, 120.0])
      >>> kept_in_frame(box, jnp.array([100, 80]), border_px=10.0).tolist()
      [5.0, 50.0, 10.0, 100.0]
    """
    wh = jnp.asarray(frame_hw, box.dtype)[::-1]
    low, high = box[:2] - 0.5 * box[2:], box[:2] + 0.5 * box[2:]
    low = jnp.minimum(jnp.maximum(low, 0.0), wh - border_px)
    high = jnp.minimum(jnp.maximum(high, border_px), wh)
    sides = jnp.maximum(high - low, border_px)
    return jnp.concatenate([low + 0.5 * sides, sides])
