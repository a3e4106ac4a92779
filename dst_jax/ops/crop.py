"""Cutting a window out of a frame and resizing it, on the device.

Coordinates of the arguments are continuous: pixel i covers [i, i + 1), so its centre
lies at i + 0.5. Two formulations stand behind one function: "gather" reads the four
neighbours of every output pixel, "matmul" multiplies by two sparse interpolation
matrices. `scripts/bench_conv.py --crop` times both. On two CPU cores matrices take
five times as long or more; on an accelerator that gathers element by element (TPU)
they are the faster.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.typing import Array, Bool, Float, Int, Scalar

CropFormulation = Literal["gather", "matmul"]
# The two pixels around each sample: index of the lower one, and their two weights.
_Taps = tuple[Array, Array, Array]


def default_crop_formulation() -> CropFormulation:
    """Returns the formulation that is measured or known to be fastest here."""
    return "matmul" if jax.default_backend() == "tpu" else "gather"


def crop_resize(
    image: Num[Array, "h w 3"],
    centre_xy: Float[Array, " 2"],
    size_wh: Float[Array, " 2"],
    *,
    out_px: int,
    fill: Float[Array, " 3"],
    frame_hw: Num[Array, " 2"] | None = None,
    formulation: CropFormulation | None = None,
) -> Float[Array, "out_px out_px 3"]:
    """Resizes a window of a frame to a square, bilinearly.

    Samples lie at the centres of the output's pixels; there is no smoothing when the
    window shrinks. Everything outside the frame has the colour `fill`.

    Args:
      image: The frame, uint8 or float; it may be a canvas larger than the frame.
      centre_xy: Centre of the window, continuous frame pixels.
      size_wh: Width and height of the window, frame pixels; a negative width mirrors
        the crop.
      out_px: Side of the result, pixels.
      fill: Colour outside the frame, 0..255.
      frame_hw: Height and width of the frame in the canvas's top left corner, which
        may be traced; None means the whole image.
      formulation: "gather" or "matmul"; None chooses for the backend.

    Returns:
      float32 colours on the scale of `image`.
    """
    steps = (jnp.arange(out_px, dtype=jnp.float32) + 0.5) / out_px - 0.5
    # Subtracting one half turns continuous coordinates into indices of pixel centres.
    x = centre_xy[0] + steps * size_wh[0] - 0.5
    y = centre_xy[1] + steps * size_wh[1] - 0.5
    return _sample(image, y, x, fill, frame_hw, formulation)


def crop_resize_snapped(
    image: Num[Array, "h w 3"],
    centre_xy: Float[Array, " 2"],
    side: Scalar,
    *,
    out_px: int,
    fill: Float[Array, " 3"],
    frame_hw: Num[Array, " 2"] | None = None,
    formulation: CropFormulation | None = None,
) -> Float[Array, "out_px out_px 3"]:
    """Cuts a square window of whole pixels and resizes it as OpenCV does uint8 images.

    The public SiamFC trackers see this crop: side and corner of the window are rounded
    (half to even), the border has a rounded colour, samples beyond the outermost
    pixel centres of the *window* repeat its border pixels, and the result is rounded
    to integers. "gather" repeats, to the last bit, OpenCV's integer arithmetic with
    11-bit weights, which truncates on the way: one value off by 1 is enough to move a
    peak of the up-sampled response by a sample now and then, and the box with it.
    "matmul" merely rounds (1 value in 8 differs, by 1).

    Args:
      image: The frame, uint8 or float; it may be a canvas larger than the frame.
      centre_xy: Centre of the window, continuous frame pixels.
      side: Side of the window, frame pixels; it becomes at least 1 in rounding.
      out_px: Side of the result, pixels.
      fill: Colour outside the frame, 0..255.
      frame_hw: Height and width of the frame in the canvas; None means all of it.
      formulation: "gather" or "matmul"; None chooses for the backend.

    Returns:
      float32 colours of whole numbers, 0..255.
    """
    side = jnp.maximum(jnp.round(side), 1.0)
    corner = jnp.round(centre_xy - 0.5 - (side - 1.0) / 2.0)
    at = _sample_positions(side, out_px)
    colour = jnp.round(fill)
    if (formulation or default_crop_formulation()) == "gather":
        return _gather_fixed_point(image, corner, side, at, colour, frame_hw)
    at = jnp.clip(at, 0.0, side - 1.0)
    x, y = corner[0] + at, corner[1] + at
    return jnp.round(_sample(image, y, x, colour, frame_hw, formulation))


def _sample_positions(side: Scalar, out_px: int) -> Float[Array, " n"]:
    """Returns (i + 0.5) side / out_px - 0.5 for i = 0, 1, ..., rounded only once.

    OpenCV computes this in double precision and then rounds it. Here it is a whole
    numerator over 2 out_px. XLA may multiply by a rounded reciprocal where a division
    is written, so the quotient is corrected by its exact remainder.
    """
    numerator = (2.0 * jnp.arange(out_px, dtype=jnp.float32) + 1.0) * side - out_px
    denominator, reciprocal = 2.0 * out_px, jnp.float32(0.5 / out_px)
    quotient = numerator * reciprocal
    # A product of 12 bits with the denominator's 12 bits is exact in float32's 24.
    high = jax.lax.reduce_precision(quotient, exponent_bits=8, mantissa_bits=11)
    remainder = (numerator - high * denominator) - (quotient - high) * denominator
    return quotient + remainder * reciprocal


def _sample(
    image: Num[Array, "h w 3"],
    y: Float[Array, " v"],
    x: Float[Array, " u"],
    fill: Float[Array, " 3"],
    frame_hw: Num[Array, " 2"] | None,
    formulation: CropFormulation | None,
) -> Float[Array, "v u 3"]:
    """Returns bilinear samples on the grid y * x, in indices of pixel centres."""
    hw = jnp.asarray(image.shape[:2] if frame_hw is None else frame_hw, jnp.float32)
    taps_y, taps_x = _taps(y, hw[0]), _taps(x, hw[1])
    blend = {"gather": _gather, "matmul": _matmul}
    inside = blend[formulation or default_crop_formulation()](image, taps_y, taps_x)
    share_y, share_x = taps_y[1] + taps_y[2], taps_x[1] + taps_x[2]
    outside = 1.0 - share_y[:, None, None] * share_x[None, :, None]
    return inside + outside * fill[None, None, :]


def _taps(at: Float[Array, " n"], length: Scalar) -> _Taps:
    """Returns each sample's lower neighbour and two weights, 0 outside [0, length)."""
    at = jnp.clip(at, -2.0, length + 1.0)
    low = jnp.floor(at)
    upper = at - low
    weigh_low = jnp.where((low >= 0.0) & (low < length), 1.0 - upper, 0.0)
    weigh_high = jnp.where((low >= -1.0) & (low < length - 1.0), upper, 0.0)
    return low.astype(jnp.int32), weigh_low, weigh_high


def _gather(image: Array, taps_y: _Taps, taps_x: _Taps) -> Float[Array, "v u 3"]:
    height, width, _ = image.shape
    total = jnp.zeros((), jnp.float32)
    for dy in (0, 1):
        rows = jnp.clip(taps_y[0] + dy, 0, height - 1)[:, None]
        for dx in (0, 1):
            columns = jnp.clip(taps_x[0] + dx, 0, width - 1)[None, :]
            weights = taps_y[1 + dy][:, None] * taps_x[1 + dx][None, :]
            pixels = _pixels(image, rows, columns).astype(jnp.float32)
            total = total + weights[..., None] * pixels
    return total


def _pixels(
    image: Array, rows: Int[Array, "v 1"], columns: Int[Array, "1 u"]
) -> Num[Array, "v u 3"]:
    """Returns `image[rows, columns]`, with one index and no check for each pixel.

    All indices must lie within the image.
    """
    height, width, channels = image.shape
    flat = jnp.asarray(image).reshape(height * width, channels)
    return flat.at[rows * width + columns].get(mode="promise_in_bounds")


def _gather_fixed_point(
    image: Num[Array, "h w 3"],
    corner_xy: Float[Array, " 2"],
    side: Scalar,
    at: Float[Array, " n"],
    fill: Float[Array, " 3"],
    frame_hw: Num[Array, " 2"] | None,
) -> Float[Array, "n n 3"]:
    """Returns bilinear samples of 8-bit colours as OpenCV computes them, in integers.

    Rows are blended exactly, scaled by 2^11. Their blend drops 4 bits before and 16
    bits after the product with the vertical weights, and 2 more bits with rounding.
    Beyond the window's border a column has one weight, that of the border column,
    whereas a row has two weights, both of the border row, which truncates differently.

    Args:
      image: The frame, or a canvas that holds it.
      corner_xy: First column and row of the window, whole numbers.
      side: Columns and rows of the window, a whole number.
      at: Positions of the samples, in indices of the window's pixel centres.
      fill: Colour outside the frame, whole numbers.
      frame_hw: Height and width of the frame; None means the whole image.
    """
    hw = jnp.asarray(image.shape[:2] if frame_hw is None else frame_hw, jnp.int32)
    taps_y, taps_x = _fixed_point_taps(image.shape, corner_xy, side, at, hw)
    colour = jnp.tile(fill.astype(jnp.int32), at.size)[None, :]
    # XLA would compute these vectors anew for each pixel, in four times the time.
    taps_y, taps_x, colour = jax.lax.optimization_barrier((taps_y, taps_x, colour))
    flat, total = jnp.asarray(image).reshape(-1), jnp.zeros((), jnp.int32)
    for start, in_row, weight_y in taps_y:
        blended = jnp.zeros((), jnp.int32)
        for place, in_column, weight_x in taps_x:
            values = flat.at[start[:, None] + place[None, :]].get(
                mode="promise_in_bounds"
            )
            inside = in_row[:, None] & in_column[None, :]
            seen = jnp.where(inside, values.astype(jnp.int32), colour)
            blended = blended + weight_x[None, :] * seen
        total = total + ((weight_y[:, None] * (blended >> 4)) >> 16)
    total = ((total + 2) >> 2).astype(jnp.float32)
    return total.reshape(at.size, at.size, image.shape[2])


def _fixed_point_taps(
    shape: tuple[int, ...],
    corner_xy: Float[Array, " 2"],
    side: Scalar,
    at: Float[Array, " n"],
    hw: Int[Array, " 2"],
) -> tuple[list[Any], list[Any]]:
    """Returns what lower and upper taps read, of rows, and of the values of a row.

    Each is (where in the flat image it begins or adds, whether it lies in the frame,
    weight).
    """
    height, width, channels = shape
    # Windows that lie far outside every frame all look alike, and so integers may be
    # kept small.
    corner = jnp.clip(corner_xy, -(2.0**24), 2.0**24).astype(jnp.int32)
    last = jnp.minimum(side, 2.0**24).astype(jnp.int32) - 1
    low = jnp.floor(at).astype(jnp.int32)
    weights_y = _integer_weights(at - jnp.floor(at))
    weights_x = _integer_weights(
        jnp.where((low < 0) | (low >= last), 0.0, at - jnp.floor(at))
    )
    taps_y, taps_x = [], []
    for step in (0, 1):
        row = corner[1] + jnp.clip(low + step, 0, last)
        i, in_row = _within(row, hw[0], height)
        taps_y.append((i * (width * channels), in_row, weights_y[step]))
        column = corner[0] + jnp.clip(jnp.clip(low, 0, last) + step, 0, last)
        j, in_column = _within(column, hw[1], width)
        places = (
            j[:, None] * channels + jnp.arange(channels, dtype=jnp.int32)[None, :]
        ).reshape(-1)
        repeated = (jnp.repeat(p, channels) for p in (in_column, weights_x[step]))
        taps_x.append((places, *repeated))
    return taps_y, taps_x


def _within(
    index: Int[Array, " n"], frame: Int[Array, ""], image: int
) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
    """Returns indices clipped to the image's length, and which lie in the frame."""
    return jnp.clip(index, 0, image - 1), (index >= 0) & (index < frame)


def _integer_weights(
    upper: Float[Array, " n"],
) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """Returns the weights of lower and upper neighbour in rounded units of 2^-11."""
    lower = jnp.round((1.0 - upper) * 2048.0).astype(jnp.int32)
    return lower, jnp.round(upper * 2048.0).astype(jnp.int32)


def _matmul(image: Array, taps_y: _Taps, taps_x: _Taps) -> Float[Array, "v u 3"]:
    height, width, _ = image.shape
    image = image.astype(jnp.float32)
    exact = jax.lax.Precision.HIGHEST
    rows = jnp.einsum("vh,hwc->vwc", _matrix(taps_y, height), image, precision=exact)
    return jnp.einsum("uw,vwc->vuc", _matrix(taps_x, width), rows, precision=exact)


def _matrix(taps: _Taps, length: int) -> Float[Array, "n length"]:
    """Returns the interpolation matrix, with at most two entries in a row."""
    low, weigh_low, weigh_high = (tap[:, None] for tap in taps)
    index = jnp.arange(length, dtype=jnp.int32)[None, :]
    lower = jnp.where(index == low, weigh_low, 0.0)
    return lower + jnp.where(index == low + 1, weigh_high, 0.0)
