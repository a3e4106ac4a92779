"""`dst-jax info NAME --kernels` shows what computes each layer here, and how fast."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich import box
from rich.console import Console
from rich.table import Table

from dst_jax.arch import Convolution, TrackerSpec, chain_of
from dst_jax.ops.conv import conv2d
from dst_jax.ops.kernels import PASSES, chosen_kernels, compiled, kernel_of
from dst_jax.workflows.printing import say, shown

_REPEATS = 5
_NAMES = {"onednn": "oneDNN", "ynnpack": "YNNPACK", "eigen": "Eigen"}


class Timed(NamedTuple):
    """What one pass of a layer takes.

    Attributes:
      kernel: The library that the compiled program calls.
      gflops: Speed, 10^9 floating-point operations per second.
    """

    kernel: str
    gflops: float


def layers_of(spec: TrackerSpec) -> Iterator[tuple[Convolution, int]]:
    """Yields the backbone's convolutions of a search image in tracking.

    Yields:
      A convolution, and how many of its stage are equal to it; these are left out.

    Raises:
      InputError: If the backbone is a transformer.
    """
    chain = chain_of(spec, "The table of kernels")
    for stage in chain.convolutions(spec.input.search_px):
        alike = [one._replace(name="") for one in stage]
        for index, one in enumerate(stage):
            if alike[index] not in alike[:index]:
                yield one, alike.count(alike[index])


def timed_pass(layer: Convolution, which: str, *, batch: int) -> Timed:
    """Compiles one pass of a layer, runs it some times and returns what it took.

    Args:
      layer: The layer.
      which: One of `ops.kernels.PASSES`.
      batch: Number of images.
    """
    conv = layer.conv
    x = jnp.ones((batch, layer.side, layer.side, layer.inputs))
    per_group = layer.inputs // conv.groups
    kernel = jnp.ones((conv.kernel, conv.kernel, per_group, conv.features))

    def forward(x: Any, kernel: Any) -> Any:
        edges = conv.padding, conv.padding - conv.trim
        return conv2d(
            x,
            kernel,
            stride=conv.stride,
            padding=edges,
            groups=conv.groups,
            dilation=conv.dilation,
        )

    y = jax.eval_shape(forward, x, kernel)
    gradient = jnp.ones(y.shape, y.dtype)
    passes: dict[str, Callable[..., Any]] = {
        "forward": lambda x, k, g: forward(x, k),
        "input_gradient": lambda x, k, g: jax.vjp(lambda a: forward(a, k), x)[1](g),
        "kernel_gradient": lambda x, k, g: jax.vjp(lambda b: forward(x, b), k)[1](g),
    }
    program = compiled(passes[which]).lower(x, kernel, gradient).compile()
    jax.block_until_ready(program(x, kernel, gradient))
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(program(x, kernel, gradient))
        seconds.append(time.perf_counter() - began)
    gflop = 2e-9 * y.size * conv.kernel**2 * per_group
    return Timed(_called(program.as_text() or ""), gflop / statistics.median(seconds))


def print_kernels(spec: TrackerSpec, console: Console, *, batch: int) -> None:
    """Prints the kernel and the speed of every pass of every layer.

    Args:
      spec: The architecture.
      console: Console to print on.
      batch: Number of images.
    """
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("layer", no_wrap=True)
    for heading in PASSES:
        table.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
    for layer, count in layers_of(spec):
        cells = []
        for which in PASSES:
            of_image = layer.side == spec.input.search_px and layer.inputs == 3
            if which == "input_gradient" and of_image:
                cells.append("")  # an image needs none
                continue
            found = timed_pass(layer, which, batch=batch)
            cells.append(f"{found.kernel} {found.gflops:,.0f}")
        more = f" x{count}" if count > 1 else ""
        table.add_row(shown(f"{layer.name}{more}"), *cells)
    console.print(table)
    chosen, device = chosen_kernels(), jax.devices()[0]
    say(
        console,
        f"GFLOP/s of {batch} images of {spec.input.search_px} px on "
        f"{device.device_kind}, the medians of {_REPEATS} runs; kernels of "
        f"{_NAMES.get(chosen.kind, device.platform)}.",
    )


def _called(program: str) -> str:
    """Returns the name of the library that a compiled program's convolutions call."""
    if jax.default_backend() == "cpu":
        return _NAMES[kernel_of(program)]
    return "cuDNN" if "__cudnn$conv" in program else "XLA"
