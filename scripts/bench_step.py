"""Pairs/s of the joint step, here and in plain PyTorch, side by side.

    python scripts/bench_step.py --family siamfc
    python scripts/bench_step.py --family siamrpn --layers
    python scripts/bench_step.py --family siamdw --batch 64 --torch-compile

One step is everything between a batch of uint8 patches and updated students: random
crops, the frozen teacher forward, both students forward and back with the terms of a
row (TSsKD, and point and pair of DLF for SiamDW; `--row` names another), gradient
norms and clipping, SGD with momentum. Both sides do all of it; colours are left as they
are. Ours cuts crops inside the compiled step. PyTorch's side cuts them on the host by
OpenCV if it computes on a CPU, and on the accelerator by `grid_sample` if it has one;
then the patches of both sides lie on the accelerator from the start. Its windows are
drawn on the host and sent there before each step, as a loader would; ours are drawn in
the step.

First the two are asked for the same numbers, from the same weights and crops and in
float32 throughout: the answers of all networks, and the terms, gradients and updates of
a step. The script ends with an error if they differ. Then rounds alternate; medians are
printed, and the time of the first step, with compilation, apart. PyTorch runs in both
memory formats and the ratio is against the faster one. `--torch-compile` adds networks
and terms compiled by PyTorch (modes "default" and "reduce-overhead"), with another
ratio; a mode that fails is named and left out, and without a name it is "default". On
NVIDIA's GPUs both sides are timed with TF32 unless `--precision float32` is given,
except that ours multiplies the features of pair in float32 in any case. `--layers` adds
each layer's GFLOP/s beside the matmul's.

`--only check` compares and times nothing, `--only time` the reverse, and `--sides`
times some of the sides, so that several processes can fill the stores of compiled
programs (`JAX_COMPILATION_CACHE_DIR` and PyTorch's own) before one of them is timed.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import layer_table
import numpy as np
import torch
from step_sides import (
    SEED,
    Ours,
    Workload,
    compare,
    compare_answers,
    host_batch,
    make_ours,
    make_step,
    make_theirs,
    set_precision,
    their_targets,
    torch_device,
)
from step_timing import in_turn
from torch_crops import (
    Window,
    cut,
    cut_together,
    draw_window,
    seen,
    tensor,
    window_matrix,
)
from torch_step import TorchStep

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
        # DLF's students; the names of these fields are TSsKD's.
        "siamdw": (named("siamdw"), named("siamdw-s"), named("siamdw-l")),
        "mini-siamdw": (
            named("mini-siamdw"),
            named("mini-siamdw-s"),
            named("mini-siamdw-l"),
        ),
    }


# SiamDW's recipe, but for its changes of colour.
SIAMDW_WINDOWS = AugmentConfig(
    template_shift_px=4.0, search_shift_px=4.0, scale_of="window"
)


def make_workload(family: str, batch: int, row: str | None = None) -> Workload:
    """What is trained of a family, by a row's terms or those of the family's paper."""
    teacher, dull, intelligent = families()[family]
    windows, siamdw = AugmentConfig(), family.endswith("siamdw")
    if siamdw:
        windows = SIAMDW_WINDOWS
    elif teacher.head.proposes_boxes:
        shift = 64.0 * teacher.input.train_search_px / 271
        windows = AugmentConfig(
            search_stretch=0.18, template_shift_px=4.0, search_shift_px=shift
        )
    students = {"dull": dull, "intelligent": intelligent}
    row = row or ("gt+point+pair" if siamdw else "TSsKD")
    return Workload(teacher, students, batch, windows, row=row)


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


OURS, COMPILED = "dst_jax", "PyTorch compiled"
KINDS = ("dst_jax", "eager", "channels_last", "compiled")
# A side takes so many steps and returns when they are done.
Side: TypeAlias = Callable[[int], None]


def torch_side(
    theirs: TorchStep, ours: Ours, batch: Mapping[str, np.ndarray], mode: str = ""
) -> Side:
    """PyTorch's steps from the batch of patches, crops included."""
    spec, config = ours.workload.teacher.input, ours.workload.augment
    rng = np.random.default_rng(SEED)
    learnt = their_targets(ours.workload, theirs.device)
    stretch = config.stretch if config.search_stretch is None else config.search_stretch
    sides = {
        "template": (spec.template_px, config.stretch, config.template_shift_px),
        "search": (spec.train_search_px, stretch, config.search_shift_px),
    }
    cropped: Callable[..., torch.Tensor] = cut
    if theirs.device != "cpu":
        cropped = on_device(theirs, batch, compiled=bool(mode))
    if mode:
        theirs.compile(mode)

    def step() -> torch.Tensor:
        crops, boxes = [], torch.zeros(0)
        for name, (out_px, stretch, shift_px) in sides.items():
            patches = batch[f"{name}_patch"]
            window = draw_window(
                rng, patches, out_px, stretch=stretch, shift_px=shift_px
            )
            crops.append(theirs.place(cropped(patches, window, out_px)))
            boxes = tensor(seen(batch[f"{name}_box"], window, out_px))
        targets = learnt(boxes.to(theirs.device))
        terms, _ = theirs.learn(crops[0], crops[1], targets)
        return torch.stack(list(terms.values())).sum()

    def run(steps: int) -> None:
        total = step()
        for _ in range(steps - 1):
            total = step()
        total.item()
        if theirs.device != "cpu":
            torch.cuda.synchronize()  # the update too

    return run


def on_device(
    theirs: TorchStep, batch: Mapping[str, np.ndarray], *, compiled: bool
) -> Callable[..., torch.Tensor]:
    """A function like `cut` whose patches are on the device already."""
    held = {
        id(patches): torch.from_numpy(patches).to(theirs.device)
        for name, patches in batch.items()
        if name.endswith("_patch")
    }
    cropped = torch.compile(cut_together, dynamic=False) if compiled else cut_together

    def cut_there(patches: np.ndarray, window: Window, out_px: int) -> torch.Tensor:
        matrix = window_matrix(window, patches.shape[1]).to(theirs.device)
        return cropped(held[id(patches)], matrix, out_px)

    return cut_there


def our_side(ours: Ours, batch: Mapping[str, Any]) -> Side:
    """The same on our side."""
    state, step = ours.state, make_step(ours.workload)
    if jax.default_backend() != "cpu":
        batch = jax.device_put(dict(batch))

    def run(steps: int) -> None:
        nonlocal state
        metrics = None
        for _ in range(steps):
            state, metrics = step(state, ours.constants, batch)
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


def alternate(sides: Mapping[str, Side], rounds: int, steps: int) -> dict[str, Times]:
    """Times every side in every round, the order turning."""
    times = {name: Times([], []) for name in sides}
    for name in in_turn(sides, rounds):
        began = time.perf_counter(), time.process_time()
        sides[name](steps)
        times[name].wall.append((time.perf_counter() - began[0]) / steps)
        times[name].cpu.append((time.process_time() - began[1]) / steps)
    return times


def report(times: Mapping[str, Times], batch: int) -> None:
    """Prints pairs/s and the ratios to the faster PyTorch, eager and compiled."""
    for name, (wall, cpu) in times.items():
        speed, low, high = (batch / f(wall) for f in (statistics.median, max, min))
        print(f"  {name:24}{speed:8.2f} pairs/s  ({low:.2f} to {high:.2f})", end="")
        print(f", {statistics.median(cpu):.2f} CPU s per step")
    kinds: dict[bool, list[str]] = {}
    for name in times if OURS in times else ():
        if name != OURS:
            kinds.setdefault(name.startswith(COMPILED), []).append(name)
    for names in kinds.values():
        best = min(names, key=lambda name: statistics.median(times[name].wall))
        for what in Times._fields:
            pairs = (getattr(times[name], what) for name in (best, OURS))
            ratios = [theirs / ours for theirs, ours in zip(*pairs, strict=True)]
            middle = statistics.median(ratios)
            print(f"  ratio {OURS} / {best}, {what}: {middle:.2f}", end="")
            print(f" ({min(ratios):.2f} to {max(ratios):.2f} by round)", flush=True)


def sides_of(
    ours: Ours, batch: Mapping[str, np.ndarray], kinds: list[str], modes: list[str]
) -> dict[str, Side]:
    """Returns the sides after their first step, whose seconds are printed."""
    makers: dict[str, Callable[[], Side]] = {}
    if "dst_jax" in kinds:
        makers[OURS] = lambda: our_side(ours, batch)
    if "eager" in kinds:
        makers["PyTorch"] = lambda: torch_side(make_theirs(ours), ours, batch)
    if "channels_last" in kinds:
        makers["PyTorch channels_last"] = lambda: torch_side(
            make_theirs(ours, layout=torch.channels_last), ours, batch
        )
    for mode in modes if "compiled" in kinds else ():
        makers[f"{COMPILED}, {mode}"] = lambda mode=mode: torch_side(
            make_theirs(ours, layout=torch.channels_last), ours, batch, mode
        )
    sides = {}
    for name, make in makers.items():
        began = time.perf_counter()
        try:
            side = make()
            side(1)
        except Exception as error:
            if not name.startswith(COMPILED):
                raise
            print(f"  {name} fails: {str(error).strip().splitlines()[0]}", flush=True)
            continue
        seconds = time.perf_counter() - began
        print(f"  {name:24} first step, not counted: {seconds:6.1f} s", flush=True)
        side(2)
        sides[name] = side
    return sides


def limit_threads(threads: int) -> None:
    """Both sides run on this many cores; before JAX starts its own threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--family", default="siamfc", choices=families())
    add("--row", default=None, help="a row of the tables, or terms such as gt+point")
    add("--batch", type=int, default=None, help="8; miniatures 16")
    add("--rounds", type=int, default=7)
    add("--steps", type=int, default=2, help="steps per round")
    add("--threads", type=int, default=2)
    add("--tolerance", type=float, default=1e-4)
    add("--precision", choices=("tf32", "float32"), default="tf32")
    add("--torch-compile", nargs="*", metavar="MODE", default=None)
    add("--only", choices=("check", "time"), default=None)
    add("--sides", nargs="+", choices=KINDS, default=[*KINDS])
    add("--layers", action="store_true")
    return parser.parse_args()


def check_both(ours: Ours, batch: Mapping[str, np.ndarray], tolerance: float) -> None:
    """Compares both sides in float32, and prints how long it took."""
    set_precision("float32")
    began = time.perf_counter()
    check(compare_answers(ours) | compare(ours, batch), tolerance)
    seconds = time.perf_counter() - began
    print(f"comparison, with its compilation: {seconds:.1f} s", flush=True)


def main() -> None:
    """Checks, times and prints."""
    given = parsed()
    limit_threads(given.threads)
    batch = given.batch or (16 if given.family.startswith("mini") else 8)
    workload = make_workload(given.family, batch, given.row)
    print(f"{given.family}, {workload.row}, batch {batch}, {given.threads} threads,")
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind},", end=" ")
    print(f"torch {torch.__version__} on {torch_device()}", flush=True)
    set_precision("float32")
    patches = host_batch(workload)
    ours = make_ours(workload, patches)
    if given.only != "time":
        check_both(ours, patches, given.tolerance)
    if given.only == "check":
        return
    set_precision(given.precision)
    torch.backends.cudnn.benchmark = True
    modes = given.torch_compile
    modes = ["default"] if modes == [] else modes or []
    sides = sides_of(ours, patches, given.sides, modes)
    report(alternate(sides, given.rounds, given.steps), batch)
    if given.layers:
        layer_table.print_table(
            workload.teacher, workload.students, batch, given.rounds
        )


if __name__ == "__main__":
    sys.exit(main())
