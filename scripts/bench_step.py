"""Pairs/s of the joint TSsKD step, here and in plain PyTorch, side by side.

    python scripts/bench_step.py --family siamfc
    python scripts/bench_step.py --family siamrpn --layers

One step is everything between a host batch of uint8 patches and updated students:
random crops, the frozen teacher forward, both students forward and back with all terms
(TS, AH, STR, gated sharing), gradient norms and clipping, SGD with momentum. Both
sides do all of it: ours cuts crops inside the compiled step, PyTorch's side by OpenCV.
First the two are asked for the same numbers, from the same weights and crops, and the
script ends with an error if they differ. Then rounds alternate; medians are printed,
compilation apart. PyTorch runs in both memory formats and the ratio is against the
faster one. `--layers` adds each layer's GFLOP/s beside the matmul's.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import layer_table
import numpy as np
import torch
from step_sides import (
    SEED,
    Ours,
    Workload,
    compare,
    host_batch,
    make_ours,
    make_theirs,
    their_targets,
)
from torch_step import TorchStep, cut, draw_window, seen, tensor

from dst_jax.arch import TrackerSpec, named, scale_widths
from dst_jax.ops.augment import AugmentConfig


def families() -> dict[str, tuple[TrackerSpec, TrackerSpec, TrackerSpec]]:
    """Teacher, dull and intelligent student by family."""
    half = scale_widths(named("siamrpn"), 0.5), scale_widths(named("dstrpn"), 0.5)
    return {
        "siamfc": (named("siamfc-alexnet"), named("dstfc"), named("siamfc-half")),
        "siamrpn": (named("siamrpn"), half[1], half[0]),
        "siamrpn-big": (named("siamrpn-big"), named("dstrpn"), named("siamrpn")),
        "mini": (named("mini"), named("mini-dull"), named("mini-half")),
        "mini-siamrpn": (
            named("mini-siamrpn"),
            named("mini-siamrpn-dull"),
            named("mini-siamrpn-half"),
        ),
        "mini-siamrpnpp": (
            named("mini-siamrpnpp-big"),
            named("mini-siamrpnpp-r18"),
            named("mini-siamrpnpp-r50"),
        ),
    }


def make_workload(family: str, batch: int) -> Workload:
    """What is trained of a family."""
    teacher, dull, intelligent = families()[family]
    windows = AugmentConfig()
    if teacher.head.proposes_boxes:
        shift = 64.0 * teacher.input.train_search_px / 271
        windows = AugmentConfig(
            search_stretch=0.18, template_shift_px=4.0, search_shift_px=shift
        )
    students = {"dull": dull, "intelligent": intelligent}
    return Workload(teacher, students, batch, windows)


def check(differences: Mapping[str, float], tolerance: float) -> None:
    """Prints the largest difference; ends the script if it is too large.

    Terms must agree to `tolerance`; gradients and updates to 100 times as much, since
    a value that rounding moves across a ReLU's zero, or to another winner of a pool,
    passes its gradient on one side only. PyTorch alone, in float32 and in float64,
    differs from itself by up to 8e-4 of SiamFC's update.
    """
    print("relative differences of one step from the same weights and crops:")
    wrong = []
    for name, value in differences.items():
        summed = name.endswith(("/gradient", "/update"))
        limit = 100.0 * tolerance if summed else tolerance
        print(f"  {name:24}{value:10.1e}")
        if not value <= limit:
            wrong.append(name)
    if wrong:
        raise SystemExit(f"both sides differ in {', '.join(wrong)}; nothing was timed.")


def torch_round(
    theirs: TorchStep, ours: Ours, batch: Mapping[str, np.ndarray]
) -> Callable[[], None]:
    """One step from the host batch, crops included."""
    spec, config = ours.workload.teacher.input, ours.workload.augment
    rng = np.random.default_rng(SEED)
    learnt = their_targets(ours.workload, theirs.device)
    stretch = config.stretch if config.search_stretch is None else config.search_stretch
    sides = {
        "template": (spec.template_px, config.stretch, config.template_shift_px),
        "search": (spec.train_search_px, stretch, config.search_shift_px),
    }

    def run() -> None:
        crops, boxes = [], torch.zeros(0)
        for name, (out_px, stretch, shift_px) in sides.items():
            patches = batch[f"{name}_patch"]
            window = draw_window(
                rng, patches, out_px, stretch=stretch, shift_px=shift_px
            )
            crops.append(theirs.place(cut(patches, window, out_px)))
            boxes = tensor(seen(batch[f"{name}_box"], window, out_px))
        targets = learnt(boxes.to(theirs.device))
        terms, _ = theirs.learn(crops[0], crops[1], targets)
        torch.stack(list(terms.values())).sum().item()  # waits for a GPU

    return run


def our_round(ours: Ours, batch: Mapping[str, np.ndarray]) -> Callable[[], None]:
    """The same on our side."""
    state = ours.state

    def run() -> None:
        nonlocal state
        state, metrics = ours.step(state, ours.constants, batch)
        jax.block_until_ready((state, metrics))

    return run


class Times(NamedTuple):
    """Of one side, a value per round.

    Attributes:
      wall: Seconds per step.
      cpu: Seconds per step of this process on all its cores; on a busy machine they
        tell more.
    """

    wall: list[float]
    cpu: list[float]


def alternate(
    sides: Mapping[str, Callable[[], None]], rounds: int, steps: int
) -> dict[str, Times]:
    """Times every side in every round, the order turning."""
    times = {name: Times([], []) for name in sides}
    names = list(sides)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.perf_counter(), time.process_time()
            for _ in range(steps):
                sides[name]()
            times[name].wall.append((time.perf_counter() - began[0]) / steps)
            times[name].cpu.append((time.process_time() - began[1]) / steps)
    return times


def report(times: Mapping[str, Times], batch: int) -> None:
    """Prints pairs/s and the ratio to the faster PyTorch."""
    others = [name for name in times if name != "dst_jax"]
    best = min(others, key=lambda name: statistics.median(times[name].wall))
    for name, (wall, cpu) in times.items():
        speed, low, high = (batch / f(wall) for f in (statistics.median, max, min))
        print(f"  {name:24}{speed:8.2f} pairs/s  ({low:.2f} to {high:.2f})", end="")
        print(f", {statistics.median(cpu):.2f} CPU s per step")
    for what in Times._fields:
        pairs = (getattr(times[name], what) for name in (best, "dst_jax"))
        ratios = [theirs / ours for theirs, ours in zip(*pairs, strict=True)]
        print(
            f"  ratio dst_jax / {best}, {what}: {statistics.median(ratios):.2f}", end=""
        )
        print(f" ({min(ratios):.2f} to {max(ratios):.2f} by round)")


def limit_threads(threads: int) -> None:
    """Both sides run on this many cores; before JAX starts its own threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def main() -> None:
    """Checks, times and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", default="siamfc", choices=families())
    parser.add_argument("--batch", type=int, default=None, help="8; miniatures 16")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps per round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--layers", action="store_true")
    given = parser.parse_args()
    limit_threads(given.threads)
    batch = given.batch or (16 if given.family.startswith("mini") else 8)
    workload = make_workload(given.family, batch)
    print(f"{given.family}, batch {batch}, {given.threads} threads, ", end="")
    print(
        f"jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__}"
    )
    patches = host_batch(workload)
    ours = make_ours(workload, patches)
    began = time.perf_counter()
    check(compare(ours, patches), given.tolerance)
    print(f"first step (compilation, not counted): {time.perf_counter() - began:.1f} s")
    layouts = {"PyTorch": torch.contiguous_format}
    layouts["PyTorch channels_last"] = torch.channels_last
    sides = {"dst_jax": our_round(ours, patches)}
    for name, layout in layouts.items():
        sides[name] = torch_round(make_theirs(ours, layout=layout), ours, patches)
    alternate(sides, 1, 1)
    report(alternate(sides, given.rounds, given.steps), batch)
    if given.layers:
        layer_table.print_table(
            workload.teacher, workload.students, batch, given.rounds
        )


if __name__ == "__main__":
    sys.exit(main())
