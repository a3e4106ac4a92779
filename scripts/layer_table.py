"""Each layer's speed here and in PyTorch, beside a plain matrix product's.

    python scripts/layer_table.py siamrpnpp-r18 siamrpnpp-r50 --batch 4

and `bench_step.py --layers`. Both sides get the same shapes; ours runs `ops.conv` as
the networks do, PyTorch's the faster of its two memory formats. A convolution that a
network has several times, of one shape, is timed once.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from torch_terms import weight_map

from dst_jax.arch import ConvSpec, RegionHeadSpec, TrackerSpec, named, plain_layers
from dst_jax.ops.conv import conv2d, max_pool
from dst_jax.ops.kernels import chosen_kernels, compiled
from dst_jax.ops.xcorr import xcorr_same

MATMUL = 1536


class Layer(NamedTuple):
    """A convolution of the step: its input, and whether that needs a gradient.

    `times` is how often the network has it, at one shape.
    """

    name: str
    shape: tuple[int, int, int, int]
    conv: ConvSpec
    from_image: bool
    times: int = 1

    @property
    def kernel(self) -> tuple[int, int, int, int]:
        """Height, width, inputs, outputs."""
        inputs = self.shape[-1] // self.conv.groups
        return self.conv.kernel, self.conv.kernel, inputs, self.conv.features

    @property
    def gflop(self) -> float:
        """Of the forward pass."""
        out = self.conv.conv_side(self.shape[1])
        cells = self.shape[0] * out * out * self.conv.features
        return 2e-9 * cells * int(np.prod(self.kernel[:3]))


def layers_of(spec: TrackerSpec, batch: int) -> Iterator[Layer]:
    """The convolutions of both images, the head's included."""
    crops = {"z": spec.input.template_px, "x": spec.input.train_search_px}
    chain: Any = spec.backbone
    for image, px in crops.items():
        of_stages = chain.convolutions(px)
        for found in (one for stage in of_stages for one in stage):
            shape = (batch, found.side, found.side, found.inputs)
            first = found is of_stages[0][0]
            yield Layer(f"{found.name} {image}", shape, found.conv, first)
        side, below = spec.feature_side(px), spec.backbone.widths[-1]
        if spec.head.levels:
            yield from level_layers(spec, batch, image, side)
        elif isinstance(spec.head, RegionHeadSpec):  # of the form "up_channel"
            width, k = spec.head.features, spec.head.anchors
            kinds = {"cls1": 2 * k * width, "r1": 4 * k * width}
            if image == "x":
                kinds = {"cls2": width, "r2": width}
            for name, outputs in kinds.items():
                conv = ConvSpec(outputs, spec.head.kernel)
                yield Layer(f"{name} {image}", (batch, side, side, below), conv, False)


def level_layers(
    spec: TrackerSpec, batch: int, image: str, side: int
) -> Iterator[Layer]:
    """The convolutions of SiamRPN++'s levels, whose maps have equal sides."""
    head = spec.head
    assert isinstance(head, RegionHeadSpec) and head.adjusting is not None
    stages = [one.name for one in spec.maps(spec.input.template_px)]
    channels = dict(zip(stages, spec.backbone.widths, strict=True))
    read, role = head.stage, "template" if image == "z" else "search"
    cut = head.template_cells if image == "z" and head.template_cells else side
    for level in head.levels:
        shape = (batch, side, side, channels[level])
        yield Layer(f"{level} adjust {image}", shape, head.adjusting, False)
        for branch in ("cls", "r"):
            shape = (batch, cut, cut, head.adjust)
            yield Layer(f"{level} {branch}_{role} {image}", shape, read, False)
            if image == "x":
                cells = spec.response_side(spec.input.train_search_px)
                shape = (batch, cells, cells, head.features)
                mix = ConvSpec(head.features, 1, bias=False)
                yield Layer(f"{level} {branch}_mix {image}", shape, mix, False)


def distinct(layers: Iterator[Layer]) -> list[Layer]:
    """Layers of equal shapes as one, in the order of the first of each."""
    found: dict[Any, Layer] = {}
    for layer in layers:
        key = layer.shape, layer.conv, layer.from_image
        before = found.get(key)
        found[key] = (before or layer)._replace(times=before.times + 1 if before else 1)
    return list(found.values())


def seconds(
    functions: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, float]:
    """Shortest time of each, taking turns; other work on the cores only adds."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - began)
    return {name: min(values) for name, values in times.items()}


def ours(function: Callable[..., Any], arrays: list[Any], wanted: int) -> Any:
    """Forward, and forward with the gradients of the last `wanted` arguments."""
    forward = compiled(function)
    arrays = [jnp.asarray(a) for a in arrays]
    cotangent = jnp.ones_like(forward(*arrays))

    @compiled
    def both(cotangent: jax.Array, *arrays: jax.Array) -> Any:
        y, pull = jax.vjp(function, *arrays)
        return y, pull(cotangent)[-wanted:]

    return (
        lambda: jax.block_until_ready(forward(*arrays)),
        lambda: jax.block_until_ready(both(cotangent, *arrays)),
    )


def theirs(function: Callable[..., Any], tensors: list[Any], wanted: int) -> Any:
    """The same in PyTorch."""
    learnt = [t.detach().requires_grad_() for t in tensors[-wanted:]]
    inputs = [*tensors[: len(tensors) - wanted], *learnt]

    def forward() -> None:
        with torch.no_grad():
            function(*inputs)

    def both() -> None:
        y = function(*inputs)
        torch.autograd.grad(y, learnt, torch.ones_like(y))

    return forward, both


def sides(
    function: Callable[..., Any],
    other: Callable[..., Any],
    arrays: list[np.ndarray],
    wanted: int,
    repeats: int,
) -> tuple[float, float, float, float]:
    """Seconds: ours forward, ours with gradients, PyTorch's best of both."""
    once, full = {}, {}
    once["ours"], full["ours"] = ours(function, arrays, wanted)
    flat = [torch.from_numpy(a) for a in arrays]
    for name, layout in (
        ("contiguous", torch.contiguous_format),
        ("last", torch.channels_last),
    ):
        placed = [t.contiguous(memory_format=layout) for t in turned(flat)]
        once[name], full[name] = theirs(other, placed, wanted)
    first, both = seconds(once, repeats), seconds(full, repeats)
    best = min(first["contiguous"], first["last"])
    return first["ours"], both["ours"], best, min(both["contiguous"], both["last"])


def turned(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Images and maps [b, h, w, c] as [b, c, h, w]; a kernel comes after its input."""
    return [t.permute(0, 3, 1, 2) for t in tensors]


def bench_conv(layer: Layer, repeats: int) -> tuple[float, float, float, float]:
    """Times one convolution on both sides."""
    rng, conv = np.random.default_rng(0), layer.conv
    x = rng.standard_normal(layer.shape, np.float32)
    height, width, inputs, outputs = layer.kernel
    # OHWI here, so that one turn serves images and kernels alike.
    kernel = rng.standard_normal((outputs, height, width, inputs), np.float32)

    def here(x: jax.Array, kernel: jax.Array) -> Any:
        kernel = kernel.transpose(1, 2, 3, 0)
        options: dict[str, Any] = {"padding": conv.padding, "groups": conv.groups}
        return conv2d(x, kernel, stride=conv.stride, dilation=conv.dilation, **options)

    def there(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = {"padding": conv.padding, "groups": conv.groups}
        dilation = conv.dilation
        return F.conv2d(x, kernel, stride=conv.stride, dilation=dilation, **options)

    wanted = 1 if layer.from_image else 2
    return sides(here, there, [x, kernel], wanted, repeats)


def other_work(
    spec: TrackerSpec, batch: int
) -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any], list[Any]]]:
    """What else a student does to the search image: norm with ReLU, pools, W."""
    rng = np.random.default_rng(0)
    z, x = spec.input.template_px, spec.input.train_search_px
    chain: Any = spec.backbone
    small, large = chain.stage_sides(z), chain.stage_sides(x)
    for index, layer in enumerate(plain_layers(spec.backbone, "This table")):
        name, width = f"conv{index + 1} x", layer.features
        shape = (batch, large[index][0], large[index][0], width)
        maps = rng.standard_normal(shape, np.float32)
        if layer.batch_norm:
            yield f"{name}: norm, ReLU", _norm_here, _norm_there, [maps]
        if layer.pool:
            yield f"{name}: pool", _pool_here, _pool_there, [maps]
        if index >= 2:
            side = small[index][0]
            template = rng.standard_normal((batch, side, side, width), np.float32)
            yield f"{name}: W of STR", xcorr_same, weight_map, [maps, template]


def _norm_here(x: jax.Array) -> jax.Array:
    mean = jnp.mean(x, (0, 1, 2), keepdims=True)
    var = jnp.mean(jnp.square(x), (0, 1, 2), keepdims=True) - jnp.square(mean)
    return jax.nn.relu((x - mean) * jax.lax.rsqrt(var + 1e-6))


def _norm_there(x: torch.Tensor) -> torch.Tensor:
    return F.relu_(F.batch_norm(x, None, None, training=True, eps=1e-6))


def _pool_here(x: jax.Array) -> Any:
    return max_pool(x, window=3, stride=2)


def _pool_there(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, 2)


def matmul_ceiling(repeats: int) -> tuple[float, float]:
    """GFLOP/s of a square float32 product: XLA, PyTorch."""
    a = np.random.default_rng(0).standard_normal((MATMUL, MATMUL), np.float32)
    here, there = jnp.asarray(a), torch.from_numpy(a)
    product = compiled(lambda a: a @ a)
    found = seconds(
        {
            "here": lambda: jax.block_until_ready(product(here)),
            "there": lambda: there @ there,
        },
        repeats,
    )
    gflop = 2e-9 * MATMUL**3
    return gflop / found["here"], gflop / found["there"]


def print_sums(
    name: str, gflop: float, here: float, h_all: float, there: float, t_all: float
) -> None:
    """Prints a network's two last rows: sums over all convolutions, in seconds."""
    rates = f"{gflop / here:.0f} | {gflop / there:.0f}"
    ms = " | ".join(f"{1e3 * t:.0f}" for t in (here, there))
    print(f"| {name} | all, forward | {gflop:.1f} | {rates} | {ms} |")
    ms = " | ".join(f"{1e3 * t:.0f}" for t in (h_all, t_all))
    print(f"| {name} | all, with gradients | | | | {ms} |")


def print_table(
    teacher: TrackerSpec | None,
    students: Mapping[str, TrackerSpec],
    batch: int,
    repeats: int,
) -> None:
    """Prints Markdown: GFLOP/s of convolutions, then milliseconds of the rest."""
    ceiling = matmul_ceiling(repeats)
    print(f"\nmatmul {MATMUL}: {ceiling[0]:.0f} GFLOP/s, {ceiling[1]:.0f} PyTorch;")
    print(f"convolutions here are of {chosen_kernels().kind}.")
    print("GFLOP/s, forward / forward and gradients; milliseconds of the latter.\n")
    print("| network | layer | GFLOP | here | PyTorch | here, ms | PyTorch, ms |")
    print("|---|---|---|---|---|---|---|")
    networks = {**({"teacher": teacher} if teacher else {}), **students}
    for name, spec in networks.items():
        sums = np.zeros(5)
        for layer in distinct(layers_of(spec, batch)):
            times = bench_conv(layer, repeats)
            sums += layer.times * np.array([layer.gflop, *times])
            products = 2 if layer.from_image else 3
            gflop = (layer.gflop, products * layer.gflop)
            here = f"{gflop[0] / times[0]:.0f} / {gflop[1] / times[1]:.0f}"
            there = f"{gflop[0] / times[2]:.0f} / {gflop[1] / times[3]:.0f}"
            counted = (times[0], times[2]) if name == "teacher" else times[1::2]
            ms = " | ".join(f"{1e3 * t:.1f}" for t in counted)
            often = f" ({layer.times} times)" if layer.times > 1 else ""
            row = f"| {name} | {layer.name}{often} | {layer.gflop:.2f} | {here} |"
            print(row, there, "|", ms, "|", flush=True)
        print_sums(name, *sums)
    print("\n| network | the rest | here, ms | PyTorch, ms |\n|---|---|---|---|")
    for name, spec in students.items():
        if spec.head.levels:  # normalisations of residual stages are not timed alone
            continue
        for what, function, other, arrays in other_work(spec, batch):
            times = sides(function, other, arrays, len(arrays), repeats)
            print(f"| {name} | {what} | {1e3 * times[1]:.1f} | {1e3 * times[3]:.1f} |")


def main() -> None:
    """Prints the table of networks of the zoo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("network", nargs="+")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    networks = {name: named(name) for name in given.network}
    print_table(None, networks, given.batch, given.repeats)


if __name__ == "__main__":
    sys.exit(main())
