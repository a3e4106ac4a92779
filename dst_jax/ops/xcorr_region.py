"""Correlations of region heads: a search map with kernels made of each template.

`xcorr_up` has several kernels for each example (SiamRPN), `xcorr_depthwise` one for
each channel (SiamRPN++). Each is one sum in several formulations.

`xcorr_up` takes these milliseconds, forward and forward with backward. The two CPU
cores had other work too, so only the comparison counts (`scripts/bench_xcorr.py --only
up`, float32, JAX 0.10.2; search map of 22 x 22, kernels of 4 x 4 cells):

    batch, width, kernels     conv         unrolled      im2col        matmul
    8, 256, 10              614  17400    191    361    480   1322    155    267
    8, 256, 20              631  17400     92    300    376   1380    128    368
    8, 512, 10                            274    771    877   2537    240    571
    8, 512, 20                            331    819   1005   2392    395    796
    1, 256, 20                            2.2     34    7.6     77    3.0    7.4
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.ops.xcorr import diagonal_sum
from dst_jax.typing import Array, Float

UpFormulation: TypeAlias = Literal["conv", "unrolled", "im2col", "matmul"]
DepthwiseFormulation: TypeAlias = Literal["conv", "shifted"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def xcorr_up(
    search: Float[Array, "b h w d"],
    kernels: Float[Array, "#b i j d o"],
    *,
    formulation: UpFormulation | None = None,
) -> Float[Array, "b h-i+1 w-j+1 o"]:
    r"""Slides every kernel of an example over its search map, without padding.

    .. math:: S[u, v, o] = \sum_{i,j,d} x[u + i, v + j, d] \, z[i, j, d, o]

    Args:
      search: Feature maps of the search images.
      kernels: Kernels made of the templates; one set for each example, or one for all.
      formulation: "conv" (one grouped convolution), "unrolled" (one convolution for
        each example), "im2col" (a matrix product of shifted copies) or "matmul" (all
        products by one matrix product, then a sum along diagonals); None takes the
        fastest for this backend.

    Returns:
      One map per kernel.

    Raises:
      InputError: If the kernels are larger than the search map.
    """
    _check(search, kernels)
    search, kernels = jnp.asarray(search), jnp.asarray(kernels)
    chosen = formulation or default_up_formulation()
    if chosen == "im2col":
        return _up_by_im2col(search, kernels)
    if chosen == "matmul":
        return _up_by_matmul(search, kernels)
    if kernels.shape[0] == 1:
        return _conv(search, kernels[0])
    kernels = jnp.broadcast_to(kernels, (search.shape[0], *kernels.shape[1:]))
    if chosen == "unrolled":
        rows = [_conv(x[None], z) for x, z in zip(search, kernels, strict=True)]
        return jnp.concatenate(rows, axis=0)
    return _up_by_groups(search, kernels)


def xcorr_depthwise(
    search: Float[Array, "b h w d"],
    template: Float[Array, "#b i j d"],
    *,
    formulation: DepthwiseFormulation | None = None,
) -> Float[Array, "b h-i+1 w-j+1 d"]:
    """Slides each channel of a template over the same channel of its search map.

    Args:
      search: Feature maps of the search images.
      template: Feature maps that serve as kernels; one per example, or one for all.
      formulation: "conv" (one grouped convolution) or "shifted" (a sum of products of
        shifted maps); None takes the fastest for this backend.

    Returns:
      One map per example, with as many channels as the search map.

    Raises:
      InputError: If the template is larger than the search map.
    """
    _check(search, template)
    search, template = jnp.asarray(search), jnp.asarray(template)
    if (formulation or default_depthwise_formulation()) == "shifted":
        return _depthwise_by_shifts(search, template)
    batch, height, width, depth = search.shape
    template = jnp.broadcast_to(template, (batch, *template.shape[1:]))
    side = template.shape[1:3]
    wide = search.transpose(1, 2, 0, 3).reshape(1, height, width, batch * depth)
    kernel = template.transpose(1, 2, 0, 3).reshape(*side, 1, batch * depth)
    found = _conv(wide, kernel, groups=batch * depth)
    return found.reshape(*found.shape[1:3], batch, depth).transpose(2, 0, 1, 3)


def default_up_formulation() -> UpFormulation:
    """Returns the formulation of `xcorr_up` that was fastest on this backend."""
    return "matmul" if jax.default_backend() == "cpu" else "unrolled"


def default_depthwise_formulation() -> DepthwiseFormulation:
    """Returns the formulation of `xcorr_depthwise` that is fastest on this backend."""
    return "shifted" if jax.default_backend() == "cpu" else "conv"


def _check(search: Array, kernels: Array) -> None:
    if any(s < t for s, t in zip(search.shape[1:3], kernels.shape[1:3], strict=True)):
        raise InputError(
            f"kernels of {kernels.shape[1:3]} are larger than the search map "
            f"{search.shape[1:3]}; use a larger search crop."
        )


def _conv(search: jax.Array, kernel: jax.Array, *, groups: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        search,
        kernel,
        (1, 1),
        "VALID",
        dimension_numbers=_LAYOUT,
        feature_group_count=groups,
    )


def _up_by_groups(search: jax.Array, kernels: jax.Array) -> jax.Array:
    batch, height, width, depth = search.shape
    _, rows, columns, _, outputs = kernels.shape
    wide = search.transpose(1, 2, 0, 3).reshape(1, height, width, batch * depth)
    kernel = kernels.transpose(1, 2, 3, 0, 4)
    kernel = kernel.reshape(rows, columns, depth, batch * outputs)
    found = _conv(wide, kernel, groups=batch)
    return found.reshape(*found.shape[1:3], batch, outputs).transpose(2, 0, 1, 3)


def _up_by_im2col(search: jax.Array, kernels: jax.Array) -> jax.Array:
    batch, height, width, depth = search.shape
    _, rows, columns, _, outputs = kernels.shape
    sides = height - rows + 1, width - columns + 1
    shifted = [search[:, :, j : j + sides[1]] for j in range(columns)]
    wide = jnp.concatenate(shifted, axis=-1)
    total = jnp.zeros((), search.dtype)
    for i in range(rows):
        cells = wide[:, i : i + sides[0]].reshape(batch, -1, columns * depth)
        weights = kernels[:, i].reshape(-1, columns * depth, outputs)
        total = total + cells @ weights
    return total.reshape(batch, *sides, outputs)


def _up_by_matmul(search: jax.Array, kernels: jax.Array) -> jax.Array:
    """Works as `xcorr` does; the kernels of an example lie side by side in one map."""
    batch, height, width, _ = search.shape
    _, rows, columns, _, outputs = kernels.shape
    if kernels.shape[0] == 1:
        products = jnp.einsum("ijdo,bhwd->bijohw", kernels[0], search)
    else:
        products = jnp.einsum("bijdo,bhwd->bijohw", kernels, search)
    size = outputs * height * width
    # Valid cells of a map never reach into the next kernel's.
    by_row = diagonal_sum(products.reshape(batch * rows, columns, size), step=1)
    total = diagonal_sum(by_row.reshape(batch, rows, size), step=width)
    maps = total.reshape(batch, outputs, height, width)
    maps = maps[:, :, : height - rows + 1, : width - columns + 1]
    return maps.transpose(0, 2, 3, 1)


def _depthwise_by_shifts(search: jax.Array, template: jax.Array) -> jax.Array:
    height, width = search.shape[1:3]
    rows, columns = template.shape[1:3]
    sides = height - rows + 1, width - columns + 1
    total = jnp.zeros((), search.dtype)
    for i in range(rows):
        for j in range(columns):
            window = search[:, i : i + sides[0], j : j + sides[1]]
            total = total + window * template[:, i : i + 1, j : j + 1]
    return total
