"""Times the formulations of convolution, pooling and cropping on this machine.

    python scripts/bench_conv.py --widths teacher dull --sides 239 255 --batches 1 3 8
    python scripts/bench_conv.py --widths dull --passes
    python scripts/bench_conv.py --pool
    python scripts/bench_conv.py --crop

Convolutions are SiamFC's five layers; figures are GFLOP/s, forward / forward and both
gradients (only the kernel's for the first layer), medians of repeats that alternate
between formulations. Pooling and cropping are in milliseconds.
"""

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch import TrackerSpec, named, plain_layers
from dst_jax.ops.conv import conv2d, max_pool
from dst_jax.ops.crop import crop_resize
from dst_jax.ops.kernels import PASSES, VARIABLE, chosen_kernels, compiled
from dst_jax.typing import Array

NETWORKS = {"teacher": "siamfc-alexnet", "half": "siamfc-half", "dull": "dstfc"}
CONVOLUTIONS = ("lax", "per_example", "stacked", "im2col")


def median_seconds(
    functions: dict[str, Callable[..., Any]], arguments: Sequence[Any], repeats: int
) -> dict[str, float]:
    """Median time of each function; they take turns, so that load hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function(*arguments))
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            times[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in times.items()}


def with_gradients(
    function: Callable[..., Array], *, skip_input: bool
) -> Callable[..., Any]:
    """The function and its gradients for a cotangent that comes last."""

    @jax.jit
    def run(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> Any:
        y, pull = jax.vjp(function, x, kernel)
        dx, dkernel = pull(cotangent)
        # What is not returned is not computed: images need no gradient.
        return (y, dkernel) if skip_input else (y, dx, dkernel)

    return run


def bench_layers(spec: TrackerSpec, side: int, batch: int, repeats: int) -> None:
    """Prints one line per layer."""
    chain: Any = spec.backbone
    below, sides = 3, (side, *(after for _, after in chain.stage_sides(side)))
    for index, layer in enumerate(plain_layers(spec.backbone, "This benchmark")):
        size, key = sides[index], jax.random.key(index)
        x = jax.random.normal(key, (batch, size, size, below))
        shape = (layer.kernel, layer.kernel, below // layer.groups, layer.features)
        kernel = jax.random.normal(key, shape)
        options: dict[str, Any] = {"stride": layer.stride, "groups": layer.groups}
        functions = {
            name: functools.partial(conv2d, formulation=name, **options)
            for name in CONVOLUTIONS
        }
        y = conv2d(x, kernel, **options)
        forward = {name: jax.jit(f) for name, f in functions.items()}
        both = {
            name: with_gradients(f, skip_input=index == 0)
            for name, f in functions.items()
        }
        gflop = 2e-9 * y.size * int(np.prod(shape[:3]))
        once = median_seconds(forward, (x, kernel), repeats)
        full = median_seconds(both, (x, kernel, jnp.ones_like(y)), repeats)
        products = 2 if index == 0 else 3
        figures = (
            f"{gflop / once[name]:5.0f}/{products * gflop / full[name]:4.0f}"
            for name in functions
        )
        print(f"  conv{index + 1} {gflop:6.2f} GFLOP ", *figures, flush=True)
        below = layer.features


def bench_passes(spec: TrackerSpec, side: int, batch: int, repeats: int) -> None:
    """Prints GFLOP/s of each pass by formulation, for the chosen kernels."""
    chain: Any = spec.backbone
    below, sides = 3, (side, *(after for _, after in chain.stage_sides(side)))
    for index, layer in enumerate(plain_layers(spec.backbone, "This benchmark")):
        size, keys = sides[index], jax.random.split(jax.random.key(index), 2)
        shape = (layer.kernel, layer.kernel, below // layer.groups, layer.features)
        x = jax.random.normal(keys[0], (batch, size, size, below))
        kernel = jax.random.normal(keys[1], shape)
        options: dict[str, Any] = {"stride": layer.stride, "groups": layer.groups}
        y = conv2d(x, kernel, **options)
        gflop = 2e-9 * y.size * int(np.prod(shape[:3]))
        for which in PASSES:
            if index == 0 and which == "input_gradient":  # an image needs none
                continue
            functions = {
                name: compiled(one_pass(which, formulation=name, **options))
                for name in CONVOLUTIONS
            }
            times = median_seconds(functions, (x, kernel, jnp.ones_like(y)), repeats)
            figures = (f"{gflop / times[name]:8.0f}" for name in functions)
            print(f"  conv{index + 1} {which:15}", *figures, flush=True)
        below = layer.features


def one_pass(which: str, **options: Any) -> Callable[..., Any]:
    """A pass of a convolution as a function of input, kernel and cotangent."""
    convolve = functools.partial(conv2d, **options)
    return {
        "forward": lambda x, k, g: convolve(x, k),
        "input_gradient": lambda x, k, g: jax.vjp(lambda a: convolve(a, k), x)[1](g),
        "kernel_gradient": lambda x, k, g: jax.vjp(lambda b: convolve(x, b), k)[1](g),
    }[which]


def bench_pool(repeats: int) -> None:
    """Prints milliseconds, forward and with the gradient."""
    print(f"{'max_pool 3/2, ms':24}{'lax':>16}{'shifted':>16}")
    for shape in ((8, 115, 115, 96), (8, 53, 53, 256), (3, 123, 123, 96)):
        x = jax.random.normal(jax.random.key(0), shape)
        pool = functools.partial(max_pool, window=3, stride=2)
        functions = {
            name: functools.partial(pool, formulation=name)
            for name in ("lax", "shifted")
        }
        forward = {name: jax.jit(f) for name, f in functions.items()}
        total = {n: lambda x, f=f: jnp.sum(f(x)) for n, f in functions.items()}
        both = {name: jax.jit(jax.value_and_grad(f)) for name, f in total.items()}
        once = median_seconds(forward, (x,), repeats)
        full = median_seconds(both, (x,), repeats)
        figures = (f"{1e3 * once[n]:9.1f}/{1e3 * full[n]:6.1f}" for n in functions)
        print(f"{shape!s:24}", *figures, sep="", flush=True)


def bench_crop(repeats: int) -> None:
    """Prints milliseconds for tracking's crops and for training's."""
    rng, fill = np.random.default_rng(0), jnp.full(3, 128.0)
    frame = jnp.asarray(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8))
    patches = jnp.asarray(rng.integers(0, 256, (32, 160, 160, 3), dtype=np.uint8))

    def scales(sizes: jax.Array, *, formulation: Any) -> Array:
        centre = jnp.array([310.0, 250.0])
        cut = functools.partial(
            crop_resize, frame, centre, out_px=255, fill=fill, formulation=formulation
        )
        return jax.vmap(cut)(sizes)

    def batch(sizes: jax.Array, *, formulation: Any) -> Array:
        centre = jnp.array([81.0, 79.0])

        def cut(patch: jax.Array, size: jax.Array) -> Array:
            options = {"out_px": 143, "fill": fill, "formulation": formulation}
            return crop_resize(patch, centre, size, **options)

        return jax.vmap(cut)(patches, sizes)

    jobs = {
        "3 x 255 px of 480x640": (
            scales,
            jnp.array([[290.0] * 2, [300.0] * 2, [310.0] * 2]),
        ),
        "32 x 143 px of 160x160": (batch, jnp.full((32, 2), 150.0)),
    }
    print(f"{'crop_resize, ms':24}{'gather':>10}{'matmul':>10}")
    for name, (job, sizes) in jobs.items():
        functions = {
            f: jax.jit(functools.partial(job, formulation=f))
            for f in ("gather", "matmul")
        }
        times = median_seconds(functions, (sizes,), repeats)
        print(f"{name:24}", *(f"{1e3 * t:10.2f}" for t in times.values()), sep="")


def main() -> None:
    """Runs what the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--widths", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--sides", nargs="*", type=int, default=[127, 239, 255])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 3, 8])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pool", action="store_true", help="pooling only")
    parser.add_argument("--crop", action="store_true", help="cropping only")
    parser.add_argument("--passes", action="store_true", help="pass by pass")
    args = parser.parse_args()
    if args.pool:
        bench_pool(args.repeats)
    if args.crop:
        bench_crop(args.repeats)
    if args.pool or args.crop:
        return
    bench = bench_passes if args.passes else bench_layers
    if args.passes:
        print(f"kernels: {chosen_kernels().kind} ({VARIABLE} names others)")
        print("GFLOP/s of each pass:", *CONVOLUTIONS)
    else:
        print("GFLOP/s, forward / forward and gradients:", *CONVOLUTIONS)
    for width in args.widths:
        for side in args.sides:
            for batch in args.batches:
                print(f"{width}, {side} px, batch {batch}")
                bench(named(NETWORKS[width]), side, batch, args.repeats)


if __name__ == "__main__":
    main()
