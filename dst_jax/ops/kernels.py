"""Decides by what kernels a program computes: options of compilers and formulations.

Stock jaxlib hands convolutions on a CPU to YNNPACK before oneDNN, whose kernels lie in
the same wheel and are faster, gets to see them. Options say otherwise, for a whole
program: `compiled` is `jax.jit` with these, and everything slow is compiled by it.
Within a program each pass of a convolution is steered by its formulation, `FASTEST`.

What is written here is read off `scripts/bench_conv.py --passes`, last run on
2026-11-26 on two cores with AVX-512 (jax 0.10.2 and 0.12.0.1, float32).
"""

import contextvars
import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

Formulation: TypeAlias = Literal["lax", "per_example", "stacked", "im2col"]
Kind: TypeAlias = Literal["onednn", "eigen", "ynnpack", "accelerator"]
Shape: TypeAlias = Literal["image", "grouped", "dense"]

PASSES = ("forward", "input_gradient", "kernel_gradient")
# Both are experimental to XLA: where one is unknown, all are left out.
OPTIONS: Mapping[str, Any] = {
    "xla_cpu_experimental_onednn_custom_call": True,
    "xla_cpu_experimental_ynn_fusion_type": "",
}
# The fastest formulation of each pass. YNNPACK's depends on the batch: `_of_ynnpack`.
FASTEST: Mapping[Kind, Mapping[Shape, tuple[Formulation, ...]]] = {
    "onednn": {
        "image": ("stacked", "per_example", "per_example"),
        "grouped": ("lax", "lax", "stacked"),
        "dense": ("lax", "lax", "lax"),
    },
    "eigen": {
        "image": ("stacked", "stacked", "lax"),
        "grouped": ("stacked", "stacked", "per_example"),
        "dense": ("lax", "lax", "lax"),
    },
}
# An image has so few channels that products of its shifted copies are too thin.
_IMAGE_CHANNELS = 3
# Unrolling more examples than this costs more compilation than it saves.
_MAX_UNROLLED = 8
# Maps of at most this many cells are small beside the kernel, which "per_example" would
# read, and its gradient write, anew for each example: 185 ms against 45 ms of "im2col"
# (batch 8, 4 x 4 cells, 128 to 2560 channels, both gradients).
_FEW_CELLS = 100
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Kernels:
    """What a program's convolutions are computed by.

    Attributes:
      kind: The library, or "accelerator" for anything but a CPU.
      options: Options of the compiler as (name, value), for a whole program.
    """

    kind: Kind
    options: tuple[tuple[str, Any], ...] = ()


_TRACED: contextvars.ContextVar[Kernels | None] = contextvars.ContextVar(
    "kernels", default=None
)


@functools.cache
def fastest_kernels() -> Kernels:
    """Returns the fastest kernels of this backend, found by compiling a convolution.

    Options that this jaxlib does not know are left out, with one line in the log.
    """
    if jax.default_backend() != "cpu":
        return Kernels("accelerator")
    try:
        return Kernels(kernel_of(_probe(OPTIONS)), tuple(OPTIONS.items()))
    except jax.errors.JaxRuntimeError as error:
        _log.warning(
            "this jaxlib has no option to choose kernels (%s); convolutions may be "
            "slower than need be.",
            str(error).splitlines()[0],
        )
        return Kernels(kernel_of(_probe({})))


def kernels() -> Kernels:
    """Returns the kernels of the program that is being traced.

    Outside of `compiled` they are those of a program without options.
    """
    plain: Kind = "ynnpack" if jax.default_backend() == "cpu" else "accelerator"
    return _TRACED.get() or Kernels(plain)


def suiting(function: Callable[..., Any], chosen: Kernels) -> Callable[..., Any]:
    """Returns the function with convolutions that suit `chosen` when it is traced."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        token = _TRACED.set(chosen)
        try:
            return function(*args, **kwargs)
        finally:
            _TRACED.reset(token)

    return traced


def compiled(
    function: Callable[..., Any],
    *,
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> Any:
    """Returns the function compiled by `jax.jit` for the fastest kernels.

    Args:
      function: A pure function of arrays.
      options: Further options of the compiler.
      **how: Other arguments of `jax.jit`.
    """
    chosen = fastest_kernels()
    together = dict(chosen.options) | dict(options or {})
    return jax.jit(suiting(function, chosen), compiler_options=together or None, **how)


def fastest_passes(
    *, batch: int, inputs: int, groups: int, cells: int
) -> tuple[Formulation, ...]:
    """Returns the fastest formulation of each of `PASSES`.

    Args:
      batch: Number of images.
      inputs: Input channels of one of the `groups`.
      groups: Number of groups.
      cells: Cells of one image's result.
    """
    kind = kernels().kind
    if kind == "accelerator":
        return ("lax",) * len(PASSES)
    if kind == "ynnpack":
        return (_of_ynnpack(batch, inputs, cells),) * len(PASSES)
    dense: Shape = "grouped" if groups > 1 else "dense"
    return FASTEST[kind]["image" if inputs <= _IMAGE_CHANNELS else dense]


def kernel_of(program: str) -> Kind:
    """Returns what library the text of a program, compiled for a CPU, calls."""
    if "__onednn$convolution" in program:
        return "onednn"
    return "ynnpack" if "ynn_fusion" in program else "eigen"


def _of_ynnpack(batch: int, inputs: int, cells: int) -> Formulation:
    if 1 < batch and cells <= _FEW_CELLS and inputs > _IMAGE_CHANNELS:
        return "im2col"
    if batch <= _MAX_UNROLLED:
        return "per_example"
    return "im2col" if inputs > _IMAGE_CHANNELS else "lax"


def _probe(options: Mapping[str, Any]) -> str:
    def correlate(x: Any, kernel: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=layout
        )

    shapes = ((1, 16, 16, 16), (3, 3, 16, 32))
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    program = jax.jit(correlate, compiler_options=dict(options))
    return program.lower(*arrays).compile().as_text() or ""
