"""Final crops and augmentation, on the device, inside the compiled step.

The host delivers patches at the scale of their crops with the target in the middle.
Here each pair gets its random window, flip and colour, once for all networks of a run.
Every draw is a function of the run's key and the example's global number, so crops
depend neither on the position in the batch nor on the number of devices.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.arch.spec import InputSpec
from dst_jax.ops.augment_config import AugmentConfig as AugmentConfig
from dst_jax.ops.augment_config import patch_sides as patch_sides
from dst_jax.ops.augment_config import search_stretch
from dst_jax.ops.colour import (
    blurred,
    factor,
    faded_to_grey,
    painted,
)
from dst_jax.ops.crop import crop_resize
from dst_jax.ops.examples import Examples
from dst_jax.typing import Array

# Folded into a key that has served already; colours take 1 and 3.
_BLUR_DRAW = 2
# The same for the flips of either image.
_FLIP_DRAWS = 1, 2


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
      key: The run's key; the number of each example is folded in.
      batch: `template_patch`, `search_patch` uint8 [b, p, p, 3], their
        `template_fill_rgb`, `search_fill_rgb` float32 [b, 3], `search_box` float32
        [b, 4], `mask` float32 [b], `is_negative` bool [b], `index` int32 [b]. The
        target lies at the patch's centre; a patch pixel is as large as a crop's.
      input: Sizes of the crops; the search crop has `train_search_px`. In a run of
        several networks this is the widest input, and `examples_for` gives each its
        own view.
      config: Which properties are random, and how much they vary.
      dtype: Type of the crops' values.

    Returns:
      The crops, RGB 0..255, with the batch's mask and flags.
    """
    paint = {n: getattr(config, n) for n in ("jitter", "colour", "brightness")}

    def one(
        number: Array, template: _Patch, search: _Patch, box: Array
    ) -> tuple[Array, Array, Array, Array]:
        keys = jax.random.split(jax.random.fold_in(key, number), 6)
        windows = _windows(keys, (template, search), input, config)
        box = _box_in_crop(box, windows[1])
        if config.flip or config.flip_each:
            mirrored = _flips(keys[2], config)
            windows = tuple(map(_mirrored, windows, mirrored))
            box = _mirrored_box(box, mirrored[1], input.train_search_px)
        z, x = (
            _cut(patch, window, config.fill)
            for patch, window in zip((template, search), windows, strict=True)
        )
        if config.grey:
            faded = jax.random.bernoulli(keys[3], config.grey)
            z, x = (faded_to_grey(crop, faded) for crop in (z, x))
        z, x = (painted(k, c, **paint) for k, c in ((keys[4], z), (keys[5], x)))
        return z, x, box, jax.random.fold_in(keys[5], _BLUR_DRAW)

    patches = _patch(batch, "template"), _patch(batch, "search")
    template, search, box, own = jax.vmap(one)(
        batch["index"], *patches, jnp.asarray(batch["search_box"])
    )
    if config.blur:
        search = blurred(
            own, search, probability=config.blur, longest_px=config.blur_px
        )
    return _examples(batch, (template, search), box, input, dtype)


def centre_crops(
    batch: Mapping[str, Array],
    *,
    input: InputSpec,
    search_px: int | None = None,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> Examples:
    """Cuts the crops in the middle of the patches, for validation; nothing is random.

    Args:
      batch: The same arrays as for `augment`.
      input: Sizes of the crops.
      search_px: Side of the search crop; `train_search_px` if None.
      dtype: Type of the crops' values.

    Returns:
      The crops, RGB 0..255, with the batch's mask and flags.
    """
    input = dataclasses.replace(
        input, train_search_px=search_px or input.train_search_px
    )
    sides = input.template_px, input.train_search_px
    patches = _patch(batch, "template"), _patch(batch, "search")
    windows = [
        _Window(p.centre, jnp.full((2,), side, jnp.float32), side)
        for p, side in zip(patches, sides, strict=True)
    ]
    template, search = (
        jax.vmap(lambda p, window=window: _cut(p, window, "mean"))(patch)
        for patch, window in zip(patches, windows, strict=True)
    )
    box = jax.vmap(lambda box: _box_in_crop(box, windows[1]))(
        jnp.asarray(batch["search_box"])
    )
    return _examples(batch, (template, search), box, input, dtype)


class _Patch(NamedTuple):
    pixels: Array
    fill: Array

    @property
    def centre(self) -> Array:
        height, width = self.pixels.shape[-3:-1]
        return jnp.array([0.5 * width, 0.5 * height], jnp.float32)


def _patch(batch: Mapping[str, Array], name: str) -> _Patch:
    return _Patch(batch[f"{name}_patch"], batch[f"{name}_fill_rgb"])


class _Window(NamedTuple):
    """A part of a patch, in the patch's pixels, and the side of the resulting crop.

    A window of negative width mirrors the crop.
    """

    centre: Array
    size: Array
    out_px: int


def _examples(
    batch: Mapping[str, Array],
    crops: tuple[Array, Array],
    box: Array,
    input: InputSpec,
    dtype: jax.typing.DTypeLike,
) -> Examples:
    exact = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
    flags = (batch[name].astype(exact) for name in ("mask", "is_negative"))
    return Examples(
        *(crop.astype(dtype) for crop in crops),
        *flags,
        search_box=box.astype(exact),
        number=jnp.asarray(batch["index"]),
        input=input,
    )


def _windows(
    keys: Array,
    patches: tuple[_Patch, _Patch],
    input: InputSpec,
    config: AugmentConfig,
) -> tuple[_Window, _Window]:
    """Returns random windows of template and search patch."""
    template, search = patches
    shifts = config.template_shift_px, config.search_shift_px
    stretches = config.stretch, search_stretch(config)
    sides = input.template_px, input.train_search_px
    first, second = (
        _random_window(keys[i], patch, sides[i], shifts[i], stretches[i], config)
        for i, patch in enumerate((template, search))
    )
    return first, second


def _random_window(
    key: Array,
    patch: _Patch,
    out_px: int,
    shift_px: float,
    stretch: float,
    config: AugmentConfig,
) -> _Window:
    keys = jax.random.split(key, 3)
    factors = factor(keys[0], (1,), config.scale) * factor(keys[1], (2,), stretch)
    shift = jax.random.uniform(keys[2], (2,), jnp.float32, -shift_px, shift_px)
    if config.scale_of == "window":
        return _Window(patch.centre + shift, out_px * factors, out_px)
    # An object grows as the window shrinks, so the factors divide the window's sides.
    size = out_px / factors
    return _Window(patch.centre + shift * size / out_px, size, out_px)


def _cut(patch: _Patch, window: _Window, fill: str) -> Array:
    colour = patch.fill if fill == "mean" else jnp.zeros_like(patch.fill)
    return crop_resize(
        patch.pixels, window.centre, window.size, out_px=window.out_px, fill=colour
    )


def _box_in_crop(box: Array, window: _Window) -> Array:
    """Returns a box of the patch in the pixels of the crop."""
    zoom = window.out_px / window.size
    corner = window.centre - 0.5 * window.size
    return jnp.concatenate([(box[:2] - corner) * zoom, box[2:] * zoom])


def _flips(key: Array, config: AugmentConfig) -> tuple[Array, Array]:
    """Returns whether template and search image are mirrored."""
    both = jax.random.bernoulli(key, config.flip)
    if not config.flip_each:
        return both, both
    first, second = (
        both ^ jax.random.bernoulli(jax.random.fold_in(key, draw), config.flip_each)
        for draw in _FLIP_DRAWS
    )
    return first, second


def _mirrored(window: _Window, mirrored: Array) -> _Window:
    """Returns the window with a negative width, which mirrors the crop, if `mirrored`.

    Mirroring the finished crop would sample everything twice.
    """
    sign = jnp.where(mirrored, -1.0, 1.0)
    return window._replace(size=window.size * jnp.stack([sign, jnp.ones_like(sign)]))


def _mirrored_box(box: Array, mirrored: Array, side: int) -> Array:
    other_side = jnp.concatenate([side - box[:1], box[1:]])
    return jnp.where(mirrored, other_side, box)
