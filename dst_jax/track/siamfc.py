"""SiamFC's online tracking, with a fixed template and crops at a few scales.

It follows the public siamfc-pytorch step by step (Bertinetto et al., "Fully-
Convolutional Siamese Networks for Object Tracking", 2016, section 3). As there, windows
are cut at whole pixels, and the mean colour of the *first* frame fills borders. Two
bounds are added, which only runaway boxes reach (see `step_many`). The peak is located
between the cells of the response map, so boxes at the cells are not used.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Num

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
    added to the public procedure. The sides of the box stay between 1 px and 10 times
    the frame's longer side, its centre leaves the frame by no more than that, and a
    response that is not finite leaves the box where it is, with score 0.

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
    move = jax.vmap(lambda box, r, hw: update_box(module, box, r, hw, config=config))
    boxes, scores = move(state.box, responses, frame_hw)
    output = TrackOutput(boxes, scores, judge(scores, config))
    return state._replace(box=boxes), output


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
    sides = _search_side(module, state.box) * jnp.array(
        scale_factors(config), jnp.float32
    )

    def cut(side: Scalar) -> Float[Array, "p p 3"]:
        return crop_resize_snapped(
            frame,
            state.box[:2],
            side,
            out_px=module.spec.input.search_px,
            fill=state.fill_rgb,
            frame_hw=frame_hw,
        )

    return jax.vmap(cut)(sides)


def update_box(
    module: Network,
    box: Float[Array, " 4"],
    responses: Float[Array, "s u v"],
    frame_hw: FrameSize,
    *,
    config: SiamFCTracking,
) -> tuple[Float[Array, " 4"], Scalar]:
    """Returns the new box of one video and its score from the responses of the scales.

    Args:
      module: The network.
      box: The last box, cxcywh in frame pixels.
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
    search_px = module.spec.input.search_px
    shift = displacement(
        peak_xy,
        fine_side=upsample.shape[0],
        px_per_sample=module.spec.backbone.total_stride / config.response_upsampling,
        frame_px_per_search_px=_search_side(module, box) * factor / search_px,
    )
    growth = (1.0 - config.scale_rate) + config.scale_rate * factor
    peak = responses[best].max()
    moved = _bounded(box, shift, growth, frame_hw)
    sound = jnp.isfinite(peak) & jnp.isfinite(moved).all()
    score = jnp.where(sound, jax.nn.sigmoid(peak), 0.0)
    return jnp.where(sound, moved, box), score


def _search_side(module: Network, box: Float[Array, " 4"]) -> Scalar:
    """Returns the side of the search window at the target's own scale, frame pixels."""
    return module.spec.input.search_side(box[2:])


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
) -> Float[Array, " 4"]:
    """Returns the moved and grown box, within bounds."""
    hw = jnp.asarray(frame_hw, jnp.float32)
    reach = _MAX_FRAMES * hw.max()
    size, centre = box[2:], box[:2] + shift
    # One factor for both sides keeps the shape. A box that begins beyond a bound keeps
    # its size.
    smallest = jnp.minimum(1.0, 1.0 / size.min())
    largest = jnp.maximum(1.0, reach / size.max())
    size = size * jnp.clip(growth, smallest, largest)
    centre = jnp.clip(centre, -reach, hw[::-1] + reach)
    return jnp.concatenate([centre, size])
