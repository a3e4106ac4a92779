"""Cross-correlation of a search map with a template map (eq. 1).

One function, several formulations of the same sum; which is fastest depends on the
backend, so the default is chosen by `scripts/bench_xcorr.py`.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float

Formulation: TypeAlias = Literal["conv", "unrolled", "matmul"]

_DEFAULT: dict[str, Formulation] = {"cpu": "matmul", "gpu": "matmul", "tpu": "conv"}

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def xcorr(
    search: Float[Array, "b h w d"],
    template: Float[Array, "#b i j d"],
    *,
    formulation: Formulation | None = None,
) -> Float[Array, "b h-i+1 w-j+1"]:
    r"""Slides each template over its own search map; no padding, one channel out.

    .. math:: S[u, v] = \sum_{i,j,d} x[u + i, v + j, d] \, z[i, j, d]

    Args:
      search: Feature maps of the search images.
      template: Feature maps that serve as kernels, no larger than the search maps;
        one per example, or a single one for all of them.
      formulation: "conv" (one grouped convolution), "unrolled" (one convolution
        per example) or "matmul" (all products by one matrix product, then a sum
        along diagonals). None takes the backend's fastest.

    Returns:
      One response map per example, unscaled.

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
    chosen = formulation or _DEFAULT.get(jax.default_backend(), "conv")
    if chosen == "matmul":
        return _by_matmul(search, template, pad=((0, 0), (0, 0)))
    if chosen == "unrolled":
        return _by_example(search, template)
    return _by_convolution(search, template)


def xcorr_same(
    search: Float[Array, "b h w d"],
    template: Float[Array, "#b i j d"],
    *,
    formulation: Formulation | None = None,
) -> Float[Array, "b h w"]:
    """`xcorr` with zeros around the search map, so that the size is kept.

    An even template has no centre cell; then (i - 1) // 2 zeros come before and the
    rest after (6 x 6: two before, three after).

    Args:
      search: Feature maps of the search images.
      template: Feature maps that serve as kernels, of any size.
      formulation: As in `xcorr`.

    Returns:
      One map per example, of the size of the search map.
    """
    pad = [((side - 1) // 2, side // 2) for side in template.shape[1:3]]
    chosen = formulation or _DEFAULT.get(jax.default_backend(), "conv")
    if chosen == "matmul":
        # Zeros are added to the products: many fewer of them than of features.
        return _by_matmul(search, template, pad=(pad[0], pad[1]))
    padded = jnp.pad(search, ((0, 0), *pad, (0, 0)))
    return xcorr(padded, template, formulation=formulation)


def _by_convolution(search: jax.Array, template: jax.Array) -> jax.Array:
    """One convolution; examples become groups when each has its own kernel."""
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
    """One convolution per example: XLA runs a batch of one on all CPU threads."""
    rows = [
        _by_convolution(search[n : n + 1], template[m : m + 1])
        for n in range(search.shape[0])
        for m in [n if template.shape[0] > 1 else 0]
    ]
    return jnp.concatenate(rows, axis=0)


def _by_matmul(search: Array, template: Array, *, pad: tuple) -> Array:
    """All products <x[h, w], z[i, j]> at once; the sum along i, j is two skews."""
    if template.shape[0] == 1:
        products = jnp.einsum("ijd,bhwd->bijhw", template[0], search)
    else:
        products = jnp.einsum("bijd,bhwd->bijhw", template, search)
    products = jnp.pad(products, ((0, 0), (0, 0), (0, 0), *pad))
    batch, rows, columns, height, width = products.shape
    area = height * width
    # Cell (h, w) = (u + i, v + j) of a flat map lies j cells and i rows after (u, v).
    by_row = _skewed_sum(products.reshape(batch * rows, columns, area), step=1)
    total = _skewed_sum(by_row.reshape(batch, rows, area), step=width)
    maps = total.reshape(batch, height, width)
    return maps[:, : height - rows + 1, : width - columns + 1]


def _skewed_sum(maps: Array, *, step: int) -> Array:
    """Returns sum_k maps[:, k, p + k step] at p, right where no term runs off.

    A row of `size` cells read with stride `size + step` starts `step` cells further
    on with every row: a diagonal without a gather.
    """
    batch, count, size = maps.shape
    flat = jnp.pad(maps.reshape(batch, count * size), ((0, 0), (0, count * step)))
    return jnp.sum(flat.reshape(batch, count, size + step), axis=1)[:, :size]
