"""How far training crops may differ from centred ones, and the patches they need."""

import dataclasses
import math
from typing import Literal

from dst_jax.arch.spec import InputSpec
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.ops.colour import SHORTEST_BLUR_PX
from dst_jax.require import (
    require,
    require_between,
    require_not_negative,
    require_one_of,
    require_share,
)


@dataclasses.dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How far a training crop may differ from the centred one.

    The defaults are SiamFC's: either side is stretched by up to 5 %, and the search
    crop is moved by up to 3 px. SiamFC's labels stay in the middle of the map, so keep
    the shift well under one cell (8 px).

    Attributes:
      stretch: Range of the factors 1 - stretch..1 + stretch by which width and height
        of an object are scaled independently.
      search_stretch: The same for the search crop alone, in place of `stretch`.
      scale: Range of the factor 1 - scale..1 + scale by which both sides are scaled.
      template_shift_px: Distance in pixels of the crop by which the template crop's
        centre moves at most, in either direction of either axis.
      search_shift_px: The same for the search crop.
      flip: Probability that a pair is mirrored left to right, both images together.
      flip_each: Probability that either image is mirrored by itself, after the pair
        was or was not; .5 in OSTrack.
      grey: Probability that a pair loses its colour, both images together.
      brightness: Range of the factor 1 - brightness..1 + brightness that multiplies
        the values of each image, which are then clipped to 0..255.
      colour: Size of a random offset of each image's three channels; pysot's is 1.
      blur: Probability that the search crop is smeared along rows and columns.
      blur_px: Length of the longest smear, odd; 5, 7, ..., blur_px pixels are drawn.
      jitter: Range of random changes of each image's brightness, contrast, saturation
        and hue, in random order: factors 1 - jitter..1 + jitter, and a turn of the
        hue's circle by up to `jitter`, which is at most .5; .05 in SiamDW.
      fill: Colour beyond the edge of a patch: the frame's mean colour or zero. No
        window leaves a patch of the size that `patch_sides` asks for; the host has
        filled what lies outside the frame.
      scale_of: What the factors of stretch and scale multiply. "crop": the object in
        the crop, so that the window is the crop divided by them, and the shift counts
        pixels of the finished crop. "window": the window, as in public SiamRPN++, and
        the shift counts pixels of the patch.
    """

    stretch: float = 0.05
    search_stretch: float | None = None
    scale: float = 0.0
    template_shift_px: float = 0.0
    search_shift_px: float = 3.0
    flip: float = 0.0
    grey: float = 0.0
    brightness: float = 0.0
    colour: float = 0.0
    blur: float = 0.0
    blur_px: int = 45
    jitter: float = dataclasses.field(default=0.0, metadata=OMIT_DEFAULT)
    fill: Literal["mean", "zero"] = "mean"
    flip_each: float = dataclasses.field(default=0.0, metadata=OMIT_DEFAULT)
    # The JSON leaves it out at its default, so that older runs can go on.
    scale_of: Literal["crop", "window"] = dataclasses.field(
        default="crop", metadata=OMIT_DEFAULT
    )

    def __post_init__(self):
        for field in ("stretch", "search_stretch", "scale", "brightness"):
            value = getattr(self, field)
            fits = value is None or 0.0 <= value < 1.0
            require(fits, self, field, "must be at least 0 and below 1")
        require_share(self, "flip", "flip_each", "grey", "blur")
        require_between(0.0, 0.5, self, "jitter")
        require_not_negative(self, "template_shift_px", "search_shift_px", "colour")
        fits = self.blur_px >= SHORTEST_BLUR_PX and self.blur_px % 2 == 1
        require(fits, self, "blur_px", f"must be odd, at least {SHORTEST_BLUR_PX} px")
        require_one_of(("mean", "zero"), self, "fill")
        require_one_of(("crop", "window"), self, "scale_of")


def patch_sides(input: InputSpec, augment: AugmentConfig) -> tuple[int, int]:
    """Returns the sides of patches that hold the widest possible window.

    Each side has the parity of its crop, so that the unaugmented crop consists of whole
    pixels of the patch instead of averages of neighbours.

    Args:
      input: Sizes of the crops.
      augment: Settings that bound the windows.

    Returns:
      Pixels of the template patch and of the search patch (for training).

    Example:
      >>> patch_sides(InputSpec(), AugmentConfig())
      (135, 259)
      >>> patch_sides(InputSpec(), AugmentConfig(stretch=0.0, search_shift_px=0.0))
      (127, 239)
    """

    def side(crop_px: int, shift_px: float, stretch: float) -> int:
        if augment.scale_of == "window":
            widest = (1.0 + stretch) * (1.0 + augment.scale)
            reach = widest * crop_px + 2.0 * shift_px
        else:
            widest = 1.0 / ((1.0 - stretch) * (1.0 - augment.scale))
            reach = widest * (crop_px + 2.0 * shift_px)
        needed = math.ceil(reach - 1e-9)
        return needed + (needed - crop_px) % 2

    return (
        side(input.template_px, augment.template_shift_px, augment.stretch),
        side(input.train_search_px, augment.search_shift_px, search_stretch(augment)),
    )


def search_stretch(config: AugmentConfig) -> float:
    """Returns the stretch of the search crop, which may differ from the template's."""
    return config.stretch if config.search_stretch is None else config.search_stretch
