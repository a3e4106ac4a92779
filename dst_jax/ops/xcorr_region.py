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

`xcorr_depthwise` takes these, two such cores again, JAX 0.12.0.1 with oneDNN's kernels
(`--only depthwise`; search map of 29 x 29, kernels of 5 x 5, as SiamRPN++ has them in
training on three levels and two branches):

    batch, width            conv         unrolled      shifted       matmul
    1, 256                .16   .84     .13    .50    .21   .95    2.1     10
    8, 256                6.3    49     2.1     17    1.7    19     72    320
    28, 256                             7.2     97    3.2    92
    8, 256, six calls                    43    166     12    187
    8, 1536, one call                    56    194     34    307

So the levels stay apart: joined, their maps leave the cache. The gradients are in
closed form; XLA's own of "shifted" took 208 ms at batch 8, of "unrolled" 135, of "conv"
1,740. With Eigen's or YNNPACK's kernels, "shifted" takes as long and convolutions 20 to
80 times as long, so that it is the default of every CPU.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.errors import InputError
from dst_jax.ops.xcorr import diagonal_sum
from dst_jax.typing import Array, Float

UpFormulation: TypeAlias = Literal["conv", "unrolled", "im2col", "matmul"]
DepthwiseFormulation: TypeAlias = Literal["conv", "unrolled", "shifted", "matmul"]

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
      formulation: "conv" (one grouped convolution), "unrolled" (one for each example),
        "shifted" (a sum of products of shifted maps) or "matmul" (one matrix product
        for each channel); None takes the fastest for this backend.

    Returns:
      One map per example, with as many channels as the search map. It has reverse-mode
      derivatives only, in the same formulation.

    Raises:
      InputError: If the template is larger than the search map.
    """
    _check(search, template)
    search, template = jnp.asarray(search), jnp.asarray(template)
    template = jnp.broadcast_to(template, (search.shape[0], *template.shape[1:]))
    return _depthwise(formulation or default_depthwise_formulation(), search, template)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _depthwise(
    formulation: DepthwiseFormulation, search: jax.Array, template: jax.Array
) -> jax.Array:
    return _DEPTHWISE[formulation](search, template)


def _depthwise_forward(
    formulation: DepthwiseFormulation, search: jax.Array, template: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _depthwise(formulation, search, template), (search, template)


def _depthwise_backward(
    formulation: DepthwiseFormulation,
    operands: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns both gradients, which are such correlations too.

    What XLA makes of the derivative of each formulation takes 20 to 200 times as long.
    """
    search, template = operands
    rows, columns = (side - 1 for side in template.shape[1:3])
    padded = jnp.pad(gradient, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    correlate = _DEPTHWISE[formulation]
    return correlate(padded, template[:, ::-1, ::-1]), correlate(search, gradient)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _depthwise_by_groups(search: jax.Array, template: jax.Array) -> jax.Array:
    batch, height, width, depth = search.shape
    side = template.shape[1:3]
    wide = search.transpose(1, 2, 0, 3).reshape(1, height, width, batch * depth)
    kernel = template.transpose(1, 2, 0, 3).reshape(*side, 1, batch * depth)
    found = _conv(wide, kernel, groups=batch * depth)
    return found.reshape(*found.shape[1:3], batch, depth).transpose(2, 0, 1, 3)


def _depthwise_by_example(search: jax.Array, template: jax.Array) -> jax.Array:
    depth = search.shape[-1]
    rows = [
        _conv(x[None], z[:, :, None], groups=depth)
        for x, z in zip(search, template, strict=True)
    ]
    return jnp.concatenate(rows, axis=0)


def _depthwise_by_shifts(search: jax.Array, template: jax.Array) -> jax.Array:
    height, width = search.shape[1:3]
    rows, columns = template.shape[1:3]
    sides = height - rows + 1, width - columns + 1
    if rows * columns > sides[0] * sides[1]:
        return _depthwise_by_kernel_rows(search, template)
    total = jnp.zeros((), search.dtype)
    for i in range(rows):
        for j in range(columns):
            window = search[:, i : i + sides[0], j : j + sides[1]]
            total = total + window * template[:, i : i + 1, j : j + 1]
    return total


def _depthwise_by_kernel_rows(search: jax.Array, template: jax.Array) -> jax.Array:
    """Adds up one kernel row after the other, for kernels larger than the result.

    The gradient of a small kernel is such a correlation: it would have hundreds of
    shifted products, but few shifts of a row.
    """
    batch, height, width, depth = search.shape
    rows, columns = template.shape[1:3]
    sides = height - rows + 1, width - columns + 1

    def add(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        window = jax.lax.dynamic_slice_in_dim(search, i, sides[0], axis=1)
        row = jax.lax.dynamic_slice_in_dim(template, i, 1, axis=1)
        found = [
            jnp.sum(window[:, :, v : v + columns] * row, axis=2)
            for v in range(sides[1])
        ]
        return total + jnp.stack(found, axis=2), None

    nothing = jnp.zeros((batch, *sides, depth), search.dtype)
    return jax.lax.scan(add, nothing, jnp.arange(rows))[0]


def _depthwise_by_matmul(search: jax.Array, template: jax.Array) -> jax.Array:
    """Multiplies rows of the search map with bands that hold the kernel's rows."""
    height, width = search.shape[1:3]
    rows, columns = template.shape[1:3]
    sides = height - rows + 1, width - columns + 1
    tap = np.arange(width)[:, None] - np.arange(sides[1])[None, :]
    inside = jnp.asarray((tap >= 0) & (tap < columns))[None, None, :, :, None]
    bands = template[:, :, np.clip(tap, 0, columns - 1)]
    bands = jnp.where(inside, bands, jnp.zeros((), template.dtype))
    shifted = jnp.stack([search[:, i : i + sides[0]] for i in range(rows)], axis=1)
    return jnp.einsum("biuwd,biwvd->buvd", shifted, bands)


_DEPTHWISE: Mapping[
    DepthwiseFormulation, Callable[[jax.Array, jax.Array], jax.Array]
] = {
    "conv": _depthwise_by_groups,
    "unrolled": _depthwise_by_example,
    "shifted": _depthwise_by_shifts,
    "matmul": _depthwise_by_matmul,
}
