"""Times the formulations of `dst_jax.ops.xcorr` and `xcorr_region` on this backend.

    python scripts/bench_xcorr.py
    python scripts/bench_xcorr.py --only up depthwise
    python scripts/bench_xcorr.py --only depthwise --case "one level" --seconds 0.1

Milliseconds of the forward pass and of forward and backward together, the shortest of
rounds in which the formulations take turns; `*` marks the default of the backend. The
CPU's tables stand in `dst_jax/ops/xcorr.py` and `xcorr_region.py`; when another
formulation wins, change both the table and the default there.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.ops.kernels import chosen_kernels, compiled
from dst_jax.ops.xcorr import default_xcorr_formulation, xcorr, xcorr_same
from dst_jax.ops.xcorr_region import (
    default_depthwise_formulation,
    default_up_formulation,
    xcorr_depthwise,
    xcorr_up,
)

FORMULATIONS = {
    "xcorr": ("conv", "unrolled", "matmul", "fft"),
    "up": ("conv", "unrolled", "im2col", "matmul"),
    "depthwise": ("conv", "unrolled", "shifted", "matmul"),
}


class Case(NamedTuple):
    """A correlation of the papers' networks and its sizes."""

    name: str
    kind: str
    function: Callable[..., Any]
    search: tuple[int, ...]
    template: tuple[int, ...]
    # Tens of seconds per call on a CPU, or gigabytes; accelerators take them.
    too_large: tuple[str, ...] = ()
    # Correlations of such maps in one program.
    calls: int = 1

    @property
    def default(self) -> str:
        """What the library chooses for it here."""
        if self.kind == "up":
            return default_up_formulation()
        if self.kind == "depthwise":
            return default_depthwise_formulation()
        return default_xcorr_formulation(self.template[1:3])


def region(name: str, batch: int, width: int, outputs: int) -> Case:
    """An up-channel correlation of SiamRPN at 127/271."""
    search, template = (batch, 22, 22, width), (batch, 4, 4, width, outputs)
    slow = ("conv",) if batch > 1 and width > 256 else ()
    return Case(f"{name}, batch {batch}", "up", xcorr_up, search, template, slow)


def levels(name: str, batch: int, width: int, *, calls: int = 1) -> Case:
    """A depth-wise correlation of SiamRPN++, or one for each level and branch."""
    search, template = (batch, 29, 29, width), (batch, 5, 5, width)
    slow = ("conv", "matmul") if batch * width * calls > 8 * 256 else ()
    sizes = search, template, slow, calls
    return Case(name, "depthwise", xcorr_depthwise, *sizes)


CASES = (
    Case("response, batch 8", "xcorr", xcorr, (8, 22, 22, 256), (8, 6, 6, 256)),
    Case("response, 3 scales", "xcorr", xcorr, (3, 22, 22, 256), (1, 6, 6, 256)),
    Case("W of conv4", "xcorr", xcorr_same, (8, 24, 24, 384), (8, 10, 10, 384)),
    Case(
        "W of conv2",
        "xcorr",
        xcorr_same,
        (8, 53, 53, 256),
        (8, 25, 25, 256),
        ("conv", "unrolled"),
    ),
    Case(
        "W of conv1",
        "xcorr",
        xcorr_same,
        (8, 115, 115, 96),
        (8, 59, 59, 96),
        ("conv", "unrolled", "matmul"),
    ),
    region("logits, width 1", 8, 256, 10),
    region("offsets, width 1", 8, 256, 20),
    region("logits, width 2", 8, 512, 10),
    region("offsets, width 2", 8, 512, 20),
    region("offsets, width 1", 1, 256, 20),
    levels("one level, batch 8", 8, 256),
    levels("six apart, batch 8", 8, 256, calls=6),
    levels("six joined, batch 8", 8, 1536),
    levels("one level, batch 28", 28, 256),
    levels("one level, batch 32", 32, 256),
    levels("one level, batch 1", 1, 256),
)


def milliseconds(
    jobs: Mapping[str, Callable[[], Any]], *, seconds: float
) -> dict[str, float]:
    """Shortest time of each job, compiled beforehand; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    rounds = 0
    while sum(map(sum, times.values())) < seconds * len(jobs) or rounds < 3:
        rounds += 1
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - began)
    return {name: 1e3 * min(values) for name, values in times.items()}


def make_jobs(case: Case, formulation: str) -> tuple[Callable[[], Any], ...]:
    """Calls that run the forward pass, and forward and backward together."""
    rng = np.random.default_rng(0)
    maps = [
        [jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(case.calls)]
        for shape in (case.search, case.template)
    ]

    def forward(*maps: list[jax.Array]) -> list[Any]:
        pairs = zip(*maps, strict=True)
        return [case.function(x, z, formulation=formulation) for x, z in pairs]

    def loss(*maps: list[jax.Array]) -> jax.Array:
        return jnp.sum(jnp.stack([jnp.sum(jnp.square(y)) for y in forward(*maps)]))

    once, gradient = compiled(forward), compiled(jax.grad(loss, argnums=(0, 1)))
    return (
        lambda: jax.block_until_ready(once(*maps)),
        lambda: jax.block_until_ready(gradient(*maps)),
    )


def bench(case: Case, wanted: Sequence[str], *, seconds: float) -> None:
    """Prints one row per formulation."""
    known = [f for f in FORMULATIONS[case.kind] if f in wanted]
    slow = case.too_large if jax.default_backend() == "cpu" else ()
    able = [f for f in known if f not in slow]
    jobs = {formulation: make_jobs(case, formulation) for formulation in able}
    forward = milliseconds({f: j[0] for f, j in jobs.items()}, seconds=seconds)
    both = milliseconds({f: j[1] for f, j in jobs.items()}, seconds=seconds)
    for formulation in able:
        mark = "*" if formulation == case.default else " "
        print(f"{case.name:28}{formulation:>10}{mark}", end="")
        print(f"{forward[formulation]:9.2f}{both[formulation]:12.2f}", flush=True)


def main() -> None:
    """Prints one row per case and formulation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*FORMULATIONS])
    parser.add_argument("--formulations", nargs="*", help="only these")
    parser.add_argument("--case", default="", help="part of the names of cases")
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    given = parser.parse_args()
    chosen = f"{jax.default_backend()}, {chosen_kernels().kind}"
    print(f"{chosen}, jax {jax.__version__}; milliseconds")
    print(f"{'case':28}{'formulation':>11}{'forward':>9}{'+ backward':>12}")
    for case in CASES:
        if case.kind in given.only and given.case in case.name:
            wanted = given.formulations or FORMULATIONS[case.kind]
            bench(case, wanted, seconds=given.seconds)


if __name__ == "__main__":
    main()
