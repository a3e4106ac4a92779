"""Frames/s over a data set: videos in a batch, one after another, and plain PyTorch.

    python scripts/bench_eval.py --dataset otb:OTB --network dstfc
    python scripts/bench_eval.py --dataset otb:OTB --tracker BUNDLE --batches 4 16
    python scripts/bench_eval.py --dataset otb:OTB --network dstfc --memory
    python scripts/bench_eval.py --dataset otb:OTB --network dstfc --restarts

All sides decode the same files (with --memory nobody does, frames are decoded before),
start from the first true boxes and answer with a box for every frame. They take turns
for some rounds, and medians are printed. Compilation is timed apart. "one after
another" hands each video to `Tracker.track`; "batched" is what `dst-jax evaluate` does,
with so many videos at a time; PyTorch, if it is there, is the restatement of
`bench_track.py`, for trackers of SiamFC's kind. Boxes of the first two must agree.
With --restarts trackers are started anew after failures, by the rules of VOT2019 and
with the true boxes as regions: "one after another" then asks a `Session` for each
frame, as VOT's toolkit does, "batched" is what `dst-jax evaluate` does, and frames/s
are of all frames, those between a failure and a start too.
On cores that others use as well, PyTorch's threads wait for each other in loops:
`OMP_WAIT_POLICY=PASSIVE` in front of the command is fairer to it.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dst_jax.arch import named
from dst_jax.boxes import cxcywh_to_xywh, iou, xywh_to_cxcywh
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.data.frames import read_frame
from dst_jax.data.sequence import Sequence as Video
from dst_jax.evaluate.protocols import ResetProtocol, named_protocol
from dst_jax.evaluate.restart_run import run_with_restarts
from dst_jax.models import init_variables
from dst_jax.regions import NOWHERE, starting_box
from dst_jax.track import Session, SiamFCTracking, Tracker, make_tracker
from dst_jax.track.canvases import default_batch
from dst_jax.typing import Region
from dst_jax.workflows import runner
from dst_jax.workflows.evaluation import read_videos
from dst_jax.workflows.pace import Pace, conditions
from dst_jax.workflows.resets import follow_bundle_with_resets, region_truths

ALONE, TORCH = "one after another", "PyTorch"
# Batches round differently, which may move a peak by a sample now and then.
LEAST_OVERLAP = 0.98

Boxes = Mapping[str, np.ndarray]
Side = Callable[[], Boxes]


@dataclasses.dataclass(frozen=True)
class Found:
    """What the sides took.

    Attributes:
      frames: Number of frames of all videos.
      seconds: Of each round, by side.
      compile_s: Seconds of the first call of each side, in which it compiles.
      overlap: Mean overlap of each side's boxes with those of `ALONE`.
    """

    frames: int
    seconds: Mapping[str, list[float]]
    compile_s: Mapping[str, float]
    overlap: Mapping[str, float]

    def fps(self, side: str) -> float:
        """Frames per second, the median over rounds."""
        return self.frames / float(np.median(self.seconds[side]))

    def ratio(self, side: str) -> float:
        """Times the speed of `ALONE`, the median over rounds."""
        pairs = np.array(self.seconds[ALONE]) / np.array(self.seconds[side])
        return float(np.median(pairs))


def first_frames(videos: Iterable[Video], count: int | None) -> list[Video]:
    """The videos, cut after so many frames."""
    return [
        dataclasses.replace(
            video,
            frames=video.frames[:count],
            boxes=video.boxes[:count],
            visible=video.visible[:count],
            stated=None,
            covered=None,
            regions=None,
        )
        for video in videos
    ]


def decoded(video: Video) -> Iterator[np.ndarray]:
    """The frames of a video, decoded one by one."""
    return (read_frame(path) for path in video.frames)


def sides_of(
    tracker: Tracker,
    videos: Sequence[Video],
    batches: Sequence[int],
    *,
    memory: bool = False,
) -> dict[str, Side]:
    """The ways to get the boxes of all videos with our tracker, by name."""
    held = {v.name: list(decoded(v)) for v in videos} if memory else None

    def alone() -> Boxes:
        frames = {v.name: held[v.name] if held else decoded(v) for v in videos}
        return {v.name: tracker.track(frames[v.name], v.boxes[0]).boxes for v in videos}

    def batched(batch: int) -> Boxes:
        if held:
            ordered = sorted(videos, key=lambda v: (v.size, len(v)), reverse=True)
            first = np.stack([v.boxes[0] for v in ordered])
            frames = [held[v.name] for v in ordered]
            found = tracker.track_many(frames, first, batch=batch)
            return {v.name: f.boxes for v, f in zip(ordered, found, strict=True)}
        pace = Pace(conditions(batch, tracker.spec))
        outcomes = list(runner.follow(tracker, videos, pace=pace))
        return {outcome.name: outcome.found for outcome in outcomes}

    made: dict[str, Side] = {ALONE: alone}
    for batch in batches:
        made[f"batched, {batch}"] = lambda batch=batch: batched(batch)
    return made


def with_regions(videos: Iterable[Video]) -> list[Video]:
    """The videos with their true boxes as VOT's regions."""
    found = []
    for video in videos:
        rows = np.asarray(cxcywh_to_xywh(video.boxes.astype(float))).tolist()
        regions = tuple(NOWHERE if np.isnan(row).any() else tuple(row) for row in rows)
        size = video.size or read_frame(video.frames[0]).shape[:2]
        found.append(dataclasses.replace(video, regions=regions, size=size))
    return found


def restart_sides(
    bundle: Bundle, videos: Sequence[Video], batches: Sequence[int]
) -> dict[str, Side]:
    """The ways to get the runs with restarts on all videos, by name."""
    protocol = named_protocol("vot2019")
    assert isinstance(protocol, ResetProtocol)
    truths = region_truths(videos)
    session = Session(bundle)

    def follow(video: Video, start: int) -> Iterator[Region]:
        assert video.regions is not None
        first, *rest = video.frames[start:]
        box = np.asarray(cxcywh_to_xywh(starting_box(video.regions[start])))
        session.init(read_frame(first), tuple(box.tolist()))
        return (tuple(session.update(read_frame(path)).box) for path in rest)

    def alone() -> Boxes:
        return {
            video.name: run_boxes(
                run_with_restarts(
                    lambda start, video=video: follow(video, start),
                    truths[video.name],
                    skip=protocol.skip,
                )
            )
            for video in videos
        }

    def batched(batch: int) -> Boxes:
        pace = Pace(conditions(batch, bundle.spec))
        done = follow_bundle_with_resets(bundle, videos, protocol, name="", pace=pace)
        return {one.name: run_boxes(one.found[0]) for one in done if one.found}

    made: dict[str, Side] = {ALONE: alone}
    for batch in batches:
        made[f"batched, {batch}"] = lambda batch=batch: batched(batch)
    return made


def run_boxes(run: Sequence[Region]) -> np.ndarray:
    """The boxes of a run, cxcywh; a code is a pixel far away, each at its own place."""
    rows = [row if len(row) == 4 else (-100.0 * (1 + row[0]), 0, 1, 1) for row in run]
    return np.asarray(xywh_to_cxcywh(np.array(rows, float)))


def torch_side(
    tracker: Tracker, videos: Sequence[Video], *, threads: int
) -> dict[str, Side]:
    """PyTorch's way, or nothing where PyTorch is absent or restates no such tracker."""
    siamfc = SiamFCTracking()
    if importlib.util.find_spec("torch") is None or tracker.config != siamfc:
        return {}
    import bench_track
    import torch

    torch.set_num_threads(threads)
    theirs = bench_track.TorchTracker(tracker.spec, jax.device_get(tracker.variables))

    def run() -> Boxes:
        return {
            v.name: bench_track.run_torch(theirs, list(v.frames), v.boxes[0])[0]
            for v in videos
        }

    return {TORCH: run}


def compare(sides: Mapping[str, Side], frames: int, *, rounds: int) -> Found:
    """Runs all sides in turns."""
    boxes, compile_s = {}, {}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            boxes[name] = side()
            took = time.perf_counter() - began
            if turn:
                seconds[name].append(took)
            else:
                compile_s[name] = took
    wanted = boxes[ALONE]
    overlap = {name: mean_overlap(found, wanted) for name, found in boxes.items()}
    return Found(frames, seconds, compile_s, overlap)


def mean_overlap(found: Boxes, wanted: Boxes) -> float:
    """The mean overlap of two trackers' boxes."""
    both = [(found[n].astype(float), wanted[n].astype(float)) for n in wanted]
    return float(np.mean(np.concatenate([iou(*pair) for pair in both])))


def check(found: Found) -> None:
    """Ends the benchmark where batches give other boxes than single videos do.

    Raises:
      SystemExit: If they do.
    """
    for name, overlap in found.overlap.items():
        if name != TORCH and not overlap >= LEAST_OVERLAP:
            raise SystemExit(f"{name}: boxes overlap {overlap:.3f} with {ALONE}'s")


def lines(found: Found) -> Iterator[str]:
    """A table in Markdown."""
    yield "| side | frames/s | times one after another | overlap | first call, s |"
    yield "|---|---|---|---|---|"
    for name in found.seconds:
        yield (
            f"| {name} | {found.fps(name):.1f} | {found.ratio(name):.2f} "
            f"| {found.overlap[name]:.4f} | {found.compile_s[name]:.1f} |"
        )


def loaded(given: argparse.Namespace) -> Bundle:
    """The bundle, or one of a network with random weights."""
    if given.tracker is not None:
        return load_bundle(given.tracker)
    spec = named(given.network)
    variables = init_variables(jax.random.key(0), spec)
    return Bundle(spec, variables, make_tracker(spec, variables).config, {})


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", required=True, help="LAYOUT:DIR")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--tracker", type=pathlib.Path, help="a bundle")
    which.add_argument("--network", help="of the zoo, with random weights")
    parser.add_argument("--batches", type=int, nargs="+", default=None)
    parser.add_argument("--frames", type=int, default=None, help="of each video")
    parser.add_argument("--rounds", type=int, default=3)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--memory", action="store_true", help="decode before the clock")
    how.add_argument("--restarts", action="store_true", help="by the rules of VOT2019")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of one tracker."""
    given = options(arguments)
    bundle = loaded(given)
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    videos = first_frames(read_videos(given.dataset), given.frames)
    batches = given.batches or sorted({default_batch(), 4, 16})
    if given.restarts:
        sides = restart_sides(bundle, with_regions(videos), batches)
    else:
        sides = sides_of(tracker, videos, batches, memory=given.memory)
    if not given.memory and not given.restarts:
        sides |= torch_side(tracker, videos, threads=given.threads)
    frames = sum(map(len, videos))
    conditions_here = dataclasses.asdict(conditions(None, bundle.spec))
    on: dict[str, Any] = conditions_here | {"batch": batches}
    where = "in memory" if given.memory else "in files"
    print(f"{len(videos)} videos, {frames:,} frames {where}; {given.rounds} rounds")
    print(f"{on['device']}, {on['precision']}, {on['kernels']}, jax {jax.__version__}")
    print(f"load average {os.getloadavg()[0]:.1f} at the beginning")
    found = compare(sides, frames, rounds=given.rounds)
    print("\n".join(lines(found)))
    print(f"load average {os.getloadavg()[0]:.1f} at the end")
    check(found)
    if given.json is not None:
        figures = {n: {"fps": found.fps(n), "ratio": found.ratio(n)} for n in sides}
        given.json.write_text(json.dumps({"on": on, "sides": figures}, indent=2))


if __name__ == "__main__":
    main()
