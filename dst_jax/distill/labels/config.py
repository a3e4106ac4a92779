"""Settings for turning the ground truth into labels."""

import dataclasses
import math
from typing import Literal

from dst_jax.decode import OMIT_DEFAULT
from dst_jax.ops.anchors import AssignConfig
from dst_jax.ops.centre import Peak
from dst_jax.require import require, require_one_of


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """Settings that decide what counts as target and what as background.

    Attributes:
      radius_px: Distance from the centre within which cells are positive, pixels of the
        search image (SiamFC).
      label_centre: Where that centre is (SiamFC): in the middle of the map, whatever
        the crop's shift ("middle"), or at the cell of the target's own centre
        ("target"). Distances from that cell are added along rows and columns, in whole
        cells.
      label_rounding: Whether a target between cells has the nearest one ("nearest") or
        the one to its upper left ("floor"), as in SiamDW's public code.
      assign: Rules for positive and negative anchors (SiamRPN).
      peak: What becomes of a target's centre in the last half cell of the map, which is
        rounded off it: the last cell is positive ("inside"), or no cell is ("public",
        as in public code) (OSTrack).
    """

    radius_px: float = 16.0
    # Stored only where they are given, which keeps the identities of older runs.
    label_centre: Literal["middle", "target"] = dataclasses.field(
        default="middle", metadata=OMIT_DEFAULT
    )
    label_rounding: Literal["nearest", "floor"] = dataclasses.field(
        default="nearest", metadata=OMIT_DEFAULT
    )
    assign: AssignConfig = AssignConfig()
    # The JSON leaves it out at its default, so that older runs can go on.
    peak: Peak = dataclasses.field(default="inside", metadata=OMIT_DEFAULT)

    def __post_init__(self):
        fits = 0.0 < self.radius_px < math.inf
        require(fits, self, "radius_px", "must be finite and positive")
        require_one_of(("inside", "public"), self, "peak")
        require_one_of(("middle", "target"), self, "label_centre")
        require_one_of(("nearest", "floor"), self, "label_rounding")
        fits = self.label_centre == "target" or self.label_rounding == "nearest"
        require(fits, self, "label_rounding", "rounds where label_centre is 'target'")
