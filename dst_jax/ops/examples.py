"""A batch as the networks see it, and the view of it that each network has."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.arch.crops import Zoom
from dst_jax.arch.spec import InputSpec
from dst_jax.arch.views import check_views
from dst_jax.errors import InputError
from dst_jax.ops.resize import resized
from dst_jax.typing import Array, Float, Int

# The input for which crops were cut is part of the program, as shapes of arrays are.
jax.tree_util.register_static(InputSpec)
# Products of sizes may be off by this much through rounding, in pixels.
_ROUNDING = 1e-6


class Examples(NamedTuple):
    """A batch as the networks and the objective see it; RGB 0..255.

    `mask` and `is_negative` are 0 or 1, in the crops' dtype but at least float32,
    because sums of them are counts.

    Attributes:
      template: Crops of the target.
      search: Crops in which the target is looked for.
      mask: Whether an example counts.
      is_negative: Whether the search crop shows another object.
      search_box: The object in the search crop, (cx, cy, w, h) in the crop's pixels.
      number: Number of the example in the whole run, the batch's `index`.
      input: Input for which the crops were cut; their sides are its `template_px` and
        `train_search_px`. It is no array, but a static part of the value.
    """

    template: Float[Array, "b t t 3"]
    search: Float[Array, "b s s 3"]
    mask: Float[Array, " b"]
    is_negative: Float[Array, " b"]
    search_box: Float[Array, "b 4"]
    number: Int[Array, " b"]
    input: InputSpec


def examples_for(
    examples: Examples, input: InputSpec, *, antialias: bool | None = None
) -> Examples:
    r"""Returns what a network sees of a batch that was cut for the widest input.

    A crop shows a square of the frame, of side f s_z (see `arch.crops.Zoom`), with n
    pixels, hence with q = n / (f s_z) pixels per frame pixel. s_z is the same function
    of the target for the network and for the widest input, so the ratio of their
    scales depends on no target:

    .. math:: z = q_{own} / q_{widest} = (n f_{widest}) / (n_{widest} f)

    For crops with context z is the ratio of the templates' sides, in both images; for
    crops by area, each image has a ratio of its own. A view of m pixels covers m / z
    pixels in the middle of the widest crop, which has M of them. Column i of the view
    lies in the crop at

    .. math:: x_i = (i + 1/2 - m/2) / z + M/2

    and boxes follow: a centre c becomes (c - M/2) z + m/2, and sides are multiplied
    by z.

    Values are interpolated bilinearly; where they shrink, they may be smoothed over a
    triangle of half-width 1 / z pixels. If z = 1 the view is a slice when M - m is
    even, and otherwise averages neighbours. If m = M besides, nothing is computed.

    Args:
      examples: Crops that were cut for `arch.widest` of all networks' inputs.
      input: Input of the network.
      antialias: Whether values that shrink are smoothed. None smooths crops with
        context and not those by area, whose public trackers learn from unsmoothed
        ones (LoReTrack): a view of the whole crop then has the numbers of PyTorch's
        `interpolate`.

    Raises:
      InputError: If the crops hold too little for the network, or follow another rule.
    """
    check_views({"the network": input, "the batch": examples.input})
    smooth = input.area is None if antialias is None else antialias
    own, widest = input.zooms, examples.input.zooms
    template = _Excerpt(
        examples.input.template_px, input.template_px, own.template, widest.template
    )
    search = _Excerpt(
        examples.input.train_search_px, input.train_search_px, own.search, widest.search
    )
    return examples._replace(
        template=_resampled(examples.template, template, smooth),
        search=_resampled(examples.search, search, smooth),
        search_box=_moved(examples.search_box, search),
        input=input,
    )


@dataclasses.dataclass(frozen=True)
class _Excerpt:
    """The middle of a crop, as another network sees it.

    Attributes:
      in_px: Side of the crop, pixels.
      out_px: Side of the view, pixels.
      own: Zoom of the view.
      widest: Zoom of the crop.
    """

    in_px: int
    out_px: int
    own: Zoom
    widest: Zoom

    def __post_init__(self):
        if self.out_px > self.in_px * self.ratio + _ROUNDING:
            raise InputError(
                f"crops of {self.in_px} px hold too little for a network that sees "
                f"{self.out_px} px; cut them for arch.widest of all inputs."
            )

    @property
    def ratio(self) -> float:
        """Returns the view's pixels per pixel of the crop, free of rounding at 1."""
        ratio = self.own.px_per_side / self.widest.px_per_side
        return 1.0 if math.isclose(ratio, 1.0, rel_tol=1e-9) else ratio

    @property
    def is_whole(self) -> bool:
        """Returns whether the view is the crop itself."""
        return self.ratio == 1.0 and self.in_px == self.out_px


def _resampled(images: Array, excerpt: _Excerpt, smooth: bool) -> Array:
    if excerpt.is_whole:
        return images
    batch, out, ratio = images.shape[0], excerpt.out_px, excerpt.ratio
    margin, odd = divmod(excerpt.in_px - out, 2)
    if ratio == 1.0 and not odd:
        inner = slice(margin, margin + out)
        return images[:, inner, inner]
    # The low edge of the crop comes to lie here in the view.
    edge = 0.5 * (out - ratio * excerpt.in_px)
    if not smooth and abs(edge) < _ROUNDING:
        return resized(images, (out, out))
    return jax.image.scale_and_translate(
        images,
        (batch, out, out, images.shape[-1]),
        (1, 2),
        jnp.full((2,), ratio, jnp.float32),
        jnp.full((2,), edge, jnp.float32),
        "linear",
        antialias=smooth,
    )


def _moved(boxes: Array, excerpt: _Excerpt) -> Array:
    if excerpt.is_whole:
        return boxes
    ratio, middle = excerpt.ratio, 0.5 * excerpt.in_px
    centre = (boxes[:, :2] - middle) * ratio + 0.5 * excerpt.out_px
    return jnp.concatenate([centre, boxes[:, 2:] * ratio], axis=-1)
