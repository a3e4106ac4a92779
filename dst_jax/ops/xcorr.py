"""Cross-correlation of a search map with a template map (eq. 1).

One function has several formulations of the same sum. They take these milliseconds,
forward and forward with backward, on two CPU cores (`scripts/bench_xcorr.py`, float32,
JAX 0.10.2):

    search map      template        conv          unrolled     matmul       fft
    8x22x22x256     8x6x6x256         84   2310   8.7    47    4.5   4.4    19   32
    3x22x22x256     1x6x6x256        5.0    9.6   4.4    11    0.5   1.6   3.3  7.2
    8x24x24x384 *   8x10x10x384     1090  19800   640   670     10    28    84  140
    8x53x53x256 *   8x25x25x256                                337   764   208  407
    8x115x115x96 *  8x59x59x96                                             750 1370

    * with the zero padding of `xcorr_same`

The matrix product holds one number per search cell and template cell, several
gigabytes in the last row; so large templates go through the Fourier transform. The
convolution is the default where nothing has been measured.
"""

import math
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float

Formulation: TypeAlias = Literal["conv", "unrolled", "matmul", "fft"]

_SMALL: dict[str, Formulation] = {"cpu": "matmul", "gpu": "matmul"}
# Template cells from which the Fourier transform wins (between 10 x 10 and 25 x 25).
_LARGE = 400

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def xcorr(
    search: Float[Array, "b h w d"],
    template: Float[Array, "#b i j d"],
    *,
    formulation: Formulation | None = None,
) -> Float[Array, "b h-i+1 w-j+1"]:
    r"""Slides each template over its own search map, without padding.

    .. math:: S[u, v] = \sum_{i,j,d} x[u + i, v + j, d] \, z[i, j, d]

    Args:
      search: Feature maps of the search images.
      template: Feature maps that serve as kernels, no larger than the search maps;
        one per example, or a single one for all of them.
      formulation: "conv" (one grouped convolution), "unrolled" (one convolution
        per example), "matmul" (all products by one matrix product, then a sum along
        diagonals) or "fft". None takes the fastest for this backend and size.

    Returns:
      One response map of one channel per example, unscaled.

    Raises:
      InputError: If the template is larger than the search map.

    Example:
      >>> x = jnp.arange(3.0).reshape(1, 1, 3, 1)
      >>> xcorr(x, jnp.ones((1, 1, 2, 1))).tolist()
      [[[1.0, 3.0]]]

    References:
      Liu et al., arXiv 1907.10586, eq. (1).
    """
    if any(s < t for s, t in zip(search.shape[1:3], template.shape[1:3], strict=True)):
        raise InputError(
            f"xcorr: template {template.shape[1:3]} is larger than the search map "
            f"{search.shape[1:3]}; use a larger search crop."
        )
    search, template = jnp.asarray(search), jnp.asarray(template)
    chosen = formulation or default_xcorr_formulation(template.shape[1:3])
    if chosen == "matmul":
        return _by_matmul(search, template, pad=((0, 0), (0, 0)))
    if chosen == "fft":
        return _by_fourier(search, template)
    if chosen == "unrolled":
        return _by_example(search, template)
    return _by_convolution(search, template)


def xcorr_same(
    search: Float[Array, "b h w d"],
    template: Float[Array, "#b i j d"],
    *,
    formulation: Formulation | None = None,
) -> Float[Array, "b h w"]:
    """Returns `xcorr` with zeros around the search map, so that the size is kept.

    An even template has no centre cell; then (i - 1) // 2 zeros come before and the
    rest after (6 x 6: two before, three after).

    Args:
      search: Feature maps of the search images.
      template: Feature maps that serve as kernels, of any size.
      formulation: One of those of `xcorr`; None takes the fastest.

    Returns:
      One map per example, of the size of the search map.
    """
    pad = [((side - 1) // 2, side // 2) for side in template.shape[1:3]]
    search, template = jnp.asarray(search), jnp.asarray(template)
    chosen = formulation or default_xcorr_formulation(template.shape[1:3])
    if chosen == "matmul":
        # Padding the products adds many fewer zeros than padding the features would.
        return _by_matmul(search, template, pad=(pad[0], pad[1]))
    padded = jnp.pad(search, ((0, 0), *pad, (0, 0)))
    return xcorr(padded, template, formulation=chosen)


def default_xcorr_formulation(template_sides: tuple[int, ...]) -> Formulation:
    """Returns the formulation that was fastest for this template size and backend."""
    if math.prod(template_sides) > _LARGE:
        return "fft"
    return _SMALL.get(jax.default_backend(), "conv")


def _by_convolution(search: jax.Array, template: jax.Array) -> jax.Array:
    """Takes one convolution; examples become groups when each has its own kernel."""
    batch, height, width, depth = search.shape
    if template.shape[0] == 1:
        kernel = jnp.moveaxis(template, 0, -1)
        out = jax.lax.conv_general_dilated(
            search, kernel, (1, 1), "VALID", dimension_numbers=_LAYOUT
        )
        return out[..., 0]
    image = jnp.moveaxis(search, 0, 2).reshape(1, height, width, batch * depth)
    kernel = jnp.moveaxis(template, 0, -1)
    out = jax.lax.conv_general_dilated(
        image,
        kernel,
        (1, 1),
        "VALID",
        dimension_numbers=_LAYOUT,
        feature_group_count=batch,
    )
    return jnp.moveaxis(out[0], -1, 0)


def _by_example(search: jax.Array, template: jax.Array) -> jax.Array:
    """Takes one convolution per example: XLA runs a batch of one on all CPU threads."""
    rows = [
        _by_convolution(search[n : n + 1], template[m : m + 1])
        for n in range(search.shape[0])
        for m in [n if template.shape[0] > 1 else 0]
    ]
    return jnp.concatenate(rows, axis=0)


def _by_matmul(search: jax.Array, template: jax.Array, *, pad: tuple) -> jax.Array:
    """Takes all products <x[h, w], z[i, j]> at once and sums them along diagonals."""
    if template.shape[0] == 1:
        products = jnp.einsum("ijd,bhwd->bijhw", template[0], search)
    else:
        products = jnp.einsum("bijd,bhwd->bijhw", template, search)
    products = jnp.pad(products, ((0, 0), (0, 0), (0, 0), *pad))
    batch, rows, columns, height, width = products.shape
    area = height * width
    # Cell (h, w) = (u + i, v + j) of a flat map lies j cells and i rows after (u, v).
    by_row = diagonal_sum(products.reshape(batch * rows, columns, area), step=1)
    total = diagonal_sum(by_row.reshape(batch, rows, area), step=width)
    maps = total.reshape(batch, height, width)
    return maps[:, : height - rows + 1, : width - columns + 1]


def _by_fourier(search: jax.Array, template: jax.Array) -> jax.Array:
    """Applies the correlation theorem; the wrap-around reaches no valid cell."""
    rows, columns = template.shape[1:3]
    height, width = search.shape[1:3]
    # XLA has no Fourier transform of half precision.
    wide = search.dtype if search.dtype.itemsize >= 4 else jnp.float32
    image = jnp.fft.rfft2(search.astype(wide), axes=(1, 2))
    kernel = jnp.fft.rfft2(template.astype(wide), s=(height, width), axes=(1, 2))
    spectrum = jnp.sum(image * jnp.conj(kernel), axis=-1)
    maps = jnp.fft.irfft2(spectrum, s=(height, width), axes=(1, 2))
    return maps[:, : height - rows + 1, : width - columns + 1].astype(search.dtype)


def diagonal_sum(
    maps: Float[jax.Array, "b k size"], *, step: int
) -> Float[jax.Array, "b size"]:
    """Returns sum_k maps[:, k, p + k step] at each p.

    Only cells p for which no term runs off the end are right. Rows of `size` cells that
    are read with stride `size + step` each start `step` cells further on, which gives
    diagonals without a gather.
    """
    batch, count, size = maps.shape
    flat = jnp.pad(maps.reshape(batch, count * size), ((0, 0), (0, count * step)))
    return jnp.sum(flat.reshape(batch, count, size + step), axis=1)[:, :size]
