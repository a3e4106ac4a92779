"""The online hyper-parameters of a tracker, as frozen values stored in its bundle."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.require import require, require_at_least, require_share


@dataclasses.dataclass(frozen=True, slots=True)
class Tracking:
    """What the settings of every family have: when a target counts as lost.

    Attributes:
      lost_below: Score under which the target counts as lost; None: never said.
      uncertain_below: Score under which it counts as uncertain; None: never said.
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
        """Whether a step can say tracked, uncertain or lost."""
        return self.lost_below is not None or self.uncertain_below is not None


@dataclasses.dataclass(frozen=True, slots=True)
class SiamFCTracking(Tracking):
    """SiamFC's search over scales and its window, with the public defaults.

    Attributes:
      scale_count: Crops per frame, odd; the middle one has the target's scale.
      scale_step: Ratio of one crop's side to the next.
      scale_rate: Share of the chosen scale that enters the new size, 0 to 1.
      scale_penalty: Factor on the responses of all but the middle scale.
      window_influence: Share of the Hann window in the final map, 0 to 1.
      response_upsampling: Samples per response cell when the peak is located.
      lost_below: Score under which the target counts as lost; None: never said.
      uncertain_below: Score under which it counts as uncertain; None: never said.
    """

    scale_count: int = 3
    scale_step: float = 1.0375
    scale_rate: float = 0.59
    scale_penalty: float = 0.9745
    window_influence: float = 0.176
    response_upsampling: int = 16

    def __post_init__(self):
        # By name: super() does not find a class with slots.
        Tracking.__post_init__(self)
        odd = self.scale_count >= 1 and self.scale_count % 2 == 1
        require(odd, self, "scale_count", "must be odd, for example 3")
        require(self.scale_step > 1.0, self, "scale_step", "must be above 1")
        require_share(self, "scale_rate", "window_influence")
        penalty = 0.0 < self.scale_penalty <= 1.0
        require(penalty, self, "scale_penalty", "must lie in (0, 1]")
        require_at_least(1, self, "response_upsampling")


@dataclasses.dataclass(frozen=True, slots=True)
class SiamRPNTracking(Tracking):
    """How SiamRPN chooses among its boxes, with the settings of SiamRPNBIG.

    The search crop has `InputSpec.search_px`, or for a small target that and
    `small_search_cells` strides more: 287 px instead of 271.

    Attributes:
      penalty_k: How strongly a change of shape or size speaks against a box; 0: not
        at all.
      window_influence: Share of the Hann window in the final ranking, 0 to 1.
      size_rate: Share of the chosen box in the new size, times its penalised score;
        0 to 1. It is called lr in public versions.
      small_target_share: A target that covers less of the first frame counts as small.
      small_search_cells: Response cells, an even number, that its search crop is
        larger; 0: all targets have crops of one size.
      min_side_px: No side of the box becomes smaller, frame pixels.
      lost_below: Score under which the target counts as lost; None: never said.
      uncertain_below: Score under which it counts as uncertain; None: never said.
    """

    penalty_k: float = 0.055
    window_influence: float = 0.42
    size_rate: float = 0.295
    small_target_share: float = 0.004
    small_search_cells: int = 2
    min_side_px: float = 10.0

    def __post_init__(self):
        Tracking.__post_init__(self)
        require_at_least(0, self, "penalty_k")
        require_share(self, "window_influence", "size_rate", "small_target_share")
        even = self.small_search_cells >= 0 and self.small_search_cells % 2 == 0
        require(even, self, "small_search_cells", "must be even, 0 or above")
        require(self.min_side_px > 0.0, self, "min_side_px", "must be above 0 px")


# The public settings: DaSiamRPN's three models, and pysot's for its `alex` network.
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
    )
}
_KINDS: Mapping[str, type[Tracking]] = {
    "siamfc": SiamFCTracking,
    "siamrpn": SiamRPNTracking,
}


def tracking_to_json(tracking: Tracking) -> dict[str, Any]:
    """Returns the kind and every field as JSON; what is not set is null."""
    (kind,) = (name for name, type_ in _KINDS.items() if type_ is type(tracking))
    return {"kind": kind, **dataclasses.asdict(tracking)}


def tracking_from_json(values: Mapping[str, Any]) -> Tracking:
    """Returns settings that `tracking_to_json` wrote; without a kind they are SiamFC's.

    Raises:
      InputError: If the kind or a field is unknown, or a field missing or out of
        range; it names the field.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"tracking settings {values!r}: expected an object of fields.")
    values = dict(values)
    name = values.pop("kind", "siamfc")
    if not isinstance(name, str) or name not in _KINDS:
        raise InputError(f"tracking kind {name!r}: there are {', '.join(_KINDS)}.")
    kind = _KINDS[name]
    return from_json(kind, values, kind.__name__, complete=True)
