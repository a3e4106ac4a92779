"""Random changes of a crop's colours: grey, brightness, tint, blur.

Each takes one crop, RGB 0..255, and what it draws from; `dst_jax.ops.augment` maps
them over a batch.
"""

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Bool, Float

SHORTEST_BLUR_PX = 5
# ITU-R BT.601 luma, as in OpenCV's RGB to grey.
_LUMA = (0.299, 0.587, 0.114)
# The mixing matrix of pysot's colour offset: rows are red, green and blue.
_TINT = (
    (-0.55919361, 0.98062831, -0.41940627),
    (1.72091413, 0.19879334, -1.82968581),
    (4.64467907, 4.73710203, 4.88324118),
)


def factor(key: Array, shape: tuple[int, ...], spread: float) -> Float[Array, "..."]:
    """Uniform factors in 1 - spread..1 + spread."""
    return jax.random.uniform(key, shape, jnp.float32, 1.0 - spread, 1.0 + spread)


def faded_to_grey(
    crop: Float[Array, "h w 3"], faded: Bool[Array, ""]
) -> Float[Array, "h w 3"]:
    """The crop, or its luma in all three channels."""
    weights = jnp.array(_LUMA, crop.dtype).reshape(1, 1, 3)
    luma = jnp.sum(crop * weights, axis=-1, keepdims=True)
    return jnp.where(faded, luma, crop)


def lit(
    key: Array, crop: Float[Array, "h w 3"], *, spread: float
) -> Float[Array, "h w 3"]:
    """Values times a factor in 1 - spread..1 + spread, clipped to 0..255."""
    return jnp.clip(crop * factor(key, (), spread), 0.0, 255.0)


def tinted(
    key: Array, crop: Float[Array, "h w 3"], *, amount: float = 1.0
) -> Float[Array, "h w 3"]:
    """The crop less one random offset per channel, clipped to 0..255.

    The offset is a fixed matrix times three normal numbers: a standard deviation of
    8.2 grey levels in blue, 2.5 in green and 1.2 in red at `amount` 1.

    Args:
      key: Of this crop.
      crop: RGB 0..255.
      amount: Multiplies the offset.
    """
    offset = jnp.array(_TINT, jnp.float32) @ jax.random.normal(key, (3,), jnp.float32)
    return jnp.clip(crop - amount * offset[None, None], 0.0, 255.0)


def blurred(
    key: Array,
    crop: Float[Array, "h w 3"],
    *,
    probability: float,
    longest_px: int = 45,
) -> Float[Array, "h w 3"]:
    """The crop, or a blend of its running means along rows and along columns.

    Length (odd, the same for both) and share of the two are random; beyond the border
    the crop is mirrored about its outermost pixels.

    Args:
      key: Of this crop.
      crop: RGB 0..255.
      probability: Of any blur at all.
      longest_px: Odd; lengths are 5, 7, ..., longest_px, equally likely.
    """
    keys = jax.random.split(key, 3)
    smallest, largest = SHORTEST_BLUR_PX // 2, longest_px // 2
    radius = jax.random.randint(keys[0], (), smallest, largest + 1)
    share = jax.random.uniform(keys[1], (), jnp.float32)
    columns = _running_mean(crop, radius, largest)
    rows = _running_mean(crop.swapaxes(0, 1), radius, largest).swapaxes(0, 1)
    mixed = share * columns + (1.0 - share) * rows
    return jnp.where(jax.random.bernoulli(keys[2], probability), mixed, crop)


def _running_mean(crop: Array, radius: Array, largest: int) -> Array:
    """Means over 2 radius + 1 rows, by differences of running sums."""
    height = crop.shape[0]
    padded = jnp.pad(crop, ((largest, largest), (0, 0), (0, 0)), mode="reflect")
    sums = jnp.cumsum(padded, axis=0)
    sums = jnp.pad(sums, ((1, 0), (0, 0), (0, 0)))
    first = jnp.arange(height) + largest - radius
    total = sums[first + 2 * radius + 1] - sums[first]
    return total / (2 * radius + 1).astype(crop.dtype)
