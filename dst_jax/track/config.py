"""Online hyper-parameters of trackers, which are stored in their bundles."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from dst_jax.decode import from_json
from dst_jax.errors import InputError, shortened
from dst_jax.require import require, require_between, require_share, require_whole

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


@dataclasses.dataclass(frozen=True, slots=True)
class Tracking:
    """Settings that every family has, which say when a target counts as lost.

    Attributes:
      lost_below: Score below which the target counts as lost; None for never.
      uncertain_below: Score below which the target counts as uncertain; None for never.
    """

    lost_below: float | None = None
    uncertain_below: float | None = None

    def __post_init__(self):
        for field in ("lost_below", "uncertain_below"):
            value = getattr(self, field)
            score = value is None or 0.0 <= value <= 1.0
            require(score, self, field, "must be null or a score in [0, 1]")
        if self.lost_below is not None and self.uncertain_below is not None:
            ordered = self.lost_below <= self.uncertain_below
            require(ordered, self, "lost_below", "must not exceed uncertain_below")

    @property
    def has_states(self) -> bool:
        """Returns whether a threshold is set, so that steps return states."""
        return self.lost_below is not None or self.uncertain_below is not None


@dataclasses.dataclass(frozen=True, slots=True)
class SiamFCTracking(Tracking):
    """Settings of SiamFC's search over scales and of its window.

    The defaults are those of siamfc-pytorch.

    Attributes:
      scale_count: Number of crops per frame, odd; the middle one has the target's
        scale.
      scale_step: Ratio of the sides of neighbouring crops.
      scale_rate: Share of the chosen scale in the new size, 0 to 1.
      scale_penalty: Factor on the responses of all but the middle scale.
      window_influence: Share of the Hann window in the final map, 0 to 1.
      response_upsampling: Samples per response cell when the peak is located.
      lost_below: Score below which the target counts as lost; None for never.
      uncertain_below: Score below which the target counts as uncertain; None for never.
    """

    scale_count: int = 3
    scale_step: float = 1.0375
    scale_rate: float = 0.59
    scale_penalty: float = 0.9745
    window_influence: float = 0.176
    response_upsampling: int = 16

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
        positive = 0.0 < self.min_side_px <= MAX_SIDE_PX
        require(positive, self, "min_side_px", f"must lie in (0, {MAX_SIDE_PX:,g}] px")


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
_KINDS: Mapping[str, type[Tracking]] = {
    "siamfc": SiamFCTracking,
    "siamrpn": SiamRPNTracking,
}


def tracking_to_json(tracking: Tracking) -> dict[str, Any]:
    """Returns the kind and every field as JSON values; a field that is None is null."""
    (kind,) = (name for name, type_ in _KINDS.items() if type_ is type(tracking))
    return {"kind": kind, **dataclasses.asdict(tracking)}


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
