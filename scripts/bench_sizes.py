"""Pairs/s of students of several sizes in one step, and of as many runs of one size.

    python scripts/bench_sizes.py                     # the miniature
    python scripts/bench_sizes.py --family ostrack --sizes 384 256 192 128 96 --batch 32
    python scripts/bench_sizes.py --scan              # blocks in a loop

The first size is the teacher's. One step is everything between host windows and updated
students: the teacher's pass, QKV, Disc and the losses on the labels, AdamW. Runs of one
size repeat the crops and the teacher's pass. Rounds alternate; medians are printed, and
the seconds of each compilation apart.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from step_timing import noise_batch, timed_step

from dst_jax.arch import TrackerSpec, named, tracker_cost
from dst_jax.distill import (
    Disc,
    DistillConfig,
    Qkv,
    Setting,
    Task,
    Term,
    make_objective,
)
from dst_jax.models import ModelConfig, init_variables
from dst_jax.ops.augment import AugmentConfig
from dst_jax.ops.kernels import kernels_for
from dst_jax.train import (
    AXIS_NAME,
    Constants,
    Crops,
    OptimConfig,
    data_parallel,
    init_state,
    make_optimizer,
    make_train_step,
)

OPTIM = OptimConfig(method="adamw", learning_rate=4e-4, final_learning_rate=4e-4)
WINDOWS = AugmentConfig(stretch=0.0, search_shift_px=0.0, flip=0.5, flip_each=0.5)
TERMS: Mapping[str, Term] = {"gt": Task(), "qkv": Qkv(), "disc": Disc()}


def prepared(
    teacher: TrackerSpec,
    students: Mapping[str, TrackerSpec],
    batch: Mapping[str, np.ndarray],
    model: ModelConfig,
    *,
    terms: Mapping[str, Term] = TERMS,
    optim: OptimConfig = OPTIM,
    steps: int = 1,
) -> Callable[[], float]:
    """A function that takes steps and returns the seconds of one."""
    setting = Setting(DistillConfig(terms), model=model)
    objective = make_objective(teacher, students, setting, axis_name=AXIS_NAME)
    tx = make_optimizer(optim, total_steps=1000)
    crops = Crops(teacher.input, WINDOWS, seed=0)
    plain = make_train_step(
        objective, tx, crops, steps_per_epoch=100, axis_name=AXIS_NAME
    )
    step: Any = data_parallel(
        plain, devices=jax.local_devices()[:1], kernels=kernels_for(teacher)
    )
    state = init_state(jax.random.key(0), students, tx)
    constants = Constants(init_variables(jax.random.key(1), teacher))

    return timed_step(step, state, constants, batch, steps=steps)


def main() -> None:
    """Parses the options, compiles, and prints medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--family", default="mini-ostrack")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 96, 64, 48])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--scan", action="store_true")
    args = parser.parse_args()
    teacher, *small = (named(f"{args.family}-{px}") for px in args.sizes)
    names = [f"px{px}" for px in args.sizes[1:]]
    students = dict(zip(names, small, strict=True))
    sides = {"template": teacher.input.template_px, "search": teacher.input.search_px}
    batch, model = noise_batch(sides, args.batch), ModelConfig(scan_blocks=args.scan)
    groups = {"one step": students} | {n: {n: s} for n, s in students.items()}
    runs, times = {}, {name: [] for name in groups}
    for name, group in groups.items():
        runs[name] = prepared(teacher, group, batch, model)
        macs = work(teacher) + 3 * sum(map(work, group.values()))
        print(f"{name:10}{runs[name]():8.1f} s to compile and once, {macs / 1e9:.2f} G")
    for _ in range(args.rounds):
        for name, run in runs.items():
            times[name].append(run())
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, seconds in middle.items():
        print(f"{name:10}{args.batch / seconds:8.1f} pairs/s")
    apart = sum(middle[name] for name in names)
    print(
        f"all sizes {args.batch / apart:8.1f} pairs/s one after the other: "
        f"{apart / middle['one step']:.2f} times as long"
    )


def work(spec: TrackerSpec) -> int:
    """Multiply-adds of one pair, with the products of attention."""
    cost = tracker_cost(spec)
    return cost.template_macs + cost.search_macs + cost.attention_macs


if __name__ == "__main__":
    main()
