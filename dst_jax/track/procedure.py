"""Chooses the tracking procedure of a head, and begins every video.

A procedure is a value that says how the template is cut and how several videos take a
step. All procedures keep the first frame's template and follow one box.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.arch.heads import CentreHeadSpec, CorrelationHeadSpec, RegionHeadSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.errors import InputError
from dst_jax.models.build import Variables, remember
from dst_jax.models.network import Network
from dst_jax.ops.crop import crop_resize_snapped
from dst_jax.track import ostrack, regain, siamfc, siamrpn
from dst_jax.track.config import (
    SIAMRPN_PRESETS,
    OSTrackTracking,
    SiamFCTracking,
    SiamRPNTracking,
    Tracking,
)
from dst_jax.track.state import FrameSize, TrackOutput, TrackState, mean_rgb
from dst_jax.typing import Array, Float


class Procedure(NamedTuple):
    """The tracking procedure of a family.

    Attributes:
      step_many: Function (module, variables, state, frames, frame_hw, *, config) that
        returns states and outputs of several videos after their next frame.
      search_spec: Function (spec, box, frame_hw, config) that returns, on the host, the
        architecture with the search crop for this target.
      fill: Function (mean colour of the first frame, config) that returns the colour
        that fills borders.
      first_sides: Function (spec, box, config) that returns `TrackState.search_sides`.
      offset_px: Function (config) that returns the offset of a window's middle from the
        target's centre to the upper left, frame pixels.
      crops: Function (config) that returns the number of search crops of a frame.
      shown_frame: Function (middle and side of a window, height and width of the frame,
        config) that returns height and width of what the window shows of the frame;
        None for all of it.
    """

    step_many: Callable[..., tuple[TrackState, TrackOutput]]
    fill: Callable[[Array, Any], Array]
    offset_px: Callable[[Any], float]
    search_spec: Callable[..., TrackerSpec] = lambda spec, *_: spec
    first_sides: Callable[..., Array | None] = lambda *_: None
    crops: Callable[[Any], int] = lambda _: 1
    shown_frame: Callable[..., Any] | None = None


SIAMFC = Procedure(
    step_many=siamfc.step_many,
    fill=siamfc.fill,
    offset_px=siamfc.offset_px,
    first_sides=siamfc.first_sides,
    crops=lambda config: config.scale_count,
)
SIAMRPN = Procedure(
    step_many=siamrpn.step_many,
    # Public code stores the mean colour in bytes, which rounds it down.
    fill=lambda rgb, _: jnp.floor(rgb),
    offset_px=lambda _: 0.5,
    search_spec=siamrpn.sized_for,
)
OSTRACK = Procedure(
    step_many=ostrack.step_many,
    fill=lambda rgb, _: jnp.zeros_like(rgb),
    offset_px=lambda _: 0.0,
    shown_frame=ostrack.shown_frame,
)
_PROCEDURES: Mapping[type[Tracking], Procedure] = {
    SiamFCTracking: SIAMFC,
    SiamRPNTracking: SIAMRPN,
    OSTrackTracking: OSTRACK,
}


def procedure_of(config: Tracking) -> Procedure:
    """Returns the procedure of the settings' family.

    Where lost targets are searched in several windows, its steps do that.
    """
    procedure = _PROCEDURES[type(config)]
    if config.lost_search == 1:
        return procedure
    wide = functools.partial(regain.step_many, procedure.step_many)
    return procedure._replace(step_many=wide)


def default_tracking(spec: TrackerSpec) -> Tracking:
    """Returns the public settings of an architecture's family."""
    match spec.head:
        case CorrelationHeadSpec():
            return SiamFCTracking()
        case RegionHeadSpec(form=form) as head:
            network = "r50" if head.levels else "alex"
            return SIAMRPN_PRESETS[network if form == "depthwise" else "big"]
        case CentreHeadSpec():
            return OSTrackTracking()
        case _ as head:
            assert_never(head)


def require_matching(spec: TrackerSpec, tracking: Tracking) -> None:
    """Checks that the settings are those of the head's family.

    Raises:
      InputError: If they are not.
    """
    kind = type(default_tracking(spec))
    if not isinstance(tracking, kind):
        raise InputError(
            f"tracking settings {type(tracking).__name__}: this tracker's head answers "
            f"with {spec.head.answers}; give {kind.__name__}."
        )


def init(
    procedure: Procedure,
    module: Network,
    variables: Variables,
    frame: Num[Array, "h w 3"],
    box: Float[Array, " 4"],
    *,
    config: Tracking,
    frame_hw: FrameSize | None = None,
) -> TrackState:
    """Returns the state of a video after its first frame, which shows the target.

    Args:
      procedure: Procedure of the network's family.
      module: The network.
      variables: Its weights.
      frame: RGB 0-255; it may be a canvas larger than the frame.
      box: The target, cxcywh in frame pixels.
      config: Online hyper-parameters of the procedure.
      frame_hw: Height and width of the frame in the canvas; None for all of it.
    """
    spec = module.spec.input
    fill_rgb = procedure.fill(mean_rgb(frame, frame_hw=frame_hw), config)
    centre = box[:2] - procedure.offset_px(config)
    side = spec.template_side(box[2:])
    if procedure.shown_frame is not None:
        hw = jnp.asarray(frame.shape[:2] if frame_hw is None else frame_hw)
        frame_hw = procedure.shown_frame(centre, side, hw, config)
    crop = crop_resize_snapped(
        frame,
        centre,
        side,
        out_px=spec.template_px,
        fill=fill_rgb,
        frame_hw=frame_hw,
    )
    batch = remember(module, variables, crop[None])
    memory = jax.tree.map(lambda leaf: leaf[0], batch)
    sides = procedure.first_sides(spec, box, config)
    lost = None if config.lost_search == 1 else jnp.zeros((), bool)
    return TrackState(jnp.asarray(box), memory, fill_rgb, sides, lost)


def step(
    procedure: Procedure,
    module: Network,
    variables: Variables,
    state: TrackState,
    frame: Num[Array, "h w 3"],
    *,
    config: Tracking,
    frame_hw: FrameSize | None = None,
) -> tuple[TrackState, TrackOutput]:
    """Returns the state and output of one video after its next frame.

    Args:
      procedure: Procedure of the network's family.
      module: The network.
      variables: Its weights.
      state: State of the video after the last frame.
      frame: RGB 0-255; it may be a canvas larger than the frame.
      config: Online hyper-parameters of the procedure.
      frame_hw: Height and width of the frame in the canvas; None for all of it.
    """
    hw = jnp.asarray(frame.shape[:2] if frame_hw is None else frame_hw)
    batch: Any = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (state, frame, hw))
    moved = procedure.step_many(module, variables, *batch, config=config)
    return jax.tree.map(lambda leaf: leaf[0], moved)
