"""Convolution and max pooling, each in several formulations behind one function.

XLA's CPU convolution may run a batch larger than 1 on one thread, a grouped convolution
slower still, and the gradient of its max pooling one element at a time. The
formulations below avoid that; `scripts/bench_conv.py` times them, and `ops.kernels`
chooses. On accelerators XLA's own operations are the default.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.ops.kernels import Formulation, fastest_passes
from dst_jax.typing import Array, Float

PoolFormulation = Literal["lax", "shifted"]


class _Steps(NamedTuple):
    """How a kernel moves over a map, in both directions.

    Attributes:
      stride: Cells from one place of the kernel to the next.
      dilation: Cells from one of its taps to the next.
    """

    stride: int
    dilation: int

    def places(self, length: int, taps: int) -> int:
        """Returns the number of places of a kernel of `taps` along `length` cells."""
        return (length - self.dilation * (taps - 1) - 1) // self.stride + 1


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw i d"],
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
    dilation: int = 1,
    formulation: Formulation | tuple[Formulation, ...] | None = None,
) -> Float[Array, "b u v d"]:
    """Correlates images with a kernel, as `lax.conv_general_dilated` does.

    "lax" is XLA's convolution of the whole batch. "per_example" takes one convolution
    per example and group. "stacked" stacks all examples into one tall image, takes one
    convolution per group and drops results that straddle two examples. "im2col" takes
    one matrix product of horizontally shifted copies per kernel row.

    Args:
      x: Images or feature maps, channels last.
      kernel: Weights; `i` is c / groups.
      stride: Step in both directions, cells.
      padding: Zeros added on each side, or before and after; negative padding crops.
      groups: Number of groups into which input and output channels are split.
      dilation: Cells from one tap of the kernel to the next.
      formulation: Way of computing it, or one for each of `kernels.PASSES`, which
        allows reverse-mode derivatives only; None takes the fastest for the kernels
        of the program.

    Returns:
      Feature maps of side (h + 2 padding - dilation (kh - 1) - 1) // stride + 1.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    if before or after:
        edges = [(0, 0, 0), (before, after, 0), (before, after, 0), (0, 0, 0)]
        x = jax.lax.pad(jnp.asarray(x), jnp.zeros((), x.dtype), edges)
    steps = _Steps(stride, dilation)
    sides = map(steps.places, x.shape[1:3], kernel.shape[:2])
    inputs, cells = kernel.shape[2], math.prod(sides)
    passes = formulation or fastest_passes(
        batch=x.shape[0], inputs=inputs, groups=groups, cells=cells
    )
    passes = (passes,) if isinstance(passes, str) else passes
    if len(set(passes)) == 1:
        return _convolved(passes[0], x, kernel, steps, groups)
    return _by_pass(x, kernel, steps, groups, passes)


def max_pool(
    x: Float[Array, "b h w c"],
    *,
    window: int,
    stride: int,
    padding: int = 0,
    formulation: PoolFormulation | None = None,
) -> Float[Array, "b u v c"]:
    """Returns the largest value of each window.

    "lax" is XLA's `reduce_window`; "shifted" takes the maximum of strided slices. In
    both the first of equal values of a window, in reading order, receives the whole
    gradient. "shifted" has reverse-mode derivatives only.

    Args:
      x: Feature maps, channels last.
      window: Side of the windows, cells.
      stride: Step between windows, cells.
      padding: Cells added on each side, at most half a window. They are below every
        number, so that they neither win nor receive a gradient.
      formulation: Way of computing it; None chooses for the backend.

    Returns:
      Feature maps of side (h + 2 padding - window) // stride + 1.
    """
    if padding:
        edge = (padding, padding, 0)
        lowest = jnp.full((), -jnp.inf, x.dtype)
        x = jax.lax.pad(x, lowest, [(0, 0, 0), edge, edge, (0, 0, 0)])
    on_cpu = jax.default_backend() == "cpu"
    if (formulation or ("shifted" if on_cpu else "lax")) == "shifted":
        return _shifted_max(jnp.asarray(x), window, stride)
    sizes, steps = (1, window, window, 1), (1, stride, stride, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, sizes, steps, "VALID")


def _convolved(
    formulation: Formulation, x: Array, kernel: Array, steps: _Steps, groups: int
) -> jax.Array:
    if formulation == "lax":
        return _lax(x, kernel, steps, groups)
    return _split_groups(_DENSE[formulation], x, kernel, steps, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _by_pass(
    x: jax.Array, kernel: jax.Array, steps: _Steps, groups: int, passes: tuple[Any, ...]
) -> jax.Array:
    return _convolved(passes[0], x, kernel, steps, groups)


def _by_pass_forward(
    x: jax.Array, kernel: jax.Array, steps: _Steps, groups: int, passes: tuple[Any, ...]
) -> tuple[Any, Any]:
    return _convolved(passes[0], x, kernel, steps, groups), (x, kernel)


def _by_pass_backward(
    steps: _Steps, groups: int, passes: tuple[Any, ...], operands: Any, gradient: Array
) -> tuple[jax.Array, jax.Array]:
    # A convolution is linear in each operand: nothing is computed forward again.
    x, kernel = operands
    _, of_input = jax.vjp(lambda a: _convolved(passes[1], a, kernel, steps, groups), x)
    _, of_kernel = jax.vjp(lambda k: _convolved(passes[2], x, k, steps, groups), kernel)
    return *of_input(gradient), *of_kernel(gradient)


_by_pass.defvjp(_by_pass_forward, _by_pass_backward)


def _lax(x: Array, kernel: Array, steps: _Steps, groups: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        jnp.asarray(x),
        jnp.asarray(kernel),
        (steps.stride, steps.stride),
        "VALID",
        rhs_dilation=(steps.dilation, steps.dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _split_groups(
    dense: Callable[..., jax.Array], x: Array, kernel: Array, steps: _Steps, groups: int
) -> jax.Array:
    """Applies a dense convolution to each group of channels."""
    if groups == 1:
        return dense(x, kernel, steps)
    inputs = jnp.split(x, groups, axis=-1)
    kernels = jnp.split(kernel, groups, axis=-1)
    parts = [dense(i, k, steps) for i, k in zip(inputs, kernels, strict=True)]
    return jnp.concatenate(parts, axis=-1)


def _per_example(x: Array, kernel: Array, steps: _Steps) -> jax.Array:
    # The gradient of a split is one concatenation; that of indexing is many pads.
    examples = jnp.split(x, x.shape[0], axis=0)
    rows = [_lax(example, kernel, steps, 1) for example in examples]
    return jnp.concatenate(rows, axis=0)


def _stacked(x: Array, kernel: Array, steps: _Steps) -> jax.Array:
    batch, height, width, channels = x.shape
    rows = -(-height // steps.stride)
    fill = rows * steps.stride - height
    x = jnp.pad(x, ((0, 0), (0, fill), (0, 0), (0, 0)))
    tall = x.reshape(1, batch * rows * steps.stride, width, channels)
    y = _lax(tall, kernel, steps, 1)
    y = jnp.pad(y, ((0, 0), (0, batch * rows - y.shape[1]), (0, 0), (0, 0)))
    valid = steps.places(height, kernel.shape[0])
    return y.reshape(batch, rows, *y.shape[2:])[:, :valid]


def _im2col(x: Array, kernel: Array, steps: _Steps) -> jax.Array:
    side, width, inputs, outputs = kernel.shape
    stride, apart = steps
    rows, columns = steps.places(x.shape[1], side), steps.places(x.shape[2], width)
    shifted = [_every(x, 2, j * apart, columns, stride) for j in range(width)]
    wide = jnp.concatenate(shifted, axis=-1)
    total = jnp.zeros((), x.dtype)
    for i in range(side):
        weights = kernel[i].reshape(width * inputs, outputs)
        total = total + _every(wide, 1, i * apart, rows, stride) @ weights
    return total


_DENSE: dict[str, Callable[..., jax.Array]] = {
    "per_example": _per_example,
    "stacked": _stacked,
    "im2col": _im2col,
}


def _every(x: Array, axis: int, start: int, steps: int, stride: int) -> jax.Array:
    """Returns `steps` slices along `axis`, from `start` on, `stride` apart."""
    limit = start + (steps - 1) * stride + 1
    return jax.lax.slice_in_dim(x, start, limit, stride, axis)


def _windows(x: jax.Array, window: int, stride: int) -> list[jax.Array]:
    """Returns each cell of a window, in reading order, as a map over all windows."""
    rows = (x.shape[1] - window) // stride + 1
    columns = (x.shape[2] - window) // stride + 1
    return [
        _every(_every(x, 1, i, rows, stride), 2, j, columns, stride)
        for i in range(window)
        for j in range(window)
    ]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _shifted_max(x: jax.Array, window: int, stride: int) -> jax.Array:
    return _shifted_max_forward(x, window, stride)[0]


def _shifted_max_forward(x: jax.Array, window: int, stride: int) -> tuple[Any, Any]:
    first, *others = _windows(x, window, stride)
    largest, winner = first, jnp.zeros(first.shape, jnp.int32)
    for index, cell in enumerate(others, start=1):
        winner = jnp.where(cell > largest, index, winner)
        largest = jnp.maximum(largest, cell)
    # The barrier keeps XLA from computing the winner anew for each use of it.
    winner = jax.lax.optimization_barrier(winner.astype(jnp.int8))
    return largest, (winner, x)


def _shifted_max_backward(
    window: int, stride: int, residuals: tuple[jax.Array, jax.Array], gradient: Array
) -> tuple[jax.Array]:
    """Returns the gradient of the maps: every cell collects from the windows it won.

    Cells are grouped by their place modulo the stride: those of one residue class
    lie in the windows at a few fixed offsets, so that all reads are plain slices.
    """
    winner, x = residuals
    planes = [
        _residue_plane(winner, jnp.asarray(gradient), x.shape, window, stride, row, col)
        for row in range(stride)
        for col in range(stride)
    ]
    batch, rows, columns, channels = planes[0].shape
    grid = jnp.stack(planes).reshape(stride, stride, batch, rows, columns, channels)
    dense = grid.transpose(2, 3, 0, 4, 1, 5)
    dense = dense.reshape(batch, rows * stride, columns * stride, channels)
    return (dense[:, : x.shape[1], : x.shape[2]],)


def _residue_plane(
    winner: jax.Array,
    gradient: jax.Array,
    shape: tuple[int, ...],
    window: int,
    stride: int,
    row: int,
    column: int,
) -> jax.Array:
    """Returns the gradient of the cells (row + stride u, column + stride v)."""
    reach = (window - 1) // stride
    sides = [-(-side // stride) for side in shape[1:3]]
    counts = gradient.shape[1:3]
    edges = [(reach, side - n, 0) for side, n in zip(sides, counts, strict=True)]
    edges = [(0, 0, 0), *edges, (0, 0, 0)]
    zero = jnp.zeros((), gradient.dtype)
    # Pads inside a loop are slow on the CPU; the barrier makes XLA write them first.
    won, flow = jax.lax.optimization_barrier(
        (
            jax.lax.pad(winner, jnp.int8(-1), edges),
            jax.lax.pad(gradient, zero, edges),
        )
    )
    total = jnp.zeros((shape[0], *sides, shape[3]), gradient.dtype)
    for i in range(row, window, stride):
        for j in range(column, window, stride):
            top, left = reach - i // stride, reach - j // stride
            here = (
                ...,
                slice(top, top + sides[0]),
                slice(left, left + sides[1]),
                slice(None),
            )
            total = total + jnp.where(won[here] == i * window + j, flow[here], zero)
    return jax.lax.optimization_barrier(total)


_shifted_max.defvjp(_shifted_max_forward, _shifted_max_backward)
