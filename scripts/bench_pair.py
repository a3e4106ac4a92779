"""Times the forms of `dst_jax.losses.pair_distance` on this backend.

    python scripts/bench_pair.py
    python scripts/bench_pair.py --sides 21 --batches 32 --channels 156 512

Prints a table in Markdown: milliseconds of the forward pass and of forward and backward
together, the shortest of rounds in which the forms take turns, and the megabytes that
the compiled program of either needs beside its arguments and results. Most of these are
features in another order or divided by their norms, so a last column has what the
program of forward and backward needs with 4 channels a side: what is kept of pairs.
`*` marks the default of these channels; "nan" is a size that the backend does not tell.

A time is that of one call out of `--queue`, which are waited for together. On an
accelerator, which is called faster than it answers, these are 50, so that the host's
part of a call (some .1 ms) counts only where the program itself is shorter. Compiling
takes longer than the measurement: `--without-few` leaves the last column and its
programs out, and with `JAX_COMPILATION_CACHE_DIR` a second run compiles nothing (it
may tell no sizes then).
"""

import argparse
import functools
import math
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
    """Temporaries of a compiled program; NaN where the backend does not tell."""
    try:
        found = program.memory_analysis()
    except jax.errors.JaxRuntimeError:  # some do not, of a program that was kept
        found = None
    return math.nan if found is None else found.temp_size_in_bytes / 1e6


def shortest(
    jobs: Sequence[Callable[[], Any]], *, seconds: float, queue: int
) -> list[float]:
    """Milliseconds of each job, run once beforehand; they take turns.

    Args:
      jobs: Functions that begin to compute what they return.
      seconds: Time of each job in all, about; at least three turns are taken.
      queue: Calls in a turn, which end together.
    """
    for job in jobs:
        jax.block_until_ready(job())
    times: list[list[float]] = [[] for _ in jobs]
    while sum(map(sum, times)) * queue < seconds * len(jobs) or len(times[0]) < 3:
        for job, found in zip(jobs, times, strict=True):
            began = time.perf_counter()
            jax.block_until_ready([job() for _ in range(queue)])
            found.append((time.perf_counter() - began) / queue)
    return [1e3 * min(found) for found in times]


def bench(
    batch: int,
    side: int,
    channels: tuple[int, int],
    *,
    timed: Callable[..., list[float]],
    with_few: bool,
) -> None:
    """Prints a row per form."""
    arrays, few = (features(batch, side, c) for c in (channels, (FEW, FEW)))
    made = [[p.lower(*arrays).compile() for p in programs(f)] for f in PAIR_FORMS]
    alone = [
        [programs(form)[1].lower(*few).compile()] if with_few else []
        for form in PAIR_FORMS
    ]
    jobs = [functools.partial(program, *arrays) for pair in made for program in pair]
    times = timed(jobs)
    default = cheapest_pair_form(side**2, *channels)
    for k, form in enumerate(PAIR_FORMS):
        mark = "*" if form == default else ""
        forward, both = times[2 * k : 2 * k + 2]
        kept = [megabytes(program) for program in (*made[k], *alone[k])]
        print(f"| {side**2} | {batch} | {form}{mark} ", end="")
        print(f"| {forward:.3f} | {both:.3f} ", end="")
        print("".join(f"| {size:.1f} " for size in kept) + "|", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[5, 17, 21, 24])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--channels", type=int, nargs=2, default=[248, 512])
    parser.add_argument("--seconds", type=float, default=0.3, help="per program")
    parser.add_argument("--queue", type=int, help="1; 50 on an accelerator")
    parser.add_argument("--without-few", action="store_true")
    given = parser.parse_args()
    queue = given.queue or (1 if jax.default_backend() == "cpu" else 50)
    timed = functools.partial(shortest, seconds=given.seconds, queue=queue)
    with_few = not given.without_few
    kind, channels = chosen_kernels().kind, given.channels
    print(f"{kind}, {jax.devices()[0].device_kind}, jax {jax.__version__}; ", end="")
    print(f"channels {channels[0]} and {channels[1]}, {queue} calls at a time")
    print("| n | batch | form | forward, ms | and backward, ms ", end="")
    print("| temporaries, MB | and backward, MB ", end="")
    print("| of pairs, MB |" if with_few else "|")
    print("|---" * (7 + with_few) + "|", flush=True)
    for side in given.sides:
        for batch in given.batches:
            sizes = (channels[0], channels[1])
            bench(batch, side, sizes, timed=timed, with_few=with_few)


if __name__ == "__main__":
    main()
