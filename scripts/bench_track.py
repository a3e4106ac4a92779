"""Tracking speed, here and in a plain PyTorch + OpenCV restatement, side by side.

    python scripts/bench_track.py --weights siamfc_alexnet.pth --sequence OTB/Deer
    python scripts/bench_track.py --family siamdw --sequence OTB/Deer
    python scripts/bench_track.py --family ostrack --sequence OTB/Deer

The first runs SiamFC's teacher and a dull student, the second SiamDW and DLF's students
L and S, by SiamFC's procedure and with random weights, the third OSTrack's base, small
and tiny network at 128 and 96 px, with random weights; `--networks` chooses others.

Both sides decode the same JPEG files, run on the same cores and answer with one box
per frame. Runs alternate and medians are printed; compilation is timed apart. The
restatement is an honest one: `inference_mode`, as many threads as there are cores,
the scales in one batch, crops and resizes by OpenCV, no gradient, no copy to spare.
"""

import argparse
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from ostrack_sides import TorchOSTrackTracker, ostrack_stages
from torch_backbones import embedding

from dst_jax.arch import CorrelationHeadSpec, TrackerSpec, named
from dst_jax.boxes import iou, xywh_to_cxcywh
from dst_jax.convert import read_state_dict, siamfc_from_pytorch
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.models import Variables, build, init_variables, respond
from dst_jax.ops.kernels import compiled, kernels_for
from dst_jax.track import SiamFCTracking, TrackState, make_tracker, siamfc
from dst_jax.track.canvases import canvas_size
from dst_jax.track.procedure import SIAMFC, init

CONFIG = SiamFCTracking()
STAGES = ("decode", "crop", "network", "read-out")
# Networks that have random weights, by family.
RANDOM = {
    "siamfc": ("dstfc",),
    "siamdw": ("siamdw", "siamdw-l", "siamdw-s"),
    "ostrack": tuple(
        f"ostrack-{kind}{px}" for kind in ("", "s-", "ti-") for px in (128, 96)
    ),
}


class Clock:
    """Seconds spent per stage."""

    def __init__(self):
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._last = time.perf_counter()

    def lap(self, stage: str | None) -> None:
        """Books the time since the last lap on `stage`; None drops it."""
        now = time.perf_counter()
        if stage is not None:
            self.seconds[stage] += now - self._last
        self._last = now


class TorchTracker:
    """SiamFC's public procedure in PyTorch and OpenCV, in plain words."""

    def __init__(self, spec: TrackerSpec, variables: Variables):
        self.spec = spec
        self.embed = embedding(spec, variables)
        side = spec.response_side(spec.input.search_px) * CONFIG.response_upsampling
        window = np.outer(np.hanning(side), np.hanning(side))
        self.window = (window / window.sum()).astype(np.float32)
        self.factors = np.array(siamfc.scale_factors(CONFIG))

    def cut(self, frame: np.ndarray, centre: np.ndarray, side: float, out: int) -> Any:
        """One square crop, uint8; `centre` in pixel-centre indices (x, y)."""
        side = max(int(np.round(side)), 1)
        x, y = np.round(centre - (side - 1) / 2).astype(int)
        height, width = frame.shape[:2]
        pads = (-y, y + side - height, -x, x + side - width)
        top, bottom, left, right = (max(0, int(pad)) for pad in pads)
        patch = frame[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
        if top or bottom or left or right:
            patch = cv2.copyMakeBorder(
                patch, top, bottom, left, right, cv2.BORDER_CONSTANT, value=self.mean
            )
        return cv2.resize(patch, (out, out), interpolation=cv2.INTER_LINEAR)

    @staticmethod
    def to_batch(crops: list[np.ndarray]) -> torch.Tensor:
        """uint8 crops as one float batch [b, 3, h, w]."""
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: np.ndarray) -> None:
        """Embeds the target; `box` is cxcywh in continuous pixels."""
        self.mean = tuple(float(v) for v in frame.mean(axis=(0, 1)))
        self.centre, self.size = box[:2] - 0.5, box[2:].astype(np.float64)
        spec = self.spec.input
        crop = self.cut(frame, self.centre, self.context_side(), spec.template_px)
        self.template = self.embed(self.to_batch([crop]))

    def context_side(self) -> float:
        """Frame pixels that the template crop covers."""
        return float(
            np.sqrt(np.prod(self.size + self.spec.input.context * self.size.sum()))
        )

    @torch.inference_mode()
    def step(self, frame: np.ndarray, clock: Clock) -> np.ndarray:
        """The box in the next frame, cxcywh in continuous pixels."""
        spec = self.spec.input
        side = self.context_side() * spec.search_px / spec.template_px
        crops = [
            self.cut(frame, self.centre, side * factor, spec.search_px)
            for factor in self.factors
        ]
        batch = self.to_batch(crops)
        clock.lap("crop")
        head = self.spec.head
        assert isinstance(head, CorrelationHeadSpec)
        response = F.conv2d(self.embed(batch), self.template) * head.scale
        clock.lap("network")
        self._move(response.numpy()[:, 0], side)
        clock.lap("read-out")
        return np.concatenate([self.centre + 0.5, self.size])

    def _move(self, responses: np.ndarray, side: float) -> None:
        fine = responses.shape[-1] * CONFIG.response_upsampling
        cubic = cv2.INTER_CUBIC
        maps = np.stack(
            [cv2.resize(r, (fine, fine), interpolation=cubic) for r in responses]
        )
        maps[np.arange(len(maps)) != len(maps) // 2] *= CONFIG.scale_penalty
        best = int(np.argmax(maps.max(axis=(1, 2))))
        chosen = maps[best] - maps[best].min()
        chosen /= chosen.sum() + 1e-16
        share = CONFIG.window_influence
        mixed = (1 - share) * chosen + share * self.window
        row, column = np.unravel_index(mixed.argmax(), mixed.shape)
        px = self.spec.backbone.total_stride / CONFIG.response_upsampling
        px *= side * self.factors[best] / self.spec.input.search_px
        self.centre = self.centre + (np.array([column, row]) - (fine - 1) / 2) * px
        self.size = self.size * (1 + CONFIG.scale_rate * (self.factors[best] - 1))


def run_torch(
    tracker: TorchTracker | TorchOSTrackTracker, paths: list[str], box: np.ndarray
) -> Any:
    """Boxes, seconds and the clock of one video."""
    began, clock = time.perf_counter(), Clock()
    tracker.start(read_frame(paths[0]), box)
    boxes = [box]
    clock.lap(None)
    for path in paths[1:]:
        frame = read_frame(path)
        clock.lap("decode")
        boxes.append(tracker.step(frame, clock))
    return np.stack(boxes), time.perf_counter() - began, clock


def siamfc_stages(spec: TrackerSpec, variables: Variables) -> tuple[Any, ...]:
    """Our step as functions: the first frame, and then crops, network, read-out."""
    module = build(spec)
    start = compiled(
        lambda f, b, hw: init(
            SIAMFC, module, variables, f, b, config=CONFIG, frame_hw=hw
        )
    )
    cut = compiled(
        lambda s, f, hw: siamfc.search_crops(module, s, f, hw, config=CONFIG)
    )

    @compiled
    def network(variables: Variables, state: TrackState, crops: Any) -> Any:
        memory = jax.tree.map(lambda leaf: leaf[None], state.memory)
        return respond(module, variables, memory, crops).response

    @compiled
    def read_out(state: TrackState, responses: Any, hw: Any) -> Any:
        box, sides, _ = siamfc.update_box(
            module, state.box, state.search_sides, responses, hw, config=CONFIG
        )
        return state._replace(box=box, search_sides=sides)

    return start, cut, functools.partial(network, variables), read_out


def make_staged(spec: TrackerSpec, variables: Variables) -> Callable[..., Clock]:
    """Our step cut into stages that are awaited one by one, to see where time goes."""
    stages = ostrack_stages if spec.head.one_stream else siamfc_stages
    start, cut, network, read_out = stages(spec, variables)

    def run(paths: list[str], box: np.ndarray) -> Clock:
        frames = canvases(paths)
        frame, hw = next(frames)
        state = jax.block_until_ready(start(frame, jnp.asarray(box), hw))
        clock = Clock()
        for frame, hw in frames:
            clock.lap("decode")
            crops = jax.block_until_ready(cut(state, frame, hw))
            clock.lap("crop")
            answer = jax.block_until_ready(network(state, crops))
            clock.lap("network")
            state = jax.block_until_ready(read_out(state, answer, hw))
            clock.lap("read-out")
        return clock

    return run


def canvases(paths: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames on their canvas, and their size."""
    for path in paths:
        frame = read_frame(path)
        canvas = np.zeros((*canvas_size(*frame.shape[:2]), 3), np.uint8)
        canvas[: frame.shape[0], : frame.shape[1]] = frame
        yield canvas, np.array(frame.shape[:2], np.int32)


def compare(name: str, spec: TrackerSpec, variables: Variables, args: Any) -> float:
    """Prints one tracker's figures on both sides, and returns our frames/s."""
    paths = list(frame_paths(args.sequence / "img"))[: args.frames]
    text = (args.sequence / "groundtruth_rect.txt").read_text().splitlines()[0]
    first = np.array(text.replace(",", " ").split(), np.float32) - [1, 1, 0, 0]
    box = np.asarray(xywh_to_cxcywh(first), np.float32)
    kind = TorchOSTrackTracker if spec.head.one_stream else TorchTracker
    ours, theirs = make_tracker(spec, variables), kind(spec, variables)
    staged = make_staged(spec, ours.variables)
    began = time.perf_counter()
    result = ours.track((read_frame(path) for path in paths[:2]), box)
    compile_s = time.perf_counter() - began
    staged(paths[:2], box)
    reference, _, _ = run_torch(theirs, paths[:3], box)
    totals: dict[str, list[float]] = {"here": [], "torch": []}
    clocks: dict[str, list[Clock]] = {"here": [], "torch": []}
    for _ in range(args.repeats):
        began = time.perf_counter()
        result = ours.track((read_frame(path) for path in paths), box)
        totals["here"].append(time.perf_counter() - began)
        reference, seconds, clock = run_torch(theirs, paths, box)
        totals["torch"].append(seconds)
        clocks["torch"].append(clock)
        clocks["here"].append(staged(paths, box))
    overlap = float(np.mean(iou(result.boxes.astype(np.float64), reference)))
    print(f"\n{name}: {len(paths)} frames, mean IoU of the two {overlap:.4f}, ", end="")
    print(f"kernels of {kernels_for(spec).kind}, ", end="")
    print(f"compilation {compile_s:.1f} s (not counted)")
    print_table(totals, clocks, len(paths))
    return len(paths) / float(np.median(totals["here"]))


def print_table(
    totals: dict[str, list[float]], clocks: dict[str, list[Clock]], frames: int
) -> None:
    """Frames/s end to end, milliseconds per stage, and both sides' ratio."""
    speed = {side: frames / np.median(times) for side, times in totals.items()}
    pairs = np.array(totals["torch"]) / np.array(totals["here"])
    print(f"  {'':24}{'here':>10}{'PyTorch':>10}{'ratio':>8}")
    print(f"  {'end to end, frames/s':24}", end="")
    print(f"{speed['here']:10.1f}{speed['torch']:10.1f}{np.median(pairs):8.2f}")
    for stage in STAGES:
        here, other = (
            1e3 * np.median([c.seconds[stage] for c in clocks[side]]) / (frames - 1)
            for side in ("here", "torch")
        )
        print(f"  {stage + ', ms':24}{here:10.2f}{other:10.2f}{other / here:8.2f}")


def main() -> None:
    """Runs a family's teacher and students."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", choices=tuple(RANDOM), default="siamfc")
    parser.add_argument("--networks", nargs="+", help="names of others than these")
    parser.add_argument("--weights", type=pathlib.Path, help="of SiamFC's teacher")
    parser.add_argument("--sequence", type=pathlib.Path, required=True)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.family == "siamfc" and args.weights is None:
        parser.error("--weights: give SiamFC's")
    torch.set_num_threads(args.threads)
    print(f"{args.sequence}, {args.threads} threads, {args.repeats} alternating runs")
    print(f"jax {jax.__version__}")
    print(f"load average {os.getloadavg()[0]:.1f} at the beginning")
    speeds = [compare(name, *network, args) for name, network in networks(args)]
    if len(speeds) > 1:
        ratios = ", ".join(f"{speed / speeds[0]:.2f}" for speed in speeds[1:])
        print(f"\nend to end, times the first's: {ratios}")
    print(f"load average {os.getloadavg()[0]:.1f} at the end")


def networks(args: Any) -> Iterator[tuple[str, tuple[TrackerSpec, Variables]]]:
    """Networks and weights by what they are called here, the teacher first."""
    if args.family == "siamfc":
        teacher = named("siamfc-alexnet")
        weights, _ = siamfc_from_pytorch(read_state_dict(args.weights), teacher)
        yield "teacher", (teacher, weights)
    for name in args.networks or RANDOM[args.family]:
        spec = named(name)
        variables = jax.device_get(init_variables(jax.random.key(0), spec))
        yield f"{name} (random weights)", (spec, variables)


if __name__ == "__main__":
    main()
