"""Total frames/s of batches of videos whose frames are in memory, and what binds them.

    python scripts/bench_batches.py --networks dstfc --batches 1 16 64 128 256
    python scripts/bench_batches.py --networks mini-dull --batches 1 4 --frames 20
    python scripts/bench_batches.py --networks dstfc --batches 1 16 --targets 16

Every video begins with its own first frame and target, and every row of a batch has at
least one video. "total" goes from frames in memory to boxes in memory: `track_many`.
What it is made of is timed by itself: "filled" copies frames into chunks as `Lanes`
does and tracks nothing, "carried" takes a chunk to the device, "tracked" is the
compiled scan over a chunk that is there. The slowest of the three binds. For batches of
--apart, "network" is the network alone on the crops of a batch, in float32 (TF32 on
NVIDIA's devices) and in bfloat16, and "crops" cuts these alone, for trackers of
SiamFC's kind.

"per frame" is the way without chunks: one dispatch for each frame, whose box is awaited
before the next, from memory (`Session`) and with all frames on the device. --targets
follows so many targets of one video at once, beside one.

Frames are noise and weights are random, which makes no difference to the speed. What is
compiled is compiled before the clock starts. Medians of rounds are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch import named
from dst_jax.boxes import cxcywh_to_xywh
from dst_jax.models import ModelConfig, build, init_variables, respond
from dst_jax.ops.kernels import compiled as compiled_kernels
from dst_jax.track import (
    Session,
    SiamFCTracking,
    Tracker,
    TrackOutput,
    TrackState,
    make_tracker,
    siamfc,
)
from dst_jax.track.canvases import canvas_size, chunk_length, row_count
from dst_jax.track.lanes import Lanes
from dst_jax.track.procedure import procedure_of
from dst_jax.track.run import compiled
from dst_jax.track.stream import Stream
from dst_jax.track.targets import follow_targets
from dst_jax.workflows.pace import conditions

# Frames in memory, so many that no cache of a processor holds them all.
POOL = 512
# Timed calls of what is over in milliseconds.
CALLS = 5


class Videos(NamedTuple):
    """Videos of `length` frames, parts of a pool [n, h, w, 3], each begun elsewhere."""

    pool: np.ndarray
    length: int

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.pool.shape[1], self.pool.shape[2]

    def frames(self, number: int) -> Iterator[np.ndarray]:
        """The frames of a video."""
        first = 37 * number
        return (
            self.pool[i % len(self.pool)] for i in range(first, first + self.length)
        )

    def boxes(self, count: int) -> np.ndarray:
        """Targets (cx, cy, w, h) of a sixth of the frame, at different places."""
        height, width = self.hw
        at = np.random.default_rng(1).uniform(0.3, 0.7, (count, 2))
        sides = np.full((count, 2), min(height, width) / 6)
        return np.concatenate([at * (width, height), sides], 1).astype(np.float32)


def frames_per_s(frames: int, run: Callable[[], object], rounds: int) -> float:
    """Median over rounds of a function that takes so many frames."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return frames / statistics.median(seconds)


def total(tracker: Tracker, videos: Videos, batch: int, rounds: int) -> float:
    """Frames/s of `track_many`."""
    count = max(batch, 2)
    boxes = videos.boxes(count)

    def run(length: int) -> None:
        frames = map(videos._replace(length=length).frames, range(count))
        tracker.track_many([*frames], boxes, batch=batch)

    run(2)
    return frames_per_s(count * videos.length, lambda: run(videos.length), rounds)


def chunk_shape(hw: tuple[int, int], batch: int) -> tuple[int, int, tuple[int, int]]:
    """Frames in a chunk, rows, and the canvas."""
    canvas = canvas_size(*hw)
    rows = row_count(canvas, batch=batch)
    return chunk_length(canvas, batch=rows), rows, canvas


def filled(videos: Videos, batch: int, rounds: int) -> float:
    """Frames/s of the host alone: all of `Lanes` around a program that does nothing."""
    length, rows, _ = chunk_shape(videos.hw, batch)
    count = max(batch, 2)
    boxes = videos.boxes(count)

    def begin(frames: Any, boxes: Any, hw: Any) -> TrackState:
        return TrackState(boxes, (), np.zeros((len(boxes), 3), np.float32))

    def stay(state: Any, frames: Any, hw: Any, use: np.ndarray) -> Any:
        told = np.zeros((*use.shape, 4), np.float32), np.ones(use.shape, np.float32)
        return state, TrackOutput(*told, None)

    def run() -> None:
        # Canvases of the frames' own size go nowhere.
        lanes = Lanes(begin, stay, (length, rows, *videos.hw))
        streams = (Stream(videos.frames(i), i, boxes[i]) for i in range(count))
        for _ in lanes.follow(streams, tracked=lambda _: None):
            pass

    run()
    return frames_per_s(count * videos.length, run, rounds)


def carried(videos: Videos, batch: int) -> float:
    """Frames/s from the host's memory to the device's."""
    length, rows, _ = chunk_shape(videos.hw, batch)
    chunk = np.resize(videos.pool, (length * rows, *videos.hw, 3))

    def run() -> None:
        jax.block_until_ready(jax.device_put(chunk))

    run()
    return frames_per_s(len(chunk), run, CALLS)


class OnDevice(NamedTuple):
    """A chunk on the device, with frames on canvases [t, b, h, w, 3]."""

    state: TrackState
    frames: jax.Array
    hw: jax.Array


def on_device(tracker: Tracker, videos: Videos, batch: int) -> OnDevice:
    """A chunk of a batch, its rows begun with the first of its frames."""
    length, rows, canvas = chunk_shape(videos.hw, batch)
    frames = np.zeros((length, rows, *canvas, 3), np.uint8)
    height, width = videos.hw
    for i in range(length):
        frames[i, :, :height, :width] = videos.pool[(i + 1) % len(videos.pool)]
    functions, boxes = compiled(tracker.spec, tracker.config), videos.boxes(rows)
    hw = np.tile(np.array([videos.hw], np.int32), (rows, 1))
    begun = [
        functions.init(tracker.variables, frames[0, :1], boxes[i : i + 1], hw[:1])
        for i in range(min(rows, 4))
    ]
    state = jax.tree.map(
        lambda *leaves: jnp.resize(
            jnp.concatenate(leaves), (rows, *leaves[0].shape[1:])
        ),
        *begun,
    )
    return OnDevice(state, jax.device_put(frames), jax.device_put(hw))


def tracked(tracker: Tracker, there: OnDevice, rounds: int) -> float:
    """Frames/s of the compiled scan over chunks that are on the device."""
    functions = compiled(tracker.spec, tracker.config)
    length, rows = there.frames.shape[:2]
    use = jax.device_put(np.ones((length, rows), bool))

    def run() -> None:
        state, output = there.state, None
        for _ in range(CALLS):
            given = tracker.variables, state, there.frames, there.hw, use
            state, output = functions.chunk(*given)
        jax.block_until_ready(output)

    run()
    return frames_per_s(CALLS * length * rows, run, rounds)


def stepped(tracker: Tracker, there: OnDevice, rounds: int) -> float:
    """Frames/s of one dispatch for each frame that is on the device."""
    functions = compiled(tracker.spec, tracker.config)
    frames = list(there.frames)

    def run() -> None:
        state = there.state
        for frame in frames:
            state, output = functions.step(tracker.variables, state, frame, there.hw)
            np.asarray(output.box)

    run()
    return frames_per_s(len(frames) * there.frames.shape[1], run, rounds)


def answered(tracker: Tracker, there: OnDevice, precision: Any, rounds: int) -> float:
    """Frames/s of the network alone, on crops that are on the device."""
    module = build(tracker.spec, config=ModelConfig(precision=precision))
    ask = compiled_kernels(lambda *given: respond(module, *given))
    scales = procedure_of(tracker.config).crops(tracker.config)
    rows, side = there.frames.shape[1], tracker.spec.input.search_px
    shape = (rows * scales, side, side, 3)
    crops = jax.random.uniform(jax.random.key(0), shape, jnp.float32, 0.0, 255.0)
    memory = there.state.memory
    if rows > 1:
        memory = jax.tree.map(lambda leaf: jnp.repeat(leaf, scales, axis=0), memory)

    def run() -> None:
        answers = [ask(tracker.variables, memory, crops) for _ in range(CALLS)]
        jax.block_until_ready(answers)

    run()
    return frames_per_s(CALLS * rows, run, rounds)


def cropped(tracker: Tracker, there: OnDevice, rounds: int) -> float:
    """Frames/s of the search crops alone, of trackers of SiamFC's kind."""
    if not isinstance(tracker.config, SiamFCTracking):
        return float("nan")
    module, config = build(tracker.spec), tracker.config

    @compiled_kernels
    def cut(state: Any, frames: Any, hw: Any) -> Any:
        def one(state: Any, frame: Any, hw: Any) -> Any:
            return siamfc.search_crops(module, state, frame, hw, config=config)

        return jax.vmap(one)(state, frames, hw)

    def run() -> None:
        crops = [cut(there.state, there.frames[0], there.hw) for _ in range(CALLS)]
        jax.block_until_ready(crops)

    run()
    return frames_per_s(CALLS * there.frames.shape[1], run, rounds)


def session(tracker: Tracker, videos: Videos, rounds: int) -> float:
    """Frames/s of one dispatch for each frame, from memory."""
    (box,) = np.asarray(cxcywh_to_xywh(videos.boxes(1)))
    first, *others = videos.frames(0)
    one = Session(tracker)

    def run() -> None:
        one.init(first, box)
        for frame in others:
            one.update(frame)

    run()
    return frames_per_s(videos.length, run, rounds)


def targets(tracker: Tracker, videos: Videos, count: int, rounds: int) -> float:
    """Seconds for a video with so many targets."""

    def run() -> None:
        for _ in follow_targets(tracker, videos.frames(0), videos.boxes(count)):
            pass

    run()
    return videos.length / frames_per_s(videos.length, run, rounds)


def bench(name: str, given: argparse.Namespace, videos: Videos) -> None:
    """Prints the figures of a network, each as soon as it is there."""
    spec = named(name)
    tracker = make_tracker(spec, init_variables(jax.random.key(0), spec))
    rounds, alone = given.rounds, session(tracker, videos, given.rounds)
    say(f"{name}, per frame, from memory (Session): {alone:,.0f} frames/s")
    there = on_device(tracker, videos, 1)
    by_step, by_scan = (way(tracker, there, rounds) for way in (stepped, tracked))
    say(f"{name}, per frame, frames on the device: {by_step:,.0f} frames/s; ", end="")
    say(f"one scan over the same: {by_scan:,.0f}, {by_scan / by_step:.2f} times")
    if given.targets:
        one, many = (targets(tracker, videos, n, rounds) for n in (1, given.targets))
        what = f"{given.targets} targets of a video of {videos.length} frames"
        say(f"{name}, {what}: {many:.3f} s, one {one:.3f} s: {many / one:.2f} times")
    for batch in given.batches:
        whole = total(tracker, videos, batch, rounds)
        say(f"{name}, batch {batch}: total {whole:,.0f} frames/s, ", end="")
        say(f"{whole / alone:.1f} times Session; ", end="")
        apart(tracker, videos, batch, rounds, device=batch in given.apart)


def apart(
    tracker: Tracker, videos: Videos, batch: int, rounds: int, *, device: bool
) -> None:
    """Prints what binds a batch, and of the device's part what that is made of."""
    length, rows, _ = chunk_shape(videos.hw, batch)
    there = on_device(tracker, videos, batch)
    parts = {
        "filled": filled(videos, batch, rounds),
        "carried": carried(videos, batch),
        "tracked": tracked(tracker, there, rounds),
    }
    said = ", ".join(f"{part} {fps:,.0f}" for part, fps in parts.items())
    binds = min(parts, key=lambda part: parts[part])
    say(f"chunks of {length} x {rows}; {said}: {binds} binds")
    if device:
        nets = [answered(tracker, there, p, rounds) for p in ("full", "bfloat16")]
        say(f"    network alone {nets[0]:,.0f}, with bfloat16 {nets[1]:,.0f}", end="")
        say(f"; crops alone {cropped(tracker, there, rounds):,.0f}")


def say(text: str, end: str = "\n") -> None:
    """Prints at once, so that what is measured is not lost."""
    print(text, end=end, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of all networks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["dstfc"], help="of the zoo")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument(
        "--apart", type=int, nargs="*", default=[16], help="batches for network, crops"
    )
    parser.add_argument("--frames", type=int, default=120, help="of each video")
    parser.add_argument("--size", type=int, nargs=2, default=[240, 360], help="h w")
    parser.add_argument("--targets", type=int, default=0, help="of one video at once")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    on = conditions(None, named(given.networks[0]))
    shape = (min(POOL, 4 * given.frames), *given.size, 3)
    pool = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    say(f"{on.device}, {on.precision}, {on.kernels}, jax {jax.__version__}")
    height, width = given.size
    say(f"frames of {height} x {width}, {given.frames} a video, in memory")
    for name in given.networks:
        bench(name, given, Videos(pool, given.frames))


if __name__ == "__main__":
    main()
