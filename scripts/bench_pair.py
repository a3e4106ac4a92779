"""Times the forms of `dst_jax.losses.pair_distance` on this backend.

    python scripts/bench_pair.py
    python scripts/bench_pair.py --sides 21 --batches 32 --channels 156 512

Prints a table in Markdown: milliseconds of the forward pass and of forward and backward
together, the shortest of rounds in which the forms take turns, and the megabytes that
the compiled program of either needs beside its arguments and results. Most of these are
features in another order or divided by their norms, so a last column has what the
program of forward and backward needs with 4 channels a side: what is kept of pairs.
`*` marks the default of these channels.
"""

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.losses import cheapest_pair_form, pair_distance
from dst_jax.losses.feature import PAIR_FORMS, PairForm
from dst_jax.ops.kernels import chosen_kernels, compiled

FEW = 4  # channels whose features are next to nothing beside pairs of cells


def programs(form: PairForm) -> tuple[Any, Any]:
    """The forward pass, and the value with the student's gradient."""

    def total(student: jax.Array, teacher: jax.Array) -> jax.Array:
        return jnp.sum(pair_distance(student, teacher, form=form))

    return compiled(total), compiled(jax.value_and_grad(total))


def features(batch: int, side: int, channels: Sequence[int]) -> list[jax.Array]:
    """Maps of student and teacher."""
    rng = np.random.default_rng(0)
    shapes = [(batch, side, side, c) for c in channels]
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes]


def megabytes(program: Any) -> float:
    """Temporaries of a compiled program."""
    return program.memory_analysis().temp_size_in_bytes / 1e6


def shortest(jobs: Sequence[Callable[[], Any]], *, seconds: float) -> list[float]:
    """Milliseconds of each job, run once beforehand; they take turns."""
    for job in jobs:
        job()
    times: list[list[float]] = [[] for _ in jobs]
    while sum(map(sum, times)) < seconds * len(jobs) or len(times[0]) < 3:
        for job, found in zip(jobs, times, strict=True):
            began = time.perf_counter()
            job()
            found.append(time.perf_counter() - began)
    return [1e3 * min(found) for found in times]


def bench(batch: int, side: int, channels: tuple[int, int], *, seconds: float) -> None:
    """Prints a row per form."""
    arrays, few = (features(batch, side, c) for c in (channels, (FEW, FEW)))
    made = [[p.lower(*arrays).compile() for p in programs(f)] for f in PAIR_FORMS]
    alone = [programs(form)[1].lower(*few).compile() for form in PAIR_FORMS]

    def run(program: Any) -> None:
        jax.block_until_ready(program(*arrays))

    jobs = [functools.partial(run, program) for pair in made for program in pair]
    times = shortest(jobs, seconds=seconds)
    default = cheapest_pair_form(side**2, *channels)
    for k, form in enumerate(PAIR_FORMS):
        mark = "*" if form == default else ""
        forward, both = times[2 * k : 2 * k + 2]
        kept = [megabytes(program) for program in (*made[k], alone[k])]
        print(f"| {side**2} | {batch} | {form}{mark} ", end="")
        print(f"| {forward:.1f} | {both:.1f} ", end="")
        print("".join(f"| {size:.1f} " for size in kept) + "|", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[5, 17, 21, 24])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--channels", type=int, nargs=2, default=[248, 512])
    parser.add_argument("--seconds", type=float, default=0.3, help="per program")
    given = parser.parse_args()
    kind, channels = chosen_kernels().kind, given.channels
    print(f"{kind}, jax {jax.__version__}; channels {channels[0]} and {channels[1]}")
    print("| n | batch | form | forward, ms | and backward, ms ", end="")
    print("| temporaries, MB | and backward, MB | of pairs, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for side in given.sides:
        for batch in given.batches:
            bench(batch, side, (channels[0], channels[1]), seconds=given.seconds)


if __name__ == "__main__":
    main()
