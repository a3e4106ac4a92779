"""SiamRPN's online tracking: a fixed template, one crop, a choice among all boxes.

It follows the public DaSiamRPN step by step (Li et al., "High performance visual
tracking with Siamese region proposal network", CVPR 2018, section 4.3). As there,
windows are cut at whole pixels, and the mean colour of the first frame, rounded down,
fills borders. The corner of a window is round(centre - (side + 1) / 2), half a pixel to
the upper left. This holds for template and search alike, so that it moves no box.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.arch.crops import context_side
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.build import Variables, respond
from dst_jax.models.heads.answers import Answer
from dst_jax.models.network import Network
from dst_jax.models.proposals import proposals
from dst_jax.ops.crop import crop_resize_snapped
from dst_jax.ops.windows import hann
from dst_jax.track.config import SiamRPNTracking
from dst_jax.track.state import FrameSize, TrackOutput, TrackState, judge
from dst_jax.typing import Array, Float, Scalar


def sized_for(
    spec: TrackerSpec,
    box: Float[Array, " 4"],
    frame_hw: tuple[int, int],
    config: SiamRPNTracking,
) -> TrackerSpec:
    """Returns the architecture with the search crop for this target.

    The size is chosen on the host, once a video, and is static: there are two compiled
    programs rather than a traced decision.

    Args:
      spec: The architecture.
      box: The target in the first frame, cxcywh in frame pixels.
      frame_hw: Height and width of that frame.
      config: Online hyper-parameters.

    Returns:
      `spec`, or for a small target `spec` with a larger `search_px`.
    """
    share = float(box[2]) * float(box[3]) / (frame_hw[0] * frame_hw[1])
    if share >= config.small_target_share or not config.small_search_cells:
        return spec
    more = config.small_search_cells * spec.backbone.total_stride
    crops = dataclasses.replace(spec.input, search_px=spec.input.search_px + more)
    return dataclasses.replace(spec, input=crops)


def step_many(
    module: Network,
    variables: Variables,
    state: TrackState,
    frames: Num[Array, "b h w 3"],
    frame_hw: Num[Array, "b 2"],
    *,
    config: SiamRPNTracking,
) -> tuple[TrackState, TrackOutput]:
    """Returns states and outputs of several videos after their next frame.

    The crops of all videos pass the network as one batch. One rule is added to the
    public procedure: an answer that is not finite leaves the box where it is, with
    score 0.

    Args:
      module: The network; its `search_px` is the side of the crops, see `sized_for`.
      variables: Its weights.
      state: One state per video.
      frames: RGB 0-255, one frame per video, on canvases of one size.
      frame_hw: Height and width of each frame in its canvas.
      config: Online hyper-parameters.
    """
    cut = jax.vmap(lambda s, frame, hw: search_crop(module, s, frame, hw))
    answer = respond(module, variables, state.memory, cut(state, frames, frame_hw))
    move = jax.vmap(lambda *one: update_box(module, *one, config=config))
    boxes, scores = move(state.box, answer, frame_hw)
    said = TrackOutput(boxes, scores, judge(scores, config))
    return state._replace(box=boxes), said


def search_crop(
    module: Network,
    state: TrackState,
    frame: Num[Array, "h w 3"],
    frame_hw: FrameSize,
) -> Float[Array, "p p 3"]:
    """Returns the crop around the last box of one video."""
    search_px = module.spec.input.search_px
    return crop_resize_snapped(
        frame,
        state.box[:2] - 0.5,
        search_px / _search_px_per_frame_px(module, state.box),
        out_px=search_px,
        fill=state.fill_rgb,
        frame_hw=frame_hw,
    )


def update_box(
    module: Network,
    box: Float[Array, " 4"],
    answer: Answer,
    frame_hw: FrameSize,
    *,
    config: SiamRPNTracking,
) -> tuple[Float[Array, " 4"], Scalar]:
    """Returns the new box of one video, from those that the network proposes.

    Boxes are ranked by their target probability, times `shape_penalty`, mixed with a
    Hann window that is 1 in the middle. The best box gives the new centre. The new size
    is a mean of the last size and its size, whose share is `size_rate` times its
    penalty times its score.

    Args:
      module: The network.
      box: The last box, cxcywh in frame pixels.
      answer: The network's answer to the search crop, without a batch axis.
      frame_hw: Height and width of the frame. The centre stays in the frame, and sides
        stay between `min_side_px` and those of the frame.
      config: Online hyper-parameters.

    Returns:
      The new box, and its score without penalty and window.
    """
    spec, zoom = module.spec, _search_px_per_frame_px(module, box)
    alone: Any = jax.tree.map(lambda leaf: leaf[None], answer)
    proposed = proposals(spec, alone, search_px=spec.input.search_px)
    boxes, score = proposed.boxes[0], jax.nn.sigmoid(proposed.scores[0])
    penalty = shape_penalty(
        boxes[..., 2:], box[2:] * zoom, k=config.penalty_k, context=spec.input.context
    )
    window = hann(spec.response_side(spec.input.search_px)).ravel()
    window = jnp.repeat(jnp.asarray(window), len(score) // len(window))
    share = config.window_influence
    ranked = penalty * score * (1.0 - share) + window * share
    # A box that is not finite, from too large an offset, is not chosen.
    usable = jnp.isfinite(ranked) & jnp.isfinite(boxes).all(axis=-1)
    best = jnp.argmax(jnp.where(usable, ranked, -jnp.inf))
    chosen, chosen_score = boxes[best], score[best]
    rate = config.size_rate * penalty[best] * chosen_score
    wh = jnp.asarray(frame_hw, jnp.float32)[::-1]
    centre = box[:2] + (chosen[:2] - 0.5 * spec.input.search_px) / zoom
    size = box[2:] * (1.0 - rate) + chosen[2:] / zoom * rate
    size = jnp.maximum(jnp.minimum(size, wh), config.min_side_px)
    moved = jnp.concatenate([jnp.clip(centre, 0.0, wh), size])
    said = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(answer)]
    sound = jnp.stack(said).all() & jnp.isfinite(moved).all()
    return jnp.where(sound, moved, box), jnp.where(sound, chosen_score, 0.0)


def shape_penalty(
    sizes_wh: Float[Array, "*b 2"],
    last_wh: Float[Array, " 2"],
    *,
    k: float,
    context: float = 0.5,
) -> Float[Array, "*b"]:
    r"""Returns the factor by which a change of size and shape lowers a box's score.

    .. math:: e^{-k (r_c s_c - 1)}, \quad r_c = \max(r, 1/r), s_c = \max(s, 1/s)

    Here s is the ratio of the sides of both boxes' squares with context, and r is the
    ratio of their width over height.

    Args:
      sizes_wh: Width and height of the proposed boxes.
      last_wh: Width and height of the last box, in the same pixels.
      k: Strength of the penalty; 0 gives a factor of 1.
      context: Share of the mean side that is added around a box, as in the crops.

    Example:
      >>> sizes = jnp.array([[20.0, 10.0], [10.0, 10.0], [20.0, 20.0]])
      >>> [f"{p:.3f}" for p in shape_penalty(sizes, jnp.array([10.0, 10.0]), k=1.0)]
      ['0.141', '1.000', '0.368']
    """
    s = context_side(sizes_wh, context=context) / context_side(last_wh, context=context)
    r = sizes_wh[..., 0] / sizes_wh[..., 1] / (last_wh[0] / last_wh[1])
    change = jnp.maximum(r, 1.0 / r) * jnp.maximum(s, 1.0 / s)
    return jnp.exp(-k * (change - 1.0))


def _search_px_per_frame_px(module: Network, box: Float[Array, " 4"]) -> Scalar:
    spec = module.spec.input
    zoom = spec.zooms.search
    return zoom.px / zoom.side(box[2:])
