"""Crops: which square of the frame around a target each image of a pair shows.

Widths and heights are arrays of NumPy or JAX, or plain numbers; this module imports no
array library.
"""

import dataclasses
import math
from typing import Any, NamedTuple, TypeAlias

from dst_jax.arch.limits import MAX_CROP_PX, MAX_FACTOR
from dst_jax.require import require_between, require_whole


def context_side(wh: Any, *, context: float) -> Any:
    r"""Returns the side of the square that holds a target with its context.

    .. math:: s_z = \sqrt{(w + p (w + h)) (h + p (w + h))}

    Args:
      wh: Width and height of targets, [..., 2], an array of NumPy or JAX.
      context: p, at least 0; with 0 the square has the target's area.

    Returns:
      s_z in the pixels of `wh`, [...].

    References:
      Bertinetto et al., "Fully-convolutional Siamese networks for object tracking",
      arXiv 1606.09549, section 2.4.

    Example:
      >>> import numpy as np
      >>> context_side(np.array([20.0, 20.0]), context=0.5)
      array(40.)
    """
    area = _context_area(wh[..., 0], wh[..., 1], context)
    # With sqrt, a compiler divides by the root in another way, and boxes move in their
    # last bits.
    return wh.__array_namespace__().asarray(area**0.5)


def _context_area(width: Any, height: Any, context: float) -> Any:
    """Returns the square of s_z, for arrays or plain numbers."""
    margin = context * (width + height)
    return (width + margin) * (height + margin)


@dataclasses.dataclass(frozen=True, slots=True)
class Zoom:
    """The scale at which a crop shows a target.

    `px` pixels of the crop show `factor` times the s_z of `context_side`. The crop
    itself may have more pixels than that, or fewer.

    Attributes:
      px: Number of the crop's pixels that show `factor` times s_z.
      context: The p of `context_side`.
      factor: Number that multiplies s_z.
    """

    px: int
    context: float
    factor: float = 1.0

    def __post_init__(self):
        require_whole(1, MAX_CROP_PX, self, "px")
        require_between(0.0, MAX_FACTOR, self, "context")
        require_between(1.0 / MAX_FACTOR, MAX_FACTOR, self, "factor")

    def __str__(self) -> str:
        unit = f"s_z of context {self.context:g}" if self.context else "sqrt(w h)"
        times = "" if self.factor == 1.0 else f"{self.factor:g} "
        return f"{self.px} px per {times}{unit}"

    @property
    def px_per_side(self) -> float:
        """Returns how many pixels of the crop show s_z.

        Zooms of the same context that agree in it show a target equally large.
        """
        return self.px / self.factor

    def side(self, wh: Any) -> Any:
        """Returns how many frame pixels `px` pixels of the crop show.

        Args:
          wh: Width and height of targets in frame pixels, [..., 2].

        Returns:
          Sides in frame pixels, [...].
        """
        return self.factor * context_side(wh, context=self.context)

    def scale(self, width: float, height: float) -> float:
        """Returns the crop's pixels per frame pixel for one target.

        Args:
          width: Width of the target in frame pixels, a plain number.
          height: Height of the target in frame pixels, a plain number.

        Example:
          >>> Zoom(px=127, context=0.5).scale(10.0, 10.0)
          6.35
        """
        side = self.factor * math.sqrt(_context_area(width, height, self.context))
        return self.px / side


class Zooms(NamedTuple):
    """The zoom of each image of a pair."""

    template: Zoom
    search: Zoom


@dataclasses.dataclass(frozen=True, slots=True)
class ContextCrop:
    """SiamFC's rule: the template shows s_z, the search crop has the same scale.

    Attributes:
      context: The p of `context_side`.
    """

    context: float = 0.5

    def __post_init__(self):
        require_between(0.0, MAX_FACTOR, self, "context")

    def zooms(self, *, template_px: int, search_px: int) -> Zooms:
        """Returns the zooms of both crops, which are equal.

        Args:
          template_px: Side of the template crop.
          search_px: Side of the search crop; the scale does not depend on it.
        """
        del search_px
        zoom = Zoom(template_px, self.context)
        return Zooms(zoom, zoom)

    def covered(self, side: Any) -> Any:
        """Returns the side of the square that is cut for one of side `side`."""
        return side


@dataclasses.dataclass(frozen=True, slots=True)
class AreaCrop:
    """OSTrack's rule: a crop shows a square of side ceil(factor * sqrt(w h)).

    Template and search crop each have a factor of their own.

    Attributes:
      template: Factor of the template crop; 2 in OSTrack.
      search: Factor of the search crop when tracking; 4 or 5 in OSTrack.
    """

    template: float = 2.0
    search: float = 4.0

    def __post_init__(self):
        require_between(1.0 / MAX_FACTOR, MAX_FACTOR, self, "template", "search")

    def zooms(self, *, template_px: int, search_px: int) -> Zooms:
        """Returns the zoom of each crop.

        Args:
          template_px: Side of the template crop; it shows `template` * sqrt(w h).
          search_px: Side of the search crop; it shows `search` * sqrt(w h).
        """
        return Zooms(
            Zoom(template_px, 0.0, self.template), Zoom(search_px, 0.0, self.search)
        )

    def covered(self, side: Any) -> Any:
        """Returns the side of the square that is cut for one of side `side`.

        Args:
          side: Sides in frame pixels, an array of NumPy or JAX.

        Returns:
          The next whole number of pixels.
        """
        return side.__array_namespace__().ceil(side)


Crop: TypeAlias = ContextCrop | AreaCrop
