"""Final crops and augmentation, on the device, inside the compiled step.

The host delivers patches at the template's scale with the target in the middle; here
each pair gets its random window, flip and colour. Every draw is a function of the
run's key and the example's global number, so crops depend neither on the position in
the batch nor on the number of devices.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.arch.spec import InputSpec
from dst_jax.errors import InputError
from dst_jax.ops.crop import crop_resize
from dst_jax.typing import Array, Float

# ITU-R BT.601 luma, as in OpenCV's RGB to grey.
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How far a training crop may differ from the centred one.

    The defaults are SiamFC's: stretch of either side by up to 5 %, the search crop
    moved by up to 3 px. SiamFC's labels stay in the middle of the map, so keep the
    shift well under one cell (8 px).

    Attributes:
      stretch: Width and height are scaled independently by 1 - stretch..1 + stretch.
      scale: Both are scaled by a common factor in 1 - scale..1 + scale.
      template_shift_px: The template crop's centre moves by up to this many pixels
        of the network's input, in either direction of either axis.
      search_shift_px: The same of the search crop.
      flip: Probability that a pair is mirrored left to right, both images together.
      grey: Probability that a pair loses its colour, both images together.
      brightness: Values of each image are multiplied by 1 - brightness..1 + brightness
        and clipped to 0..255.
      fill: Colour beyond the edge of a patch: the frame's mean colour or zero. Patches
        of the size that `patch_sides` asks for have no such places; the host has
        filled what lies outside the frame.
    """

    stretch: float = 0.05
    scale: float = 0.0
    template_shift_px: float = 0.0
    search_shift_px: float = 3.0
    flip: float = 0.0
    grey: float = 0.0
    brightness: float = 0.0
    fill: Literal["mean", "zero"] = "mean"

    def __post_init__(self):
        for field in ("stretch", "scale", "brightness"):
            if not 0.0 <= getattr(self, field) < 1.0:
                raise self._error(field, "must be at least 0 and below 1")
        for field in ("flip", "grey"):
            if not 0.0 <= getattr(self, field) <= 1.0:
                raise self._error(field, "must be a probability, 0 to 1")
        for field in ("template_shift_px", "search_shift_px"):
            if not 0.0 <= getattr(self, field) < math.inf:
                raise self._error(field, "must be at least 0 px")
        if self.fill not in ("mean", "zero"):
            raise self._error("fill", 'must be "mean" or "zero"')

    def _error(self, field: str, expectation: str) -> InputError:
        value = getattr(self, field)
        return InputError(f"AugmentConfig.{field}={value!r}: {expectation}.")


class Examples(NamedTuple):
    """A batch as the networks and the objective see it; RGB 0..255.

    `mask` and `is_negative` are 0 or 1, in the crops' dtype but at least float32, since
    sums of them are counts.
    """

    template: Float[Array, "b t t 3"]
    search: Float[Array, "b s s 3"]
    mask: Float[Array, " b"]
    is_negative: Float[Array, " b"]


def patch_sides(input: InputSpec, augment: AugmentConfig) -> tuple[int, int]:
    """Sides of template and search patch that hold the widest possible window.

    Each has the parity of its crop, so that the unaugmented crop consists of whole
    pixels of the patch instead of averages of neighbours.

    Args:
      input: Sizes of the crops.
      augment: The range of the windows.

    Returns:
      Pixels of the template patch and of the search patch (for training).

    Example:
      >>> patch_sides(InputSpec(), AugmentConfig())
      (135, 259)
      >>> patch_sides(InputSpec(), AugmentConfig(stretch=0.0, search_shift_px=0.0))
      (127, 239)
    """
    widest = 1.0 / ((1.0 - augment.stretch) * (1.0 - augment.scale))

    def side(crop_px: int, shift_px: float) -> int:
        needed = math.ceil(widest * (crop_px + 2.0 * shift_px) - 1e-9)
        return needed + (needed - crop_px) % 2

    return (
        side(input.template_px, augment.template_shift_px),
        side(input.train_search_px, augment.search_shift_px),
    )


def augment(
    key: Array,
    batch: Mapping[str, Array],
    *,
    input: InputSpec,
    config: AugmentConfig,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> Examples:
    """Cuts randomly stretched, moved, mirrored and tinted crops out of patches.

    Args:
      key: The run's key; each example folds its own number in.
      batch: `template_patch`, `search_patch` uint8 [b, p, p, 3], their
        `template_fill_rgb`, `search_fill_rgb` float32 [b, 3], `mask` float32 [b],
        `is_negative` bool [b], `index` int32 [b]. Target at the patch's centre, one
        patch pixel per pixel of the network's input.
      input: Sizes of the crops; the search crop has `train_search_px`.
      config: What is random and how much.
      dtype: Of the crops.

    Returns:
      The crops, RGB 0..255, with the batch's mask and flags.
    """

    def one(number: Array, template: _Patch, search: _Patch) -> tuple[Array, Array]:
        keys = jax.random.split(jax.random.fold_in(key, number), 6)
        shift = config.template_shift_px
        z = _random_crop(keys[0], template, input.template_px, shift, config)
        shift = config.search_shift_px
        x = _random_crop(keys[1], search, input.train_search_px, shift, config)
        mirrored = jax.random.bernoulli(keys[2], config.flip)
        faded = jax.random.bernoulli(keys[3], config.grey)
        z, x = (_recoloured(_mirrored(c, mirrored), faded) for c in (z, x))
        brightness = config.brightness
        return _lit(keys[4], z, brightness), _lit(keys[5], x, brightness)

    patches = _patch(batch, "template"), _patch(batch, "search")
    template, search = jax.vmap(one)(batch["index"], *patches)
    return _examples(batch, template, search, dtype)


def centre_crops(
    batch: Mapping[str, Array],
    *,
    input: InputSpec,
    search_px: int | None = None,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> Examples:
    """Cuts the crops in the middle of the patches, for validation; nothing is random.

    Args:
      batch: As for `augment`; `index` is not read.
      input: Sizes of the crops.
      search_px: Side of the search crop; `train_search_px` if None.
      dtype: Of the crops.

    Returns:
      The crops, RGB 0..255, with the batch's mask and flags.
    """

    def cut(patch: _Patch, out_px: int) -> Array:
        size = jnp.full((2,), out_px, jnp.float32)
        return crop_resize(
            patch.pixels, patch.centre, size, out_px=out_px, fill=patch.fill
        )

    sides = input.template_px, search_px or input.train_search_px
    patches = _patch(batch, "template"), _patch(batch, "search")
    crops = [
        jax.vmap(lambda patch, side=side: cut(patch, side))(patch)
        for patch, side in zip(patches, sides, strict=True)
    ]
    return _examples(batch, crops[0], crops[1], dtype)


class _Patch(NamedTuple):
    pixels: Array
    fill: Array

    @property
    def centre(self) -> Array:
        height, width = self.pixels.shape[-3:-1]
        return jnp.array([0.5 * width, 0.5 * height], jnp.float32)


def _patch(batch: Mapping[str, Array], name: str) -> _Patch:
    return _Patch(batch[f"{name}_patch"], batch[f"{name}_fill_rgb"])


def _examples(
    batch: Mapping[str, Array],
    template: Array,
    search: Array,
    dtype: jax.typing.DTypeLike,
) -> Examples:
    exact = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
    flags = (batch[name].astype(exact) for name in ("mask", "is_negative"))
    return Examples(template.astype(dtype), search.astype(dtype), *flags)


def _random_crop(
    key: Array, patch: _Patch, out_px: int, shift_px: float, config: AugmentConfig
) -> Array:
    keys = jax.random.split(key, 3)
    # An object grows as the window shrinks, so the factors divide the window's sides.
    common = _factor(keys[0], (1,), config.scale)
    size = out_px / (common * _factor(keys[1], (2,), config.stretch))
    shift = jax.random.uniform(keys[2], (2,), jnp.float32, -shift_px, shift_px)
    centre = patch.centre + shift * size / out_px
    fill = patch.fill if config.fill == "mean" else jnp.zeros_like(patch.fill)
    return crop_resize(patch.pixels, centre, size, out_px=out_px, fill=fill)


def _factor(key: Array, shape: tuple[int, ...], spread: float) -> Array:
    return jax.random.uniform(key, shape, jnp.float32, 1.0 - spread, 1.0 + spread)


def _mirrored(crop: Array, mirrored: Array) -> Array:
    return jnp.where(mirrored, crop[:, ::-1], crop)


def _recoloured(crop: Array, faded: Array) -> Array:
    weights = jnp.array(_LUMA, crop.dtype).reshape(1, 1, 3)
    luma = jnp.sum(crop * weights, axis=-1, keepdims=True)
    return jnp.where(faded, luma, crop)


def _lit(key: Array, crop: Array, brightness: float) -> Array:
    return jnp.clip(crop * _factor(key, (), brightness), 0.0, 255.0)
