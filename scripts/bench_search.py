"""Times the scoring of candidates, masked against exact, compilation apart.

Random networks of the search's space are trained for a few steps on made-up patches.
Exact mode compiles every candidate; masked mode compiles once and computes in the
teacher's shape. The last columns extrapolate to a search of 50 steps of 3 candidates.

With --search the search itself runs for so many seconds instead: the policy proposes
masked candidates, they are trained and scored, and it learns from their rewards. The
clock starts after the first step, which compiles, and after the teacher's accuracy.

Run: python scripts/bench_search.py --family mini --batch 16 --steps 10
     python scripts/bench_search.py --family siamfc-alexnet --batch 8 --steps 4
     python scripts/bench_search.py --family siamfc-alexnet --batch 32 --search 60
"""

import argparse
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from dst_jax.arch import TrackerSpec, named
from dst_jax.data.pipeline import DataConfig, HostBatch
from dst_jax.distill import LabelConfig
from dst_jax.experiment import Experiment
from dst_jax.models import init_variables
from dst_jax.ops.augment import AugmentConfig, patch_sides
from dst_jax.search import (
    PolicyConfig,
    SearchConfig,
    Trial,
    describe,
    run_search,
    shrink,
)
from dst_jax.train import OptimConfig
from dst_jax.workflows.scoring import Exam, make_exam_accuracy, make_score

SEARCH_STEPS, CANDIDATES = 50, 3
BOX = (0.5, 0.5, 0.25, 0.25)
# Everything between a Python function and a program that runs.
_COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


def main() -> None:
    """Prints one table per family."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", default="mini", help="name in the zoo")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10, help="training steps each")
    parser.add_argument("--rounds", type=int, default=2, help="timed calls of 3")
    parser.add_argument("--validation", type=int, default=64, help="pairs")
    parser.add_argument("--search", type=float, help="seconds of it, and no table")
    given = parser.parse_args()
    parent = named(given.family)
    if given.search is not None:
        three = settings(given)["masked, 3 unrolled"]
        took = search_for(parent, three, given.search)
        print(f"{given.family}: {given.steps} steps of {given.batch} pairs a candidate")
        print("\n".join(search_lines(took, three)), flush=True)
        return
    clock = CompileClock()
    table = Table(title=f"{given.family}: {given.steps} steps of {given.batch} pairs")
    for heading in (
        "mode",
        "compile once, s",
        "compile each, s",
        "run each, s",
        f"{SEARCH_STEPS} x {CANDIDATES}, s",
    ):
        table.add_column(heading, justify="right")
    for name, search in settings(given).items():
        once, each, run = measure(parent, search, given.rounds, clock)
        total = once + SEARCH_STEPS * CANDIDATES * (each + run)
        cells = (f"{value:.2f}" for value in (once, each, run))
        table.add_row(name, *cells, f"{total:.0f}")
        Console(stderr=True).print(f"{name}: done", highlight=False)
    Console(width=100).print(table)


def settings(given: argparse.Namespace) -> dict[str, SearchConfig]:
    """The ways to score that are compared."""
    base = SearchConfig(
        candidates=CANDIDATES,
        pairs=given.batch * given.steps,
        epochs=1.0,
        batch=given.batch,
        validation_pairs=given.validation,
    )
    one = dataclasses.replace(base, at_once=1)
    three = dataclasses.replace(base, at_once=CANDIDATES)
    return {
        "exact": dataclasses.replace(base, mode="exact"),
        "masked, one at a time": one,
        "masked, 3 unrolled": three,
        "masked, 3 vmapped": dataclasses.replace(three, batching="vmapped"),
    }


class Time(Exception):
    """Says that a search has run long enough."""


def search_for(
    parent: TrackerSpec, search: SearchConfig, seconds: float
) -> list[tuple[float, list[Trial]]]:
    """Runs the search with the policy for some seconds after its first step.

    Returns:
      Seconds since the last step, and its trials, of each step.
    """
    exam = make_exam(parent, search)
    # The weights are random, which no reward of this benchmark minds.
    whole = make_exam_accuracy(parent, exam)(init_variables(jax.random.key(0), parent))
    found: list[tuple[float, list[Trial]]] = []
    last = time.perf_counter()

    def report(trials: Sequence[Trial]) -> None:
        nonlocal last
        now = time.perf_counter()
        found.append((now - last, [*trials]))
        last = now
        if sum(took for took, _ in found[1:]) >= seconds and len(found) > 1:
            raise Time

    endless = dataclasses.replace(search, steps=10**6)
    settings = {"config": endless, "policy": PolicyConfig(), "seed": 0}
    with contextlib.suppress(Time):
        run_search(
            *(parent, max(whole, 0.1), make_score(exam)), report=report, **settings
        )
    return found


def search_lines(
    found: Sequence[tuple[float, Sequence[Trial]]], search: SearchConfig
) -> Iterator[str]:
    """What a search did, its first step apart."""
    first, *others = found
    seconds = sum(took for took, _ in others)
    trials = [trial for _, step in others for trial in step]
    trained = sum(trial.spec is not None for trial in trials)
    pairs = trained * search.train_steps * search.batch
    yield f"first step, which compiles: {first[0]:.1f} s"
    yield (
        f"then {len(others)} steps of the policy in {seconds:.1f} s: "
        f"{len(trials)} candidates, {trained} trained, {pairs / seconds:,.0f} pairs/s"
    )
    each = seconds / len(others)
    whole = f"{SEARCH_STEPS} take {SEARCH_STEPS * each:.0f} s"
    yield f"{60.0 / each:.1f} steps a minute; {whole}"


def measure(
    parent: TrackerSpec, search: SearchConfig, rounds: int, clock: "CompileClock"
) -> tuple[float, float, float]:
    """Seconds to compile once, to compile and to run per candidate (medians)."""
    score = make_score(make_exam(parent, search))
    specs = random_specs(parent, search)
    clock.reset()
    score([next(specs) for _ in range(CANDIDATES)])
    first = clock.seconds
    compiling: list[float] = []
    running: list[float] = []
    for _ in range(rounds):
        clock.reset()
        began = time.perf_counter()
        score([next(specs) for _ in range(CANDIDATES)])
        passed = time.perf_counter() - began
        compiling.append(clock.seconds / CANDIDATES)
        running.append((passed - clock.seconds) / CANDIDATES)
    each = statistics.median(compiling)
    once = first - CANDIDATES * each if search.mode == "masked" else 0.0
    return once, each, statistics.median(running)


def make_exam(parent: TrackerSpec, search: SearchConfig) -> Exam:
    """Noise in place of video: only the time counts."""
    experiment = Experiment(
        students={"teacher": parent},
        data=DataConfig(sources=("none:none",)),
        labels=LabelConfig(radius_px=float(parent.backbone.total_stride)),
        optim=OptimConfig(momentum=0.9),
        search=search,
    )
    sides = patch_sides(parent.input, AugmentConfig())
    rng = np.random.default_rng(0)
    train = noise(rng, search.pairs, sides)
    batches = search.validation_pairs // search.batch
    held_out = [noise(rng, search.batch, sides) for _ in range(max(batches, 1))]
    return Exam(experiment, parent, train, held_out)


def noise(rng: np.random.Generator, pairs: int, sides: tuple[int, int]) -> HostBatch:
    """A host batch of random patches."""
    batch: HostBatch = {
        "is_negative": np.zeros(pairs, bool),
        "mask": np.ones(pairs, np.float32),
        "index": np.arange(pairs, dtype=np.int32),
    }
    for name, side in zip(("template", "search"), sides, strict=True):
        shape = (pairs, side, side, 3)
        batch[f"{name}_patch"] = rng.integers(0, 256, shape, dtype=np.uint8)
        batch[f"{name}_box"] = np.tile(np.array(BOX, np.float32), (pairs, 1))
        batch[f"{name}_box"] *= np.float32(side)
        batch[f"{name}_fill_rgb"] = np.full((pairs, 3), 128, np.float32)
    return batch


def random_specs(parent: TrackerSpec, search: SearchConfig) -> Iterator[TrackerSpec]:
    """Networks of uniform actions, the same for every mode."""
    rng = np.random.default_rng(0)
    rows = len(describe(parent, search).rows)
    while True:
        yield shrink(parent, rng.integers(1, 11, (rows, 5)).tolist(), search)


class CompileClock:
    """Adds up the seconds that JAX spends on tracing, lowering and compiling."""

    def __init__(self) -> None:
        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event in _COMPILING:
            self.seconds += duration_secs

    def reset(self) -> None:
        """Starts anew."""
        self.seconds = 0.0


if __name__ == "__main__":
    main()
