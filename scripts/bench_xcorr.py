"""Times the formulations of `dst_jax.ops.xcorr` on the backend at hand.

Run: python scripts/bench_xcorr.py
The table of the CPU stands in `dst_jax/ops/xcorr.py`; when another formulation wins,
change both the table and the default there.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dst_jax.ops.xcorr import Formulation, xcorr, xcorr_same

FORMULATIONS: tuple[Formulation, ...] = ("conv", "unrolled", "matmul", "fft")

# name, function, search [b h w d], template [b i j d]
CASES = (
    ("response, batch 8", xcorr, (8, 22, 22, 256), (8, 6, 6, 256)),
    ("response, 3 scales", xcorr, (3, 22, 22, 256), (1, 6, 6, 256)),
    ("W of conv4, batch 8", xcorr_same, (8, 24, 24, 384), (8, 10, 10, 384)),
    ("W of conv2, batch 8", xcorr_same, (8, 53, 53, 256), (8, 25, 25, 256)),
    ("W of conv1, batch 8", xcorr_same, (8, 115, 115, 96), (8, 59, 59, 96)),
)
# Minutes per call on a CPU, and gigabytes for the matrix product.
TOO_LARGE = {
    "W of conv2, batch 8": ("conv", "unrolled"),
    "W of conv1, batch 8": ("conv", "unrolled", "matmul"),
}


def milliseconds(function: Callable, *arguments: jax.Array, seconds: float) -> float:
    """Median time of a call, compiled beforehand."""
    jax.block_until_ready(function(*arguments))
    times = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[len(times) // 2]


def bench(
    function: Callable, formulation: Formulation, shapes: tuple, *, seconds: float
) -> tuple[float, float]:
    """Milliseconds of the forward pass, and of forward and backward together."""
    keys = jax.random.split(jax.random.key(0), 2)
    arrays = [
        jax.random.normal(k, s, jnp.float32) for k, s in zip(keys, shapes, strict=True)
    ]

    def forward(search: jax.Array, template: jax.Array) -> jax.Array:
        return function(search, template, formulation=formulation)

    def loss(search: jax.Array, template: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(forward(search, template)))

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return (
        milliseconds(jax.jit(forward), *arrays, seconds=seconds),
        milliseconds(gradient, *arrays, seconds=seconds),
    )


def main() -> None:
    """Prints one row per case and formulation."""
    print(f"{jax.default_backend()}, jax {jax.__version__}; milliseconds")
    print(f"{'case':22}{'formulation':14}{'forward':>9}{'+ backward':>12}")
    for name, function, *shapes in CASES:
        for formulation in FORMULATIONS:
            if formulation in TOO_LARGE.get(name, ()):
                continue
            times = bench(function, formulation, tuple(shapes), seconds=0.5)
            print(f"{name:22}{formulation:14}{times[0]:9.2f}{times[1]:12.2f}")


if __name__ == "__main__":
    main()
