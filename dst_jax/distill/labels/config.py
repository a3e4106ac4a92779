"""Settings for turning the ground truth into labels."""

import dataclasses
import math

from dst_jax.decode import OMIT_DEFAULT
from dst_jax.ops.anchors import AssignConfig
from dst_jax.ops.labels import Peak
from dst_jax.require import require, require_one_of


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """Settings that decide what counts as target and what as background.

    Attributes:
      radius_px: Distance from the centre within which cells are positive, pixels of the
        search image (SiamFC).
      assign: Rules for positive and negative anchors (SiamRPN).
      peak: What becomes of a target's centre in the last half cell of the map, which is
        rounded off it: the last cell is positive ("inside"), or no cell is ("public",
        as in public code) (OSTrack).
    """

    radius_px: float = 16.0
    assign: AssignConfig = AssignConfig()
    # The JSON leaves it out at its default, so that older runs can go on.
    peak: Peak = dataclasses.field(default="inside", metadata=OMIT_DEFAULT)

    def __post_init__(self):
        fits = 0.0 < self.radius_px < math.inf
        require(fits, self, "radius_px", "must be finite and positive")
        require_one_of(("inside", "public"), self, "peak")
