"""How the ground truth becomes labels."""

import dataclasses
import math

from dst_jax.ops.anchors import AssignConfig
from dst_jax.require import require


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """What counts as the target, and what as background.

    Attributes:
      radius_px: Cells within this distance of the centre are positive, pixels of the
        search image (SiamFC).
      assign: Which anchors are positive or negative (SiamRPN).
    """

    radius_px: float = 16.0
    assign: AssignConfig = AssignConfig()

    def __post_init__(self):
        fits = 0.0 < self.radius_px < math.inf
        require(fits, self, "radius_px", "must be finite and positive")
