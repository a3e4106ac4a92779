"""Random changes of a crop's colours: grey, brightness, tint, blur.

Each function takes one crop, RGB 0..255, and a key or the draw itself, and
`dst_jax.ops.augment` maps it over a batch. `blurred` takes the whole batch, so that it
spends no work on the crops that it leaves alone.
"""

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Bool, Float

SHORTEST_BLUR_PX = 5
# Numbers that are folded into a key that has served already, for further draws.
_COLOUR_DRAW, _JITTER_DRAW = 1, 3
# ITU-R BT.601 luma, as in OpenCV's RGB to grey.
_LUMA = (0.299, 0.587, 0.114)
# The mixing matrix of pysot's colour offset: rows are red, green and blue.
_TINT = (
    (-0.55919361, 0.98062831, -0.41940627),
    (1.72091413, 0.19879334, -1.82968581),
    (4.64467907, 4.73710203, 4.88324118),
)


def factor(key: Array, shape: tuple[int, ...], spread: float) -> Float[Array, "..."]:
    """Returns uniform random factors in 1 - spread..1 + spread."""
    return jax.random.uniform(key, shape, jnp.float32, 1.0 - spread, 1.0 + spread)


def faded_to_grey(
    crop: Float[Array, "h w 3"], faded: Bool[Array, ""]
) -> Float[Array, "h w 3"]:
    """Returns the crop, or if `faded` its luma in all three channels."""
    return jnp.where(faded, _luma(crop), crop)


def _luma(crop: Array) -> Float[Array, "h w 1"]:
    weights = jnp.array(_LUMA, crop.dtype).reshape(1, 1, 3)
    return jnp.sum(crop * weights, axis=-1, keepdims=True)


def lit(
    key: Array, crop: Float[Array, "h w 3"], *, spread: float
) -> Float[Array, "h w 3"]:
    """Returns the crop times one factor in 1 - spread..1 + spread, within 0..255."""
    return jnp.clip(crop * factor(key, (), spread), 0.0, 255.0)


def tinted(
    key: Array, crop: Float[Array, "h w 3"], *, amount: float = 1.0
) -> Float[Array, "h w 3"]:
    """Returns the crop less one random offset per channel, clipped to 0..255.

    The offset is a fixed matrix times three normal numbers. At `amount` 1 its standard
    deviation is 8.2 grey levels in blue, 2.5 in green and 1.2 in red.

    Args:
      key: Key of this crop.
      crop: Colours, RGB 0..255.
      amount: Number that multiplies the offset.
    """
    offset = jnp.array(_TINT, jnp.float32) @ jax.random.normal(key, (3,), jnp.float32)
    return jnp.clip(crop - amount * offset[None, None], 0.0, 255.0)


def jittered(
    key: Array, crop: Float[Array, "h w 3"], *, spread: float
) -> Float[Array, "h w 3"]:
    """Returns the crop with other brightness, contrast, saturation and hue, in 0..255.

    The first three blend it with black, with the mean of its luma and with its luma;
    a factor f leaves the share f of the crop. The hue is turned. The four follow one
    another in random order, and values are clipped after each. The mean is a sum, whose
    order a compiler chooses by the whole program: the same crop in a batch of another
    size may differ in the last digit (3e-8 of its range was seen).

    Args:
      key: Key of this crop.
      crop: Colours, RGB 0..255.
      spread: Range of the factors 1 - spread..1 + spread, and of the turn -spread..
        spread of the hue, in turns of its circle.
    """
    keys = jax.random.split(key, 4)
    factors = factor(keys[0], (3,), spread)
    order = jax.random.permutation(keys[1], jnp.arange(3, dtype=jnp.int32))
    # The hue comes after so many of the blends, which makes all orders equally likely.
    before = jax.random.randint(keys[2], (), 0, 4, jnp.int32)
    turn = jax.random.uniform(keys[3], (), jnp.float32, -spread, spread)

    def blend(crop: Array, place: int, now: Array) -> Array:
        # A factor of 1 leaves the crop as it is, so that no branch is needed.
        share = jnp.where(now, factors[order[place]], 1.0)
        return _blended(crop, order[place], share)

    for place in range(3):
        crop = blend(crop, place, place < before)
    crop = turned(crop, turn)
    for place in range(3):
        crop = blend(crop, place, place >= before)
    return crop


def _blended(crop: Array, kind: Array, share: Array) -> Array:
    """Returns a blend with black (kind 0), the mean luma (1) or the luma (2)."""
    luma = _luma(crop)
    aim = jnp.where(kind == 0, 0.0, jnp.where(kind == 1, jnp.mean(luma), luma))
    return jnp.clip(share * crop + (1.0 - share) * aim, 0.0, 255.0)


def turned(
    crop: Float[Array, "h w 3"], turn: Float[Array, ""] | float
) -> Float[Array, "h w 3"]:
    """Returns the crop with its hues turned; values and saturations (HSV) stay.

    Args:
      crop: Colours, RGB 0..255.
      turn: Turns of the hue's circle; a third makes red green.
    """
    value = jnp.max(crop, axis=-1, keepdims=True)
    chroma = value - jnp.min(crop, axis=-1, keepdims=True)
    red, green, blue = (crop[..., k : k + 1] for k in range(3))
    safe = jnp.where(chroma > 0.0, chroma, 1.0)
    later = jnp.where(
        value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe
    )
    sixths = jnp.where(value == red, (green - blue) / safe, later)
    # How far each channel falls below the value, by the sixth of the circle.
    starts = jnp.array([5.0, 3.0, 1.0], crop.dtype).reshape(1, 1, 3)
    k = jnp.mod(starts + sixths + 6.0 * turn, 6.0)
    return value - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)


def painted(
    key: Array, crop: Array, *, jitter: float, colour: float, brightness: float
) -> Float[Array, "h w 3"]:
    """Returns the crop with the changes of colour whose size is not 0.

    Args:
      key: Key of the draws.
      crop: RGB 0..255.
      jitter: Spread of `jittered`.
      colour: Amount of `tinted`.
      brightness: Spread of `lit`.
    """
    if jitter:
        own = jax.random.fold_in(key, _JITTER_DRAW)
        crop = jittered(own, crop, spread=jitter)
    if colour:
        own = jax.random.fold_in(key, _COLOUR_DRAW)
        crop = tinted(own, crop, amount=colour)
    if brightness:
        crop = lit(key, crop, spread=brightness)
    return crop


def blurred(
    keys: Array,
    crops: Float[Array, "b h w 3"],
    *,
    probability: float,
    longest_px: int = 45,
) -> Float[Array, "b h w 3"]:
    """Returns the crops, some of them at random blurred along rows and columns.

    A blurred crop is a blend of its running means along rows and along columns. Their
    length (odd, the same for both) and their shares are random; beyond the border a
    crop is mirrored about its outermost pixels. A loop blurs the chosen crops one by
    one, each with two matrix products.

    Args:
      keys: One key per crop.
      crops: Colours, RGB 0..255.
      probability: Probability that a crop is blurred at all.
      longest_px: Greatest length, odd; 5, 7, ..., longest_px are equally likely.

    Raises:
      InputError: If `longest_px` reaches beyond a crop's mirror image.
    """
    smallest, largest = SHORTEST_BLUR_PX // 2, longest_px // 2
    side = min(crops.shape[1:3])
    if largest >= side:
        raise InputError(
            f"a blur of up to {longest_px} px: crops of {side} px allow "
            f"{2 * side - 1}; lessen --augment.blur_px."
        )

    def draw(key: Array) -> tuple[Array, Array, Array]:
        keys = jax.random.split(key, 3)
        radius = jax.random.randint(keys[0], (), smallest, largest + 1)
        share = jax.random.uniform(keys[1], (), jnp.float32)
        return radius, share, jax.random.bernoulli(keys[2], probability)

    radius, share, chosen = jax.vmap(draw)(keys)
    chosen_first = jnp.argsort(~chosen)

    def turn(number: Array, crops: Array) -> Array:
        row = chosen_first[number]
        smeared = _smeared(crops[row], radius[row], share[row])
        return jnp.asarray(crops).at[row].set(smeared)

    return jax.lax.fori_loop(0, jnp.sum(chosen, dtype=jnp.int32), turn, crops)


def _smeared(crop: Array, radius: Array, share: Array) -> Array:
    height, width, _ = crop.shape
    exact = jax.lax.Precision.HIGHEST
    down, along = _running_mean(height, radius), _running_mean(width, radius)
    columns = jnp.einsum("ij,jwc->iwc", down, crop, precision=exact)
    rows = jnp.einsum("wj,hjc->hwc", along, crop, precision=exact)
    return share * columns + (1.0 - share) * rows


def _running_mean(length: int, radius: Array) -> Float[Array, "n n"]:
    """Returns the matrix that takes mirrored means over 2 radius + 1 neighbours."""
    i = jnp.arange(length, dtype=jnp.int32)[:, None]
    j = jnp.arange(length, dtype=jnp.int32)[None, :]
    last = length - 1
    # A mean may meet pixel j three times: at j, mirrored at -j left of the first pixel,
    # and mirrored at 2 last - j right of the last.
    meetings = (
        (jnp.abs(i - j) <= radius).astype(jnp.float32)
        + ((i + j <= radius) & (j > 0)).astype(jnp.float32)
        + ((2 * last - i - j <= radius) & (j < last)).astype(jnp.float32)
    )
    return meetings / (2 * radius + 1).astype(jnp.float32)
