"""The online hyper-parameters of a tracker, as a frozen value stored in its bundle."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from dst_jax.errors import InputError


@dataclasses.dataclass(frozen=True, slots=True)
class SiamFCTracking:
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
    lost_below: float | None = None
    uncertain_below: float | None = None

    def __post_init__(self):
        odd = self.scale_count >= 1 and self.scale_count % 2 == 1
        self._require(odd, "scale_count", "must be odd, for example 3")
        self._require(self.scale_step > 1.0, "scale_step", "must be above 1")
        for field in ("scale_rate", "window_influence"):
            share = 0.0 <= getattr(self, field) <= 1.0
            self._require(share, field, "must lie in [0, 1]")
        penalty = 0.0 < self.scale_penalty <= 1.0
        self._require(penalty, "scale_penalty", "must lie in (0, 1]")
        whole = self.response_upsampling >= 1
        self._require(whole, "response_upsampling", "must be at least 1")
        for field in ("lost_below", "uncertain_below"):
            value = getattr(self, field)
            score = value is None or 0.0 <= value <= 1.0
            self._require(score, field, "must be null or a score in [0, 1]")
        if self.lost_below is not None and self.uncertain_below is not None:
            ordered = self.lost_below <= self.uncertain_below
            self._require(ordered, "lost_below", "must not exceed uncertain_below")

    def _require(self, condition: bool, field: str, expectation: str) -> None:
        if not condition:
            value = getattr(self, field)
            raise InputError(f"SiamFCTracking.{field}={value!r}: {expectation}.")

    @property
    def has_states(self) -> bool:
        """Whether a step can say tracked, uncertain or lost."""
        return self.lost_below is not None or self.uncertain_below is not None


def tracking_to_json(tracking: SiamFCTracking) -> dict[str, Any]:
    """Every field as a JSON value; thresholds that are not set are null."""
    return dataclasses.asdict(tracking)


def tracking_from_json(values: Mapping[str, Any]) -> SiamFCTracking:
    """Reads back what `tracking_to_json` wrote.

    Raises:
      InputError: If a field is unknown, missing or out of range; it names the field.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"tracking settings {values!r}: expected an object of fields.")
    kinds = {field.name: field.type for field in dataclasses.fields(SiamFCTracking)}
    known = ", ".join(kinds)
    for name in values:
        if name not in kinds:
            raise InputError(f"unknown tracking field {name!r}; there are {known}.")
    for name in kinds:
        if name not in values:
            raise InputError(f"tracking field {name!r} is missing; all of {known}.")
    fields = {name: _number(name, values[name], kind) for name, kind in kinds.items()}
    return SiamFCTracking(**fields)


def _number(name: str, value: Any, kind: Any) -> Any:
    """`value` as the field's number; None only where the field may be unset."""
    if value is None and kind not in (int, float):
        return None
    expected = "a whole number" if kind is int else "a number"
    message = f"SiamFCTracking.{name}={value!r}: must be {expected}."
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(message)
    if not math.isfinite(value) or (kind is int and value != int(value)):
        raise InputError(message)
    return int(value) if kind is int else float(value)
