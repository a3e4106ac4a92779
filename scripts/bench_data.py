"""Pairs/s of the data's way to the step, beside a plain PyTorch `DataLoader`.

    python scripts/bench_data.py --data got10k:DIR --family siamfc
    python scripts/bench_data.py --data got10k:DIR --family siamrpn

Both sides begin with files on disk and end with augmented float tensors of the same
pairs on the same cores: ours reads a pack (made first, in a temporary folder) and crops
inside a compiled function, PyTorch's workers decode frames and cut them by OpenCV.
First the two are asked for the same pairs, and the script ends with an error if the
images differ without augmentation, or in mean or spread with it (each side draws its
own windows). Rounds alternate; medians and the ratio's quartiles are printed, and what
a pair costs in time on a core, which other work on the machine changes little.

Then the step that trains two students under a teacher, from one batch over and over,
and fed from the pack; and the wait for data of a step that takes `--step-ms` per pair
and none of the cores, as an accelerator's: from a pack, and with the small set on the
device, where the step itself gathers its batch and only row numbers come from the host.
`waited` is a share of the whole time, as in the training log.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import torch
import torch_loader
from bench_step import make_workload
from rich.console import Console
from step_sides import make_ours

from dst_jax.arch import named
from dst_jax.data.pipeline import (
    DataConfig,
    PatchSpec,
    make_numbered_examples,
    read_sources,
    train_batches,
)
from dst_jax.data.sequence import Sequence
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig, augment, centre_crops
from dst_jax.train import device_set
from dst_jax.workflows.pack import PackConfig, pack_data
from dst_jax.workflows.training_data import patch_spec

SEED = 0
PYSOT = AugmentConfig(
    stretch=0.05,
    search_stretch=0.18,
    template_shift_px=4.0,
    search_shift_px=64.0,
    colour=1.0,
    blur=0.2,
)
# The network whose crops are cut, how, and the family of the training step.
FAMILIES = {
    "siamfc": ("siamfc-alexnet", AugmentConfig(), "siamfc"),
    "siamfc-colour": ("siamfc-alexnet", AugmentConfig(flip=0.5, grey=0.25), "siamfc"),
    "siamrpn": ("siamrpn", PYSOT, "siamrpn"),
}


@dataclasses.dataclass(frozen=True)
class Bench:
    """One setting: data in both forms, patches, crops."""

    raw: tuple[Sequence, ...]
    packed: tuple[Sequence, ...]
    experiment: Experiment
    workers: int

    @property
    def patch(self) -> PatchSpec:
        """What the configuration needs of the host."""
        return patch_spec(self.experiment)

    def config(self, *, packed: bool) -> DataConfig:
        """The data's settings; frames are not kept, as in a large data set."""
        sources = sorted({s.source for s in (self.packed if packed else self.raw)})
        return DataConfig(
            sources=tuple(sources),
            batch=self.experiment.data.batch,
            threads=self.workers,
            cache_mb=0,
        )

    def batches(self, *, packed: bool) -> Iterator[dict[str, np.ndarray]]:
        """Our endless stream of host batches."""
        sequences = self.packed if packed else self.raw
        config = self.config(packed=packed)
        return train_batches(sequences, config, self.patch, seed=SEED)

    @functools.cached_property
    def crop(self) -> Callable[[Mapping[str, Any]], Any]:
        """The compiled crops; returns when they are there."""
        spec = next(iter(self.experiment.students.values())).input
        key = jax.random.key(SEED)
        compiled = jax.jit(
            lambda batch: augment(
                key, batch, input=spec, config=self.experiment.augment
            )
        )
        return lambda batch: jax.block_until_ready(compiled(batch))

    def loader(self) -> Any:
        """PyTorch's side of it."""
        config = self.config(packed=False)
        examples = make_numbered_examples(self.raw, config, self.patch, seed=SEED)
        spec = next(iter(self.experiment.students.values())).input
        pairs = torch_loader.Pairs(examples, spec, self.experiment.augment)
        return torch_loader.make_loader(pairs, batch=config.batch, workers=self.workers)


@contextlib.contextmanager
def prepared(args: argparse.Namespace) -> Iterator[Bench]:
    """Reads the data and packs them."""
    name, augmentation, _ = FAMILIES[args.family]
    experiment = Experiment(
        students={"student": named(name)},
        data=DataConfig(sources=(args.data,), batch=args.batch),
        augment=augmentation,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(args.pack or f"{scratch}/pack")
        packing = PackConfig(
            encoding=args.encoding, quality=args.quality, workers=args.workers
        )
        console = Console(quiet=True)
        done = pack_data(experiment, folder, config=packing, console=console)
        size = done.size / 2**20
        print(f"pack: {done.records} patches, {size:.1f} MiB, {done.seconds:.0f} s")
        raw, _ = read_sources(experiment.data)
        packed, _ = read_sources(DataConfig(sources=(f"packed:{folder}",)))
        yield Bench(raw, packed, experiment, args.workers)


def check(bench: Bench, pairs: int) -> None:
    """Ends the script if the two sides do not deliver the same."""
    plain = AugmentConfig(stretch=0.0, search_shift_px=0.0)
    spec = next(iter(bench.experiment.students.values())).input
    raw, packed = (
        make_numbered_examples(
            bench.packed if kind else bench.raw,
            bench.config(packed=kind),
            bench.patch,
            seed=SEED,
        )
        for kind in (False, True)
    )
    batch = packed.batch(range(pairs))
    ours = centre_crops(batch, input=spec)
    theirs = torch_loader.Pairs(raw, spec, plain).__getitems__(range(pairs))
    levels, boxes = [], []
    for index, (z, x, box) in enumerate(theirs):
        for a, b in ((z, ours.template[index]), (x, ours.search[index])):
            levels.append(np.abs(np.asarray(a, np.float32) - np.asarray(b)).mean())
        boxes.append(np.abs(box - np.asarray(ours.search_box[index])).max())
    apart, moved = float(np.mean(levels)), float(np.max(boxes))
    print(f"check: crops of {pairs} pairs differ by {apart:.2f} of 255 levels")
    # JPEG and a second interpolation; a crop beside the target differs by tens.
    if apart > 3.0 or moved > 0.01:
        sys.exit(f"the two sides do not deliver the same (boxes: {moved} px)")
    augmented = torch_loader.Pairs(raw, spec, bench.experiment.augment)
    check_augmented(bench.crop(batch), augmented.__getitems__(range(pairs)))


def check_augmented(ours: Any, theirs: list[torch_loader.Example]) -> None:
    """Ends the script if augmented crops differ in mean, spread or sharpness."""
    for number, name in enumerate(("template", "search")):
        sides = (
            np.asarray(getattr(ours, name), np.float32),
            np.stack([example[number] for example in theirs]).astype(np.float32),
        )
        facts = [[float(f(x)) for f in (np.mean, np.std, _roughness)] for x in sides]
        told = " and ".join(f"{m:.1f}, {s:.1f}, {step:.2f}" for m, s, step in facts)
        print(
            f"check: augmented {name} crops have mean, spread and step to the next "
            f"pixel of {told}"
        )
        # A pack is interpolated twice, which smooths.
        ratios = [a / b for a, b in zip(*facts, strict=True)]
        limits = 0.05, 0.05, 0.3
        close = all(abs(r - 1.0) < x for r, x in zip(ratios, limits, strict=True))
        if sides[0].shape != sides[1].shape or not close:
            sys.exit("the two sides do not augment alike")


def _roughness(crops: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.diff(crops, axis=2)).mean())


def rate(
    take: Callable[[], Any], *, batch: int, warm: int, seconds: float
) -> tuple[float, float]:
    """Pairs/s and core milliseconds per pair of `take`, after `warm` of its batches."""
    for _ in range(warm):
        take()
    began, spent, taken = time.perf_counter(), core_seconds(), 0
    while time.perf_counter() - began < seconds or not taken:
        take()
        taken += batch
    elapsed = time.perf_counter() - began
    return taken / elapsed, 1e3 * (core_seconds() - spent) / taken


def core_seconds() -> float:
    """Time that this process and the loader's workers have had a core."""
    spent = time.process_time()
    for child in torch.multiprocessing.active_children():
        fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        spent += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return spent


def stages(bench: Bench) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; each call delivers one batch."""
    config, number = bench.config(packed=True), iter(range(2**31))
    alone = make_numbered_examples(bench.packed, config, bench.patch, seed=SEED)
    ready = alone.batch(range(config.batch))
    host, whole = bench.batches(packed=True), bench.batches(packed=True)
    frames, loader = bench.batches(packed=False), bench.loader()

    def decode() -> None:
        first = next(number) * config.batch
        alone.batch(range(first, first + config.batch))

    return {
        "ours: decode, one thread": decode,
        "ours: pipeline, uint8 patches": lambda: next(host),
        "ours: crops alone": lambda: bench.crop(ready),
        "ours: packed to float crops": lambda: bench.crop(next(whole)),
        "ours: frames to float crops": lambda: bench.crop(next(frames)),
        "PyTorch: frames to float crops": lambda: torch_loader.to_floats(next(loader)),
    }


def compare(bench: Bench, args: argparse.Namespace) -> None:
    """Alternates the stages and prints medians and the ratio."""
    timed, found = stages(bench), {}
    for name, take in timed.items():
        rate(take, batch=1, warm=4, seconds=0.0)
        found[name] = []
    for _ in range(args.rounds):
        for name, take in timed.items():
            # What has been read ahead since this stage's last turn does not count.
            warm = 9 + 4 * args.workers
            result = rate(take, batch=args.batch, warm=warm, seconds=args.seconds)
            found[name].append(result)
    print_rates(found)
    base = found["PyTorch: frames to float crops"]
    for name in ("ours: packed to float crops", "ours: frames to float crops"):
        both = list(zip(found[name], base, strict=True))
        speed = [ours[0] / theirs[0] for ours, theirs in both]
        cost = [theirs[1] / ours[1] for ours, theirs in both]
        low, middle, high = statistics.quantiles(speed, n=4)
        print(
            f"{name} / PyTorch: {middle:.2f} times the pairs/s (quartiles {low:.2f} "
            f"to {high:.2f}), {statistics.median(cost):.2f} times per core second"
        )


def print_rates(found: Mapping[str, list[tuple[float, float]]]) -> None:
    """A line for each way."""
    for name, values in found.items():
        speed, cost = (statistics.median(v) for v in zip(*values, strict=True))
        print(f"{name:32s} {speed:8.4g} pairs/s {cost:8.3g} core ms per pair")


def training(bench: Bench, args: argparse.Namespace) -> None:
    """Times the joint training step, from one batch and from the pack."""
    workload = dataclasses.replace(
        make_workload(FAMILIES[args.family][2], args.batch),
        augment=bench.experiment.augment,
    )
    host = bench.batches(packed=True)
    ready = next(host)
    ours = make_ours(workload, ready)
    held = [ours.state]

    def step(batch: Mapping[str, Any]) -> None:
        held[0], _ = ours.step(held[0], ours.constants, batch)
        jax.block_until_ready(held[0])

    timed = {
        "ours: training step": lambda: step(ready),
        "ours: packed to training step": lambda: step(next(host)),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    step(ready)
    for _ in range(args.step_rounds):
        for name, take in timed.items():
            found[name].append(
                rate(take, batch=args.batch, warm=1, seconds=args.seconds)
            )
    print_rates(found)


def wait_share(
    batches: Iterator[Any], *, batch: int, step_ms: float, seconds: float
) -> float:
    """Share of the time in which a step of fixed length waits for its batch."""
    for _ in range(16):
        next(batches)
    waited, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        next(batches)
        waited += time.perf_counter() - asked
        time.sleep(batch * step_ms / 1e3)
    return waited / (time.perf_counter() - began)


def waits(bench: Bench, args: argparse.Namespace) -> None:
    """Prints the wait for data of a stub step."""
    config = bench.config(packed=True)
    streams = {
        "packed": bench.batches(packed=True),
        "on the device": device_set(
            bench.packed, config, bench.patch, seed=SEED
        ).batches,
    }
    found: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(args.rounds):
        for name, batches in streams.items():
            share = wait_share(
                batches, batch=args.batch, step_ms=args.step_ms, seconds=args.seconds
            )
            found[name].append(share)
    for name, values in found.items():
        median, worst = statistics.median(values), max(values)
        print(
            f"step of {args.step_ms:g} ms per pair, {name}: waited {median:.2%} "
            f"(at most {worst:.2%})"
        )


def arguments() -> argparse.Namespace:
    """The command line."""
    root = os.environ.get("DST_JAX_DATA", "../shared/data")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default=f"got10k:{root}/train")
    parser.add_argument("--family", choices=FAMILIES, default="siamfc")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help="at least 2")
    parser.add_argument("--step-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement")
    parser.add_argument("--encoding", choices=("jpeg", "raw"), default="jpeg")
    parser.add_argument("--quality", type=int, default=95)
    parser.add_argument("--step-ms", type=float, default=1.0, help="per pair")
    parser.add_argument("--pack", help="keep the pack in this folder")
    return parser.parse_args()


def main() -> None:
    """Prepares, checks, compares."""
    args = arguments()
    with prepared(args) as bench:
        check(bench, pairs=32)
        compare(bench, args)
        training(bench, args)
        waits(bench, args)


if __name__ == "__main__":
    main()
