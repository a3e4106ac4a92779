"""Times the formulations of `dst_jax.ops.xcorr` and `xcorr_region` on this backend.

    python scripts/bench_xcorr.py
    python scripts/bench_xcorr.py --only up depthwise

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
    "depthwise": ("conv", "shifted"),
}


class Case(NamedTuple):
    """A correlation of the papers' networks and its sizes."""

    name: str
    kind: str
    function: Callable[..., Any]
    search: tuple[int, ...]
    template: tuple[int, ...]
    # Tens of seconds per call on a CPU, or gigabytes.
    too_large: tuple[str, ...] = ()

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
    Case(
        "depth-wise, batch 8",
        "depthwise",
        xcorr_depthwise,
        (8, 20, 20, 256),
        (8, 4, 4, 256),
    ),
    Case(
        "depth-wise, batch 1",
        "depthwise",
        xcorr_depthwise,
        (1, 24, 24, 256),
        (1, 4, 4, 256),
    ),
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
    arrays = [
        jnp.asarray(rng.standard_normal(shape, np.float32))
        for shape in (case.search, case.template)
    ]

    def forward(search: jax.Array, template: jax.Array) -> Any:
        return case.function(search, template, formulation=formulation)

    def loss(search: jax.Array, template: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(forward(search, template)))

    once, gradient = jax.jit(forward), jax.jit(jax.grad(loss, argnums=(0, 1)))
    return (
        lambda: jax.block_until_ready(once(*arrays)),
        lambda: jax.block_until_ready(gradient(*arrays)),
    )


def bench(case: Case, wanted: Sequence[str], *, seconds: float) -> None:
    """Prints one row per formulation."""
    known = [f for f in FORMULATIONS[case.kind] if f in wanted]
    able = [f for f in known if f not in case.too_large]
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
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    given = parser.parse_args()
    print(f"{jax.default_backend()}, jax {jax.__version__}; milliseconds")
    print(f"{'case':28}{'formulation':>11}{'forward':>9}{'+ backward':>12}")
    for case in CASES:
        if case.kind in given.only:
            wanted = given.formulations or FORMULATIONS[case.kind]
            bench(case, wanted, seconds=given.seconds)


if __name__ == "__main__":
    main()
