"""Overhead and compilation of the three ways to spread a step over devices.

    python scripts/bench_parallel.py
    XLA_FLAGS=--xla_force_host_platform_device_count=4 python scripts/bench_parallel.py
    python scripts/bench_parallel.py --networks siamfc --batch 32

`pmap`, `shard_map` (the same program, with arrays placed by hand), and `jit` over a
mesh, in which XLA itself finds the sums over devices. Each runs the joint step of
SiamFC's miniatures, or of the paper's networks ("siamfc", for an accelerator), and one
of networks so small that a step is little but overhead.
Rounds alternate; medians are printed, and compilations apart.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
from step_timing import noise_batch, timed_step

from dst_jax.arch import named
from dst_jax.distill import DistillConfig, Setting, make_objective
from dst_jax.models import init_variables
from dst_jax.ops.augment import AugmentConfig, patch_sides
from dst_jax.train import (
    AXIS_NAME,
    Constants,
    Crops,
    OptimConfig,
    data_parallel,
    init_state,
    make_optimizer,
    make_train_step,
    sharded,
)

NETWORKS = {
    "tiny": ("tiny", {"dull": "tiny"}),
    "mini": ("mini", {"dull": "mini-dull", "intelligent": "mini-half"}),
    "siamfc": ("siamfc-alexnet", {"dull": "dstfc", "intelligent": "siamfc-half"}),
}
MINIATURES = ("tiny", "mini")
Way: TypeAlias = Literal["pmap", "shard_map", "jit"]
WAYS: tuple[Way, ...] = ("pmap", "shard_map", "jit")
AUGMENT = AugmentConfig(flip=0.5)


def prepared(way: Way, networks: str, count: int) -> Callable[[], float]:
    """Returns a function that takes a step and returns its seconds."""
    teacher_name, student_names = NETWORKS[networks]
    teacher = named(teacher_name)
    students = {name: named(which) for name, which in student_names.items()}
    axis = None if way == "jit" else AXIS_NAME
    tx = make_optimizer(OptimConfig(), total_steps=1000)
    plain = make_train_step(
        make_objective(teacher, students, Setting(DistillConfig()), axis_name=axis),
        tx,
        Crops(teacher.input, AUGMENT, seed=0),
        steps_per_epoch=100,
        axis_name=axis,
    )
    step = sharded(plain) if way == "jit" else data_parallel(plain, form=way)
    state = init_state(jax.random.key(0), students, tx)
    constants = Constants(init_variables(jax.random.key(1), teacher))
    sides = zip(
        ("template", "search"), patch_sides(teacher.input, AUGMENT), strict=True
    )
    return timed_step(step, state, constants, noise_batch(dict(sides), count))


def main() -> None:
    """Compiles every way, and prints its seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=MINIATURES)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}, batch {args.batch}")
    for networks in args.networks:
        runs = {way: prepared(way, networks, args.batch) for way in args.ways}
        compiled = {way: run() for way, run in runs.items()}
        times = {way: list[float]() for way in args.ways}
        for _ in range(args.rounds):
            for way, run in runs.items():
                times[way].append(run())
        first = statistics.median(times[args.ways[0]])
        for way in args.ways:
            middle = statistics.median(times[way])
            print(
                f"{networks:6} {way:10} first {compiled[way]:6.1f} s   step "
                f"{1e3 * middle:8.2f} ms   {middle / first:.2f} of {args.ways[0]}'s",
                flush=True,
            )


if __name__ == "__main__":
    main()
