"""OSTrack and LoReTrack on an accelerator: the same numbers as PyTorch, and how fast.

    python scripts/bench_ostrack.py --parity
    python scripts/bench_ostrack.py --step --attention auto cudnn
    python scripts/bench_ostrack.py --track
    python scripts/bench_ostrack.py --parity --step --track --family mini-ostrack \
        --sizes 96 64 48 --batch 4 --steps 2 --rounds 2 --frames 8    # on a CPU

The first of the sizes is the teacher's, the second the student's; all of them track.
Weights, images and boxes are random.

`--parity`: both networks' answers, the losses (2 GIoU + 5 L1 + focal, QKV, Disc) and
the student's gradient, here and in PyTorch, in float32 without TF32, without drop-path.

`--step`: everything between a host batch of uint8 windows and an updated student:
flips, the frozen teacher, the resized images, the student forward and back with all
losses, drop-path, clipping and AdamW. PyTorch's sides do the same with its fused
attention and fused AdamW, step by step ("eager") and with all networks and losses in
one `torch.compile` ("compiled"). "full" is float32 with products in TF32 on both
sides, where the device has it; "bfloat16" computes in it on both sides, with weights in
float32 (`torch.autocast` there). Rounds of several steps alternate, the order turning;
compilation is timed apart. MFU counts multiply-adds of all layers with attention, a
student's pass back as two forward ones, over NVIDIA's peak for the precision.

`--track`: frames/s of our tracker, in float32 (TF32), with frames in memory.

What fails ends its own line and not the others, and the script with an error at its
end. `--warm` only compiles, which fills the caches of JAX (`JAX_COMPILATION_CACHE_DIR`)
and PyTorch.
"""

import argparse
import functools
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from bench_sizes import TERMS, prepared, work
from step_timing import in_turn, noise_batch

from dst_jax.arch import TrackerSpec, named
from dst_jax.models import ModelConfig, Variables, init_variables
from dst_jax.ops.attention import default_attention_formulation
from dst_jax.track import make_tracker
from dst_jax.train import OptimConfig
from dst_jax.workflows.peaks import peak_of

OPTIM = OptimConfig(
    method="adamw",
    learning_rate=4e-4,
    final_learning_rate=4e-4,
    weight_decay=1e-4,
    clip_norm=0.1,
)
PAIRS = 18_000_000  # 300 epochs of 60,000
# Values must agree to `TOLERANCE` of the largest; the gradient to a hundred times as
# much, since a value that rounding moves across a ReLU's zero, or to another best cell,
# passes its gradient on one side only.
TOLERANCE = 1e-4
Runs = dict[str, Callable[[], float]]


def say(text: str) -> None:
    """Prints a line at once, so that it stays if a later part fails."""
    print(text, flush=True)


def on_gpu() -> bool:
    """Whether JAX computes on a GPU; PyTorch then does so too."""
    return jax.default_backend() == "gpu"


def check_parity(args: argparse.Namespace) -> None:
    """Prints all differences; ends the script if one is too large."""
    import torch
    from ostrack_parity import differences

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    began = time.perf_counter()
    with jax.default_matmul_precision("highest"):
        found = differences(networks_of(args), args.parity_batch, OPTIM)
    say(f"relative differences, {args.parity_batch} pairs, float32 without TF32:")
    wrong = []
    for name, value in found.items():
        limit = TOLERANCE * (100.0 if name.endswith("/gradient") else 1.0)
        say(f"  {name:20}{value:10.1e}{'' if value <= limit else '  TOO LARGE'}")
        wrong += [name] if not value <= limit else []
    say(f"parity took {time.perf_counter() - began:.1f} s")
    if wrong:
        raise SystemExit(f"both sides differ in {', '.join(wrong)}")


def networks_of(args: argparse.Namespace) -> dict[str, TrackerSpec]:
    """The teacher and the student."""
    teacher, student = (named(f"{args.family}-{px}") for px in args.sizes[:2])
    return {"teacher": teacher, "student": student}


@functools.cache
def fresh(spec: TrackerSpec) -> Variables:
    """A network's first variables; the base's take seconds to draw."""
    return init_variables(jax.random.key(0), spec)


def our_sides(
    args: argparse.Namespace, precision: Any, batch: Any
) -> Iterator[tuple[str, Callable[[], Callable[[], float]]]]:
    """Our steps by name, one for each way to compute attention that differs."""
    specs = networks_of(args)
    usual = default_attention_formulation(
        "bfloat16" if precision == "bfloat16" else "float32"
    )
    seen = set[str]()
    for asked in args.attention:
        used = usual if asked == "auto" else asked
        if used in seen or (used == "cudnn" and precision == "full"):
            continue
        seen.add(used)
        model = ModelConfig(precision=precision, attention=asked)
        given = (specs["teacher"], {"student": specs["student"]}, batch, model)
        make = functools.partial(prepared, *given, optim=OPTIM, steps=args.steps)
        yield f"dst_jax, attention {used}", make


def their_side(
    args: argparse.Namespace, precision: str, batch: Any, *, whole: bool
) -> Callable[[], float]:
    """PyTorch's steps, in eager mode or compiled."""
    import torch
    from torch_ostrack import TorchStep, sum_of

    # `allow_tf32` of convolutions is PyTorch's default, that of products is not.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    teacher, student = networks_of(args).values()
    step = TorchStep(
        (teacher, fresh(teacher)),
        (student, fresh(student)),
        TERMS,
        OPTIM,
        device="cuda" if on_gpu() else "cpu",
        half=precision == "bfloat16",
        compiled=whole,
    )
    feed = step.batches(batch)

    def run() -> float:
        began, terms = time.perf_counter(), {}
        for _ in range(args.steps):
            terms = step.learn(*next(feed))
        sum_of(terms.values()).item()
        return (time.perf_counter() - began) / args.steps

    return run


def prepared_sides(
    args: argparse.Namespace, precision: str, batch: Mapping[str, np.ndarray]
) -> tuple[Runs, list[str]]:
    """Sides that could be compiled and run once, and the names of the others."""
    makers = dict(our_sides(args, precision, batch) if "here" in args.sides else ())
    for side in ("eager", "compiled"):
        if side in args.sides:
            whole = side == "compiled"
            makers[f"PyTorch, {side}"] = functools.partial(
                their_side, args, precision, batch, whole=whole
            )
    runs: Runs = {}
    failed = []
    for name, make in makers.items():
        began = time.perf_counter()
        try:
            run = make()
            run()
        except Exception as error:
            if out_of_memory(error):
                raise
            say(f"  {name}: FAILED, {type(error).__name__}: {str(error)[:300]}")
            failed.append(name)
            continue
        seconds = time.perf_counter() - began
        say(f"  {name}: {seconds:.1f} s to compile and for {args.steps} steps")
        runs[name] = run
    return runs, failed


def out_of_memory(error: Exception) -> bool:
    """Whether a device of either side had no memory left."""
    text = f"{type(error).__name__} {error}"
    return "RESOURCE_EXHAUSTED" in text or "OutOfMemoryError" in text


def bench_steps(args: argparse.Namespace) -> list[str]:
    """Prints pairs/s, ratios, MFU and hours by precision; returns what failed."""
    failed = list[str]()
    sides = networks_of(args)["teacher"].input
    sizes = {"template": sides.template_px, "search": sides.search_px}
    for precision in args.precision:
        for count in (args.batch, args.batch // 2):
            try:
                say(f"{precision}, batch {count}: compiling")
                batch = noise_batch(sizes, count)
                runs, without = prepared_sides(args, precision, batch)
                failed += without
                if not args.warm:
                    report(args, precision, count, alternated(runs, args.rounds))
                break
            except Exception as error:
                if not out_of_memory(error):
                    raise
                say(f"  batch {count}: no memory left; half of it")
            finally:
                runs = {}
                free_memory()
        else:
            failed.append(f"{precision}, for want of memory")
    return failed


def names(args: argparse.Namespace) -> list[str]:
    """Names of student and teacher."""
    return [f"{args.family}-{px}" for px in args.sizes[1::-1]]


def free_memory() -> None:
    """Gives back what PyTorch keeps of the sides that are gone."""
    gc.collect()
    if on_gpu():
        import torch

        torch.cuda.empty_cache()


def alternated(runs: Runs, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step by side and round, the order turning."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name in in_turn(runs, rounds):
        times[name].append(runs[name]())
    return times


def pair_flops(teacher: TrackerSpec, student: TrackerSpec) -> int:
    """Floating-point operations of a pair; a pass back is two forward ones."""
    return 2 * (work(teacher) + 3 * work(student))


def report(
    args: argparse.Namespace,
    precision: str,
    count: int,
    times: Mapping[str, list[float]],
) -> None:
    """Prints what the rounds of one precision gave."""
    specs = networks_of(args)
    flops = pair_flops(specs["teacher"], specs["student"])
    peak = peak_flops(args, precision)
    middles = {name: statistics.median(found) for name, found in times.items()}
    say(f"{precision}, batch {count}, {' under '.join(names(args))}:")
    for name, seconds in middles.items():
        speed = count / seconds
        low, high = count / max(times[name]), count / min(times[name])
        line = f"  {name:26}{speed:9.1f} pairs/s ({low:.1f} to {high:.1f}), "
        line += f"{1e3 * seconds:.1f} ms, {PAIRS / speed / 3600:.1f} h for 18 M pairs"
        say(line + (f", MFU {speed * flops / peak:.1%}" if peak else ""))
    others = [name for name in middles if name.startswith("PyTorch")]
    for name in (n for n in middles if others and not n.startswith("PyTorch")):
        for other in others:
            pairs = zip(times[other], times[name], strict=True)
            ratios = [theirs / ours for theirs, ours in pairs]
            span = f"({min(ratios):.2f} to {max(ratios):.2f} by round)"
            say(f"  {name} / {other}: {statistics.median(ratios):.2f} {span}")
    say(f"  {flops / 1e9:.1f} GFLOP a pair; {memory()}")


def peak_flops(args: argparse.Namespace, precision: str) -> float | None:
    """The device's peak: TF32 on NVIDIA's has half of bfloat16's; None if unknown."""
    peak = peak_of(jax.local_devices()[0].device_kind)
    flops = 1e12 * args.peak if args.peak else peak and peak.flops
    return flops and (flops if precision == "bfloat16" else 0.5 * flops)


def memory() -> str:
    """The most that both libraries have held so far."""
    if not on_gpu():
        return "memory not known"
    import torch

    ours = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    theirs = torch.cuda.max_memory_allocated()
    return (
        f"most memory so far: JAX {ours / 2**30:.1f}, PyTorch {theirs / 2**30:.1f} GiB"
    )


def bench_tracking(args: argparse.Namespace) -> list[str]:
    """Prints frames/s of our tracker by size and batch; returns what failed."""
    frames, box = video(args)
    height, width = frames[0].shape[:2]
    runs: Runs = {}
    failed = []
    for px in args.sizes:
        spec = named(f"{args.family}-{px}")
        tracker = make_tracker(spec, fresh(spec))
        for count in args.track_batches:
            run = functools.partial(tracked, tracker, frames, box, count)
            began, name = time.perf_counter(), f"{args.family}-{px}, batch {count}"
            try:
                run()
            except Exception as error:
                text = str(error)[:300]
                say(f"  {name}: FAILED, {type(error).__name__}: {text}")
                failed.append(name)
                continue
            seconds = time.perf_counter() - began
            say(f"  {name}: {seconds:.1f} s to compile and for one video each")
            runs[name] = run
    if args.warm:
        return failed
    say(f"tracking, {len(frames)} frames of {height} x {width} in memory:")
    for name, found in alternated(runs, args.rounds).items():
        low, middle, high = (1.0 / f(found) for f in (max, statistics.median, min))
        say(f"  {name:28}{middle:9.1f} frames/s ({low:.1f} to {high:.1f})")
    return failed


def tracked(
    tracker: Any, frames: list[np.ndarray], box: np.ndarray, count: int
) -> float:
    """Seconds a frame of so many videos at a time."""
    began = time.perf_counter()
    videos = [iter(frames) for _ in range(count)]
    tracker.track_many(videos, np.tile(box, (count, 1)), batch=count)
    return (time.perf_counter() - began) / (count * len(frames))


def video(args: argparse.Namespace) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of noise in memory, and a box in the middle of the first."""
    rng, (height, width) = np.random.default_rng(0), args.frame
    shape = (args.frames, height, width, 3)
    frames = list(rng.integers(0, 256, shape, dtype=np.uint8))
    box = np.array([width / 2, height / 2, width / 6, height / 6], np.float32)
    return frames, box


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for part in ("parity", "step", "track", "warm"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--family", default="ostrack")
    parser.add_argument("--sizes", type=int, nargs="+", default=[384, 256, 192])
    parser.add_argument("--batch", type=int, default=32, help="pairs of a step")
    parser.add_argument("--parity-batch", type=int, default=4)
    kinds = ("full", "bfloat16")
    parser.add_argument("--precision", nargs="+", choices=kinds, default=list(kinds))
    forms = ("auto", "plain", "xla", "cudnn")
    parser.add_argument("--attention", nargs="+", choices=forms, default=["auto"])
    sides = ("here", "eager", "compiled")
    parser.add_argument("--sides", nargs="+", choices=sides, default=list(sides))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="of each round")
    parser.add_argument("--peak", type=float, help="of bfloat16, TFLOP/s")
    parser.add_argument("--track-batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--frame", type=int, nargs=2, default=(240, 360))
    args = parser.parse_args()
    if len(args.sizes) < 2:
        parser.error("--sizes: give the teacher's and the student's")
    return args


def main() -> None:
    """Runs the parts that were asked for."""
    args = parsed()
    # JAX would keep three quarters of the memory from PyTorch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    device = jax.local_devices()[0]
    say(f"jax {jax.__version__} on {device.device_kind}, {os.cpu_count()} cores")
    failed = bench_steps(args) if args.step else []
    failed += bench_tracking(args) if args.track else []
    if args.parity:
        check_parity(args)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
