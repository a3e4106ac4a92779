"""Online hyper-parameters of trackers, which are stored in their bundles."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from dst_jax.decode import OMIT_DEFAULT, from_json, to_json
from dst_jax.errors import InputError, shortened
from dst_jax.require import (
    require,
    require_between,
    require_one_of,
    require_share,
    require_whole,
)

# Trackers look at up to 5 scales, 1.1 apart, and sample responses up to 16-fold.
MAX_SCALES = 101
MAX_SCALE_STEP = 2.0
MAX_UPSAMPLING = 256
# Public trackers add 2 cells of 8 px to their search crop.
MAX_MORE_CELLS = 100
# Public trackers use up to 0.3; at 10 every change of size is forbidden already.
MAX_PENALTY = 100.0
# Wider than any frame that is read.
MAX_SIDE_PX = 100_000.0
# SiamDW's tracker lets its window grow five times.
MAX_GROWTH = 1000.0
# Of a lost target 25 windows are looked at then.
MAX_LOST_SEARCH = 3
# A slope of 1 leaves a score its odds; scores are taken from 1e-6 to 1 - 1e-6.
MAX_SLOPE, MAX_OFFSET = 1000.0, 100_000.0


@dataclasses.dataclass(frozen=True, slots=True)
class Tracking:
    """Settings that every family has, which say when a target counts as lost.

    JSON leaves out the last three while they have their defaults.

    Attributes:
      lost_below: Score below which the target counts as lost; None for never.
      uncertain_below: Score below which the target counts as uncertain; None for never.
      calibration: Slope, above 0, and offset of the line from the log odds of a score
        to those of the probability that the box overlaps the target by more than half,
        which `dst-jax calibrate` fits; None if that is not known.
      lost_search: Widths of a search window in which a lost target is looked for; 1
        looks where it was last, as in every other frame.
      found_above: Score that a lost target needs elsewhere than where it was last, to
        be taken for it; None for one that is neither lost nor uncertain.
    """

    lost_below: float | None = None
    uncertain_below: float | None = None
    calibration: tuple[float, float] | None = dataclasses.field(
        default=None, metadata=OMIT_DEFAULT
    )
    lost_search: int = dataclasses.field(default=1, metadata=OMIT_DEFAULT)
    found_above: float | None = dataclasses.field(default=None, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        for field in ("lost_below", "uncertain_below", "found_above"):
            value = getattr(self, field)
            score = value is None or 0.0 <= value <= 1.0
            require(score, self, field, "must be null or a score in [0, 1]")
        if self.lost_below is not None and self.uncertain_below is not None:
            ordered = self.lost_below <= self.uncertain_below
            require(ordered, self, "lost_below", "must not exceed uncertain_below")
        if self.calibration is not None:
            slope, offset = self.calibration
            within = 0.0 < slope <= MAX_SLOPE and abs(offset) <= MAX_OFFSET
            text = f"must be a slope in (0, {MAX_SLOPE:g}] and an offset within"
            require(within, self, "calibration", f"{text} +-{MAX_OFFSET:g}")
        require_whole(1, MAX_LOST_SEARCH, self, "lost_search")
        judged = self.lost_search == 1 or self.lost_below is not None
        require(judged, self, "lost_search", "needs lost_below, to know what is lost")

    @property
    def has_states(self) -> bool:
        """Returns whether a threshold is set, so that steps return states."""
        return self.lost_below is not None or self.uncertain_below is not None


@dataclasses.dataclass(frozen=True, slots=True)
class SiamFCTracking(Tracking):
    """Settings of SiamFC's search over scales and of its window.

    The defaults are those of siamfc-pytorch. JSON leaves out the conventions that
    SiamDW's tracker adds, `peak_origin` to `clip_to_frame`, while they have theirs.

    Attributes:
      scale_count: Number of crops per frame, odd; the middle one has the target's
        scale.
      scale_step: Ratio of the sides of neighbouring crops.
      scale_rate: Share of the chosen scale in the new size, 0 to 1.
      scale_penalty: Factor on the responses of all but the middle scale.
      window_influence: Share of the Hann window in the final map, 0 to 1.
      response_upsampling: Samples per response cell when the peak is located.
      peak_origin: "middle": a peak's offset counts from the middle of the up-sampled
        map, 135.5 of 272 samples, in pixels of the chosen scale; "public": from the
        sample behind it, 136, in pixels of the middle scale, of windows half a pixel to
        the upper left and with a border rounded down, as SiamDW's code has it.
      search_bounds: Least and largest side of the search window over its first one; the
        window then grows from its own last side, which begins with the template's in
        whole pixels. None lets it follow the box without bounds.
      min_side_px: Least side of the box, frame pixels.
      clip_to_frame: Whether the centre is kept in the frame, and each side between
        `min_side_px` and that of the frame.
      lost_below: Score below which the target counts as lost; None for never.
      uncertain_below: Score below which the target counts as uncertain; None for never.
    """

    scale_count: int = 3
    scale_step: float = 1.0375
    scale_rate: float = 0.59
    scale_penalty: float = 0.9745
    window_influence: float = 0.176
    response_upsampling: int = 16
    peak_origin: Literal["middle", "public"] = dataclasses.field(
        default="middle", metadata=OMIT_DEFAULT
    )
    search_bounds: tuple[float, float] | None = dataclasses.field(
        default=None, metadata=OMIT_DEFAULT
    )
    min_side_px: float = dataclasses.field(default=1.0, metadata=OMIT_DEFAULT)
    clip_to_frame: bool = dataclasses.field(default=False, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        # The parent is called by name, because super() does not work with slots.
        Tracking.__post_init__(self)
        require_whole(1, MAX_SCALES, self, "scale_count")
        odd = self.scale_count % 2 == 1
        require(odd, self, "scale_count", "must be odd, for example 3")
        larger = 1.0 < self.scale_step <= MAX_SCALE_STEP
        require(larger, self, "scale_step", f"must lie in (1, {MAX_SCALE_STEP:g}]")
        require_share(self, "scale_rate", "window_influence")
        penalty = 0.0 < self.scale_penalty <= 1.0
        require(penalty, self, "scale_penalty", "must lie in (0, 1]")
        require_whole(1, MAX_UPSAMPLING, self, "response_upsampling")
        require_one_of(("middle", "public"), self, "peak_origin")
        if self.search_bounds is not None:
            low, high = self.search_bounds
            around = 0.0 < low <= 1.0 <= high <= MAX_GROWTH
            text = "must be a factor in (0, 1] and one from 1 to"
            require(around, self, "search_bounds", f"{text} {MAX_GROWTH:g}")
        _require_side(self)


@dataclasses.dataclass(frozen=True, slots=True)
class SiamRPNTracking(Tracking):
    """Settings of SiamRPN's choice among its boxes; the defaults are SiamRPNBIG's.

    The side of the search crop is `InputSpec.search_px`. For a small target it is
    `small_search_cells` strides longer, 287 px instead of 271 px.

    Attributes:
      penalty_k: Strength of the penalty on a change of shape or size; 0 for none.
      window_influence: Share of the Hann window in the final ranking, 0 to 1.
      size_rate: Share of the chosen box in the new size, 0 to 1, before it is
        multiplied by the box's penalised score; "lr" in public versions.
      small_target_share: Share of the first frame below which a target counts as small.
      small_search_cells: Response cells by which the search crop of a small target is
        larger, an even number; 0 gives all targets crops of the same size.
      min_side_px: Least side of the box, frame pixels.
      lost_below: Score below which the target counts as lost; None for never.
      uncertain_below: Score below which the target counts as uncertain; None for never.
    """

    penalty_k: float = 0.055
    window_influence: float = 0.42
    size_rate: float = 0.295
    small_target_share: float = 0.004
    small_search_cells: int = 2
    min_side_px: float = 10.0

    def __post_init__(self):
        Tracking.__post_init__(self)
        require_between(0.0, MAX_PENALTY, self, "penalty_k")
        require_share(self, "window_influence", "size_rate", "small_target_share")
        require_whole(0, MAX_MORE_CELLS, self, "small_search_cells")
        even = self.small_search_cells % 2 == 0
        require(even, self, "small_search_cells", "must be even, 0 or above")
        _require_side(self)


@dataclasses.dataclass(frozen=True, slots=True)
class OSTrackTracking(Tracking):
    """Settings of OSTrack, whose defaults are those of public code.

    Attributes:
      window: Whether scores are multiplied by a Hann window before the best is chosen.
      border_px: Least side of the box, and least part of it that stays in the frame,
        frame pixels.
      literal_border: Whether a window that reaches the frame's last column or row shows
        it black, as public code does by a slip.
      lost_below: Score below which the target counts as lost; None for never.
      uncertain_below: Score below which the target counts as uncertain; None for never.
    """

    window: bool = True
    border_px: float = 10.0
    literal_border: bool = False

    def __post_init__(self):
        Tracking.__post_init__(self)
        require_between(1.0, MAX_SIDE_PX, self, "border_px")


def _require_side(settings: "SiamFCTracking | SiamRPNTracking") -> None:
    positive = 0.0 < settings.min_side_px <= MAX_SIDE_PX
    text = f"must lie in (0, {MAX_SIDE_PX:,g}] px"
    require(positive, settings, "min_side_px", text)


# The public settings of DaSiamRPN's three models and of pysot's networks, of which
# those on ResNet-50 were released three times.
SIAMRPN_PRESETS: Mapping[str, SiamRPNTracking] = {
    name: SiamRPNTracking(
        penalty_k=penalty_k,
        window_influence=influence,
        size_rate=rate,
        small_search_cells=cells,
    )
    for name, penalty_k, influence, rate, cells in (
        ("big", 0.055, 0.42, 0.295, 2),
        ("vot", 0.04, 0.44, 0.45, 0),
        ("otb", 0.22, 0.40, 0.30, 0),
        ("alex", 0.16, 0.40, 0.30, 0),
        ("r50", 0.05, 0.42, 0.38, 0),
        ("r50-8gpu", 0.04, 0.44, 0.33, 0),
        ("r50-otb", 0.24, 0.50, 0.25, 0),
    )
}
# The public settings of SiamDW's released networks. Its authors tuned them, network by
# network, on the test sets that they are named for.
SIAMDW_PRESETS: Mapping[str, Tracking] = {
    **{
        f"siamdw-{name}": SiamFCTracking(
            scale_step=step,
            scale_rate=rate,
            scale_penalty=penalty,
            window_influence=influence,
            peak_origin="public",
            search_bounds=(0.2, 5.0),
            min_side_px=10.0,
            clip_to_frame=True,
        )
        for name, step, rate, penalty, influence in (
            ("otb15", 1.1897, 0.2226, 0.9370, 0.2897),
            ("otb13", 1.0482, 0.3629, 0.9997, 0.3896),
            ("vot15", 1.1190, 0.4373, 0.9811, 0.2569),
            ("vot16", 1.1535, 0.4596, 0.9259, 0.3309),
            ("vot17", 1.1466, 0.2061, 0.9994, 0.3242),
        )
    },
    **{
        f"siamdw-rpn-{name}": SiamRPNTracking(
            penalty_k=penalty_k,
            window_influence=influence,
            size_rate=rate,
            small_search_cells=cells,
        )
        for name, penalty_k, rate, influence, cells in (
            ("otb13", 0.256, 0.439, 0.074, 0),
            ("otb15", 0.841, 0.714, 0.390, 0),
            # Its search crops are of 271 px.
            ("vot17", 0.038, 0.388, 0.347, 2),
        )
    },
}
PRESETS: Mapping[str, Tracking] = {**SIAMRPN_PRESETS, **SIAMDW_PRESETS}
_KINDS: Mapping[str, type[Tracking]] = {
    "siamfc": SiamFCTracking,
    "siamrpn": SiamRPNTracking,
    "ostrack": OSTrackTracking,
}


def tracking_to_json(tracking: Tracking) -> dict[str, Any]:
    """Returns the kind and the fields as JSON values; a field that is None is null.

    Fields of a convention that is off are left out.
    """
    (kind,) = (name for name, type_ in _KINDS.items() if type_ is type(tracking))
    return {"kind": kind, **to_json(tracking)}


def tracking_from_json(values: Any) -> Tracking:
    """Returns the settings that `tracking_to_json` wrote.

    Args:
      values: The kind and every field; without a kind the settings are SiamFC's.

    Raises:
      InputError: If the kind or a field is unknown, or a field is missing or out of
        range; it names the field.
    """
    if not isinstance(values, Mapping):
        shown = shortened(values)
        raise InputError(f"tracking settings {shown}: expected an object of fields.")
    values = dict(values)
    name = values.pop("kind", "siamfc")
    if not isinstance(name, str) or name not in _KINDS:
        known = ", ".join(_KINDS)
        raise InputError(f"tracking kind {shortened(name)}: there are {known}.")
    kind = _KINDS[name]
    return from_json(kind, values, kind.__name__, complete=True)
