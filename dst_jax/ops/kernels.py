"""Decides by what kernels a program computes: options of the compiler, formulations.

Stock jaxlib hands convolutions on a CPU to YNNPACK before oneDNN or Eigen, which are
faster here, get to see them. Options say otherwise, for a whole program: `compiled` is
`jax.jit` with these, and all that is slow is compiled by it. Within a program each pass
of a convolution is steered by its formulation. The tables below follow
`scripts/bench_conv.py --passes` of 2026-11-26 (two cores with AVX-512, float32, jax
0.10.2 and 0.12.0.1). `DST_JAX_KERNELS` names another kind than the fastest.
"""

import contextvars
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from dst_jax.arch.spec import TrackerSpec
from dst_jax.errors import InputError

Formulation: TypeAlias = Literal["lax", "per_example", "stacked", "im2col"]
Kind: TypeAlias = Literal["onednn", "eigen", "ynnpack", "accelerator"]

VARIABLE = "DST_JAX_KERNELS"
PASSES = ("forward", "input_gradient", "kernel_gradient")
# The options of each kind, all experimental to XLA. Programs with oneDNN's kernels
# cannot be kept in JAX's cache of compiled programs; the others can.
OPTIONS: Mapping[Kind, Mapping[str, Any]] = {
    "onednn": {
        "xla_cpu_experimental_onednn_custom_call": True,
        "xla_cpu_experimental_ynn_fusion_type": "",
    },
    "eigen": {"xla_cpu_experimental_ynn_fusion_type": ""},
    "ynnpack": {},
}
# The fastest formulations where a pass has another than "lax". YNNPACK's depend on the
# batch, see `fastest_passes`.
FASTEST: Mapping[Kind, Mapping[str, tuple[Formulation, ...]]] = {
    "onednn": {"grouped": ("lax", "lax", "stacked")},
    "eigen": {
        "image": ("stacked", "stacked", "lax"),
        "grouped": ("stacked", "stacked", "per_example"),
    },
}
_IMAGE_CHANNELS = 3  # so few that products of shifted copies are too thin
_MAX_UNROLLED = 8  # examples; more of them cost more compilation than they save
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


def chosen_kernels(*, fastest: Kind = "onednn") -> Kernels:
    """Returns the kernels of this backend, or those that `VARIABLE` names.

    Args:
      fastest: The kind for a CPU if the variable is not set; where jaxlib has no such
        kernels, they are those that it has.

    Raises:
      InputError: If it names none.
    """
    wanted = os.environ.get(VARIABLE) or fastest
    if wanted not in OPTIONS:
        raise InputError(f"{VARIABLE}={wanted}: there is {', '.join(OPTIONS)}.")
    return _found_kernels(wanted)


@functools.cache
def _found_kernels(wanted: Kind) -> Kernels:
    """Returns the kernels that a convolution gets which is compiled for `wanted`."""
    if jax.default_backend() != "cpu":
        return Kernels("accelerator")
    options = OPTIONS[wanted]
    try:
        return Kernels(kernel_of(_probe(options)), tuple(options.items()))
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        _log.warning("convolutions may be slow, jaxlib refuses an option: %s", reason)
        return Kernels(kernel_of(_probe({})))


def kernels_for(*specs: TrackerSpec) -> Kernels:
    """Returns the fastest kernels for a program with these networks.

    A transformer multiplies few tokens by large matrices. oneDNN's kernels first copy
    a matrix into an order of their own, at each product, unless it is a constant of
    the program; Eigen's do not.

    Args:
      specs: The networks.
    """
    tokens = any(spec.head.one_stream for spec in specs)
    return chosen_kernels(fastest="eigen" if tokens else "onednn")


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
    kernels: Kernels | None = None,
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> Any:
    """Returns `jax.jit(function, **how)` for some kernels and further options.

    Args:
      function: The function.
      kernels: The kernels, see `kernels_for`; None for `chosen_kernels`.
      options: Options of the compiler beside theirs.
      **how: Further arguments of `jax.jit`.
    """
    chosen = kernels or chosen_kernels()
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
    kind, image = kernels().kind, inputs <= _IMAGE_CHANNELS
    if kind == "ynnpack":
        if 1 < batch and cells <= _FEW_CELLS and not image:
            return ("im2col",) * 3
        many: Formulation = "lax" if image else "im2col"
        return ("per_example" if batch <= _MAX_UNROLLED else many,) * 3
    shape = "image" if image else "grouped" if groups > 1 else "dense"
    return FASTEST.get(kind, {}).get(shape, ("lax",) * 3)


def kernel_of(program: str) -> Kind:
    """Returns what library the text of a program, compiled for a CPU, calls."""
    if "__onednn$convolution" in program:
        return "onednn"
    return "ynnpack" if "ynn_fusion" in program else "eigen"


def _probe(options: Mapping[str, Any]) -> str:
    """Returns the program of a small convolution."""
    correlate = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    shapes = ((1, 16, 16, 16), (3, 3, 16, 32))
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    program = jax.jit(correlate, compiler_options=dict(options) or None)
    return program.lower(*arrays).compile().as_text() or ""
