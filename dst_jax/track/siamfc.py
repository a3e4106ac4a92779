"""SiamFC's online tracking, with a fixed template and crops at a few scales.

It follows the public siamfc-pytorch step by step (Bertinetto et al., "Fully-
Convolutional Siamese Networks for Object Tracking", 2016, section 3). As there, windows
are cut at whole pixels, and the mean colour of the *first* frame fills borders. Two
bounds are added, which only runaway boxes reach (see `step_many`). The peak is located
between the cells of the response map, so boxes at the cells are not used. Fields of
`SiamFCTracking` give the conventions of SiamDW's tracker.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.arch.spec import InputSpec
from dst_jax.models.build import Variables, respond
from dst_jax.models.network import Network
from dst_jax.ops.crop import crop_resize_snapped
from dst_jax.ops.windows import hann
from dst_jax.track.config import SiamFCTracking
from dst_jax.track.geometry import displacement, upsampling_matrix
from dst_jax.track.state import FrameSize, TrackOutput, TrackState, judge
from dst_jax.typing import Array, Float, Scalar

# A box may grow to, and leave the frame by, this many times the frame's longer side.
_MAX_FRAMES = 10.0


def step_many(
    module: Network,
    variables: Variables,
    state: TrackState,
    frames: Num[Array, "b h w 3"],
    frame_hw: Num[Array, "b 2"],
    *,
    config: SiamFCTracking,
) -> tuple[TrackState, TrackOutput]:
    """Returns states and outputs of several videos after their next frame.

    The crops of all videos and scales pass the network as one batch. Three rules are
    added to the public procedure. The sides of the box stay between `min_side_px` and
    10 times the frame's longer side, its centre leaves the frame by no more than that,
    and a response that is not finite leaves the box where it is, with score 0.

    Args:
      module: The network.
      variables: Its weights.
      state: One state per video.
      frames: RGB 0-255, one frame per video, on canvases of one size.
      frame_hw: Height and width of each frame in its canvas.
      config: Online hyper-parameters.
    """
    crops = jax.vmap(lambda s, f, hw: search_crops(module, s, f, hw, config=config))(
        state, frames, frame_hw
    )
    videos, scales = crops.shape[:2]
    memory = state.memory
    if videos > 1:
        memory = jax.tree.map(lambda leaf: jnp.repeat(leaf, scales, axis=0), memory)
    flat = crops.reshape(-1, *crops.shape[2:])
    response = respond(module, variables, memory, flat).response
    responses = response.reshape(videos, scales, *response.shape[1:])
    move = jax.vmap(lambda *one: update_box(module, *one, config=config))
    boxes, sides, scores = move(state.box, state.search_sides, responses, frame_hw)
    output = TrackOutput(boxes, scores, judge(scores, config))
    return state._replace(box=boxes, search_sides=sides), output


def offset_px(config: SiamFCTracking) -> float:
    """Returns `Procedure.offset_px`, half a pixel by SiamDW's conventions."""
    return 0.5 if config.peak_origin == "public" else 0.0


def fill(rgb: Float[Array, " 3"], config: SiamFCTracking) -> Float[Array, " 3"]:
    """Returns the colour that fills borders, which SiamDW stores in bytes."""
    return jnp.floor(rgb) if config.peak_origin == "public" else rgb


def first_sides(
    spec: InputSpec, box: Float[Array, " 4"], config: SiamFCTracking
) -> Float[Array, " 2"] | None:
    """Returns `TrackState.search_sides` after the first frame.

    The window begins in the ratio of the crops to the template's, which is cut in whole
    pixels.

    Args:
      spec: Sizes of the crops.
      box: The target, cxcywh in frame pixels.
      config: Online hyper-parameters.
    """
    if config.search_bounds is None:
        return None
    template = spec.template_side(box[2:])
    side = spec.search_side(box[2:]) * (jnp.round(template) / template)
    return jnp.stack([side, side])


def scale_factors(config: SiamFCTracking) -> tuple[float, ...]:
    """Returns the sides of the crops over that of the middle one, smallest first."""
    half = config.scale_count // 2
    return tuple(config.scale_step**power for power in range(-half, half + 1))


def search_crops(
    module: Network,
    state: TrackState,
    frame: Num[Array, "h w 3"],
    frame_hw: FrameSize,
    *,
    config: SiamFCTracking,
) -> Float[Array, "s p p 3"]:
    """Returns the crops around the last box of one video, one per scale."""
    side = _search_side(module, state.box, state.search_sides)
    sides = side * jnp.array(scale_factors(config), jnp.float32)

    def cut(side: Scalar) -> Float[Array, "p p 3"]:
        return crop_resize_snapped(
            frame,
            state.box[:2] - offset_px(config),
            side,
            out_px=module.spec.input.search_px,
            fill=state.fill_rgb,
            frame_hw=frame_hw,
        )

    return jax.vmap(cut)(sides)


def update_box(
    module: Network,
    box: Float[Array, " 4"],
    sides: Float[Array, " 2"] | None,
    responses: Float[Array, "s u v"],
    frame_hw: FrameSize,
    *,
    config: SiamFCTracking,
) -> tuple[Float[Array, " 4"], Float[Array, " 2"] | None, Scalar]:
    """Returns box, search sides and score of one video from the responses.

    Args:
      module: The network.
      box: The last box, cxcywh in frame pixels.
      sides: `TrackState.search_sides`.
      responses: Logits of every scale, smallest first.
      frame_hw: Height and width of the frame.
      config: Online hyper-parameters.
    """
    upsample = jnp.asarray(
        upsampling_matrix(responses.shape[-1], config.response_upsampling)
    )
    exact = jax.lax.Precision.HIGHEST
    fine = jnp.einsum("pu,suv,qv->spq", upsample, responses, upsample, precision=exact)
    middle = config.scale_count // 2
    others = jnp.arange(config.scale_count) != middle
    penalties = jnp.where(others, config.scale_penalty, 1.0)
    peaks = penalties * fine.max(axis=(1, 2))
    best = jnp.argmax(peaks)
    factor = jnp.array(scale_factors(config), jnp.float32)[best]
    peak_xy = _windowed_peak(fine[best] * penalties[best], config.window_influence)
    public, last = config.peak_origin == "public", upsample.shape[0] - 1
    middle_sample = float(last // 2 + 1) if public else last / 2.0
    seen = _search_side(module, box, sides) * (1.0 if public else factor)
    shift = displacement(
        peak_xy,
        middle=middle_sample,
        px_per_sample=module.spec.backbone.total_stride / config.response_upsampling,
        frame_px_per_search_px=seen / module.spec.input.search_px,
    )
    growth = (1.0 - config.scale_rate) + config.scale_rate * factor
    peak = responses[best].max()
    moved = _bounded(box, shift, growth, frame_hw, config)
    sound = jnp.isfinite(peak) & jnp.isfinite(moved).all()
    score = jnp.where(sound, jax.nn.sigmoid(peak), 0.0)
    grown = _bounded_sides(sides, jnp.where(sound, growth, 1.0), config)
    return jnp.where(sound, moved, box), grown, score


def _search_side(
    module: Network, box: Float[Array, " 4"], sides: Float[Array, " 2"] | None
) -> Scalar:
    """Returns the side of the search window at the target's own scale, frame pixels."""
    return module.spec.input.search_side(box[2:]) if sides is None else sides[0]


def _bounded_sides(
    sides: Float[Array, " 2"] | None, growth: Scalar, config: SiamFCTracking
) -> Float[Array, " 2"] | None:
    """Returns the sides of the search window after it has grown, within its bounds."""
    if sides is None or config.search_bounds is None:
        return sides
    low, high = config.search_bounds
    now, first = sides
    return jnp.stack([jnp.clip(now * growth, low * first, high * first), first])


def _windowed_peak(response: Float[Array, "p p"], influence: float) -> Array:
    """Returns column and row of the peak after the Hann window is mixed in."""
    side = response.shape[0]
    response = response - response.min()
    response = response / (response.sum() + 1e-16)
    window = jnp.asarray(hann(side, norm="sum"))
    mixed = (1.0 - influence) * response + influence * window
    peak = jnp.argmax(mixed.reshape(-1))
    return jnp.stack([peak % side, peak // side]).astype(jnp.float32)


def _bounded(
    box: Float[Array, " 4"],
    shift: Float[Array, " 2"],
    growth: Scalar,
    frame_hw: FrameSize,
    config: SiamFCTracking,
) -> Float[Array, " 4"]:
    """Returns the moved and grown box, within bounds."""
    hw = jnp.asarray(frame_hw, jnp.float32)
    size, centre = box[2:], box[:2] + shift
    if config.clip_to_frame:
        wh = hw[::-1]
        size = jnp.maximum(jnp.minimum(size * growth, wh), config.min_side_px)
        return jnp.concatenate([jnp.clip(centre, 0.0, wh), size])
    reach = _MAX_FRAMES * hw.max()
    # One factor for both sides keeps the shape. A box that begins beyond a bound keeps
    # its size.
    smallest = jnp.minimum(1.0, config.min_side_px / size.min())
    largest = jnp.maximum(1.0, reach / size.max())
    size = size * jnp.clip(growth, smallest, largest)
    centre = jnp.clip(centre, -reach, hw[::-1] + reach)
    return jnp.concatenate([centre, size])
