"""Blocks of a transformer in a loop and one by one: to compile, to step, to answer.

    python scripts/bench_blocks.py                                    # the miniature
    python scripts/bench_blocks.py --network ostrack-128 --batch 4

A step is plain training on the labels with AdamW, an answer that to one search image.
Rounds alternate; medians are printed, and the seconds of each compilation, with a first
step or answer in it, apart.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from bench_sizes import prepared
from step_timing import noise_batch

from dst_jax.arch import TrackerSpec, named
from dst_jax.distill import Task
from dst_jax.models import ModelConfig, build, init_variables, remember, respond
from dst_jax.ops.kernels import compiled, kernels_for

FORMS = {"one by one": False, "in a loop": True}


def prepared_answer(spec: TrackerSpec, model: ModelConfig) -> Callable[[], float]:
    """A function that answers to a search image and returns its seconds."""
    module = build(spec, config=model, taps=())
    variables = jax.device_put(init_variables(jax.random.key(0), spec))
    template, search = (
        jnp.full((1, px, px, 3), 127.0)
        for px in (spec.input.template_px, spec.input.search_px)
    )
    memory = remember(module, variables, template)
    ask = compiled(lambda *given: respond(module, *given), kernels=kernels_for(spec))

    def run() -> float:
        began = time.perf_counter()
        jax.block_until_ready(ask(variables, memory, search))
        return time.perf_counter() - began

    return run


def main() -> None:
    """Parses the options, compiles both forms, and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", default="mini-ostrack-48")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answers", type=int, default=10, help="of each round")
    args = parser.parse_args()
    spec = named(args.network)
    sides = {"template": spec.input.template_px, "search": spec.input.search_px}
    batch = noise_batch(sides, args.batch)
    print(f"{args.network}, load average {os.getloadavg()[0]:.1f} at the beginning")
    for what, make, repeats in (
        (f"a step of {args.batch} pairs", step_of(spec, batch), 1),
        ("an answer", lambda model: prepared_answer(spec, model), args.answers),
    ):
        compare(what, make, repeats=repeats, rounds=args.rounds)
    print(f"load average {os.getloadavg()[0]:.1f} at the end")


def step_of(spec: TrackerSpec, batch: Any) -> Callable[[ModelConfig], Any]:
    """A function that prepares the training step of one network."""

    def make(model: ModelConfig) -> Callable[[], float]:
        return prepared(spec, {"student": spec}, batch, model, terms={"gt": Task()})

    return make


def compare(
    what: str, make: Callable[[ModelConfig], Any], *, repeats: int, rounds: int
) -> None:
    """Prints the seconds of both forms and their ratio."""
    runs: dict[str, Callable[[], float]] = {}
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for name, scanned in FORMS.items():
        runs[name] = make(ModelConfig(scan_blocks=scanned))
        print(f"{what}, {name}: {runs[name]():.1f} s to compile and once")
    for _ in range(rounds):
        for name, run in runs.items():
            times[name] += [run() for _ in range(repeats)]
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, seconds in middle.items():
        print(f"{what}, {name}: {1e3 * seconds:.1f} ms")
    single, loop = middle.values()
    print(f"{what}: the loop takes {loop / single:.2f} times as long")


if __name__ == "__main__":
    main()
