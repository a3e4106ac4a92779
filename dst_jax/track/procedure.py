"""Which procedure follows a target with which head, and how every video begins.

A procedure is a value: how the template is cut, and how several videos take a step. All
of them keep the first frame's template and follow one box.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.arch.heads import CorrelationHeadSpec, RegionHeadSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.errors import InputError
from dst_jax.models.build import Variables, remember
from dst_jax.models.siamese import Siamese
from dst_jax.ops.crop import crop_resize_snapped
from dst_jax.track import siamfc, siamrpn
from dst_jax.track.config import (
    SIAMRPN_PRESETS,
    SiamFCTracking,
    SiamRPNTracking,
    Tracking,
)
from dst_jax.track.state import FrameSize, TrackOutput, TrackState, mean_rgb
from dst_jax.typing import Array, Float


class Procedure(NamedTuple):
    """How a family tracks.

    Attributes:
      step_many: (module, variables, state, frames, frame_hw, *, config) -> states and
        outputs of several videos after their next frame.
      search_spec: (spec, box, frame_hw, config) -> the architecture with the search
        crop of a video that begins like this, decided on the host.
      fill: What the mean colour of the first frame becomes before it fills borders.
      offset_px: How far the middle of a window lies to the upper left of the target.
    """

    step_many: Callable[..., tuple[TrackState, TrackOutput]]
    search_spec: Callable[..., TrackerSpec] = lambda spec, *_: spec
    fill: Callable[[Array], Array] = lambda rgb: rgb
    offset_px: float = 0.0


SIAMFC = Procedure(step_many=siamfc.step_many)
SIAMRPN = Procedure(
    step_many=siamrpn.step_many,
    search_spec=siamrpn.sized_for,
    # Public code stores the mean colour in bytes, which cuts it.
    fill=jnp.floor,
    offset_px=0.5,
)
_PROCEDURES: Mapping[type[Tracking], Procedure] = {
    SiamFCTracking: SIAMFC,
    SiamRPNTracking: SIAMRPN,
}


def procedure_of(config: Tracking) -> Procedure:
    """Returns the procedure that settings are for."""
    return _PROCEDURES[type(config)]


def default_tracking(spec: TrackerSpec) -> Tracking:
    """Returns the settings of an architecture's family that nobody has tuned."""
    match spec.head:
        case CorrelationHeadSpec():
            return SiamFCTracking()
        case RegionHeadSpec(form=form):
            return SIAMRPN_PRESETS["alex" if form == "depthwise" else "big"]
        case _ as head:
            assert_never(head)


def require_matching(spec: TrackerSpec, tracking: Tracking) -> None:
    """Raises InputError unless the settings are those of the head's family."""
    kind = type(default_tracking(spec))
    if not isinstance(tracking, kind):
        raise InputError(
            f"tracking settings {type(tracking).__name__}: this tracker's head answers "
            f"with {spec.head.answers}; give {kind.__name__}."
        )


def init(
    procedure: Procedure,
    module: Siamese,
    variables: Variables,
    frame: Num[Array, "h w 3"],
    box: Float[Array, " 4"],
    *,
    frame_hw: FrameSize | None = None,
) -> TrackState:
    """Returns the state of a video whose first frame shows the target.

    Args:
      procedure: Of the tracker's family.
      module: The tracker.
      variables: Its weights.
      frame: RGB 0-255; it may be a canvas larger than the frame.
      box: The target, cxcywh in frame pixels.
      frame_hw: Height and width of the frame in the canvas; None means all of it.
    """
    spec = module.spec.input
    fill_rgb = procedure.fill(mean_rgb(frame, frame_hw=frame_hw))
    crop = crop_resize_snapped(
        frame,
        box[:2] - procedure.offset_px,
        spec.template_side(box[2:]),
        out_px=spec.template_px,
        fill=fill_rgb,
        frame_hw=frame_hw,
    )
    batch = remember(module, variables, crop[None])
    memory = jax.tree.map(lambda leaf: leaf[0], batch)
    return TrackState(jnp.asarray(box), memory, fill_rgb)


def step(
    procedure: Procedure,
    module: Siamese,
    variables: Variables,
    state: TrackState,
    frame: Num[Array, "h w 3"],
    *,
    config: Tracking,
    frame_hw: FrameSize | None = None,
) -> tuple[TrackState, TrackOutput]:
    """Returns the state and output of one video after its next frame.

    Args:
      procedure: Of the tracker's family.
      module: The tracker.
      variables: Its weights.
      state: Of the video.
      frame: RGB 0-255; it may be a canvas larger than the frame.
      config: Online hyper-parameters of the procedure.
      frame_hw: Height and width of the frame in the canvas; None means all of it.
    """
    hw = jnp.asarray(frame.shape[:2] if frame_hw is None else frame_hw)
    batch: Any = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (state, frame, hw))
    moved = procedure.step_many(module, variables, *batch, config=config)
    return jax.tree.map(lambda leaf: leaf[0], moved)
