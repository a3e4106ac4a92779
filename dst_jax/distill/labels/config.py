"""Settings for turning the ground truth into labels."""

import dataclasses
import math

from dst_jax.ops.anchors import AssignConfig
from dst_jax.require import require


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """Settings that decide what counts as target and what as background.

    Attributes:
      radius_px: Distance from the centre within which cells are positive, pixels of the
        search image (SiamFC).
      assign: Rules for positive and negative anchors (SiamRPN).
    """

    radius_px: float = 16.0
    assign: AssignConfig = AssignConfig()

    def __post_init__(self):
        fits = 0.0 < self.radius_px < math.inf
        require(fits, self, "radius_px", "must be finite and positive")
