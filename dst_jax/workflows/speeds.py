"""Times trackers in stages, one beside the other: network, crops, decoding."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.bundle import Bundle
from dst_jax.data.frames import read_frame
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.models import build, respond
from dst_jax.ops import kernels
from dst_jax.track import Tracker, make_tracker
from dst_jax.track.canvases import canvas_size
from dst_jax.track.procedure import procedure_of
from dst_jax.track.run import compiled
from dst_jax.workflows.pace import STAGES
from dst_jax.workflows.runner import run_tracker

# Trackers take turns, so that what else the machine does slows all of them alike.
ROUNDS, FRAMES = 3, 60


def measure_speeds(
    bundles: Mapping[str, Bundle],
    sequence: Sequence,
    *,
    rounds: int = ROUNDS,
    frames: int = FRAMES,
) -> dict[str, dict[str, float]]:
    """Returns frames/s by tracker and stage, medians over rounds; nothing is compiled.

    "network" answers to search crops that are there; "crops" takes whole steps, which
    cut them from frames in memory; "decoding" tracks from files, one video by itself.

    Args:
      bundles: Trackers by name.
      sequence: The video, with its frames and a first box.
      rounds: Number of times that each tracker is timed.
      frames: Number of frames after which the video is cut.

    Raises:
      InputError: If the video has a single frame or no target in the first.
    """
    cut = _first(sequence, frames)
    timed = {name: _stages(bundle, cut) for name, bundle in bundles.items()}
    found = {name: {stage: list[float]() for stage in STAGES} for name in bundles}
    for _ in range(rounds):
        for name, stages in timed.items():
            for stage, speed in stages.items():
                found[name][stage].append(speed())
    return {
        name: {stage: statistics.median(values) for stage, values in own.items()}
        for name, own in found.items()
    }


def _first(sequence: Sequence, frames: int) -> Sequence:
    """Returns a sequence with its first frames alone."""
    if len(sequence.frames) < 2:
        raise InputError(f"sequence {sequence.name!r}: give one of two frames or more.")
    return dataclasses.replace(
        sequence,
        frames=sequence.frames[:frames],
        boxes=sequence.boxes[:frames],
        visible=sequence.visible[:frames],
        stated=None,
        covered=None,
    )


def _stages(bundle: Bundle, sequence: Sequence) -> dict[str, Callable[[], float]]:
    """Returns functions that time a stage once, with their programs compiled."""
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    canvases, frame_hw = _canvases(sequence)
    box = np.asarray(sequence.boxes[:1], np.float32)
    spec = tracker.search_spec(box[0], *map(int, frame_hw[0]))
    functions = compiled(spec, tracker.config)
    state = functions.init(tracker.variables, canvases[0], box, frame_hw)
    network = _network(tracker, state.memory, spec.input.search_px)

    def step() -> None:
        # The state is passed on, and each step is awaited, as boxes are asked for.
        moved = state
        for frame in canvases[1:]:
            moved, _ = functions.step(tracker.variables, moved, frame, frame_hw)
            jax.block_until_ready(moved)

    def answer() -> None:
        for _ in canvases[1:]:
            jax.block_until_ready(network())

    def frames_per_s(run: Callable[[], None]) -> Callable[[], float]:
        run()

        def speed() -> float:
            began = time.perf_counter()
            run()
            return (len(canvases) - 1) / (time.perf_counter() - began)

        return speed

    def whole() -> float:
        return run_tracker(tracker, [sequence], batch=1)[1]

    return {
        "network": frames_per_s(answer),
        "crops": frames_per_s(step),
        "decoding": whole,
    }


def _network(
    tracker: Tracker, memory: object, search_px: int
) -> Callable[[], jax.Array | object]:
    """Returns a function that answers to the crops of one frame."""
    module = build(tracker.spec)
    count = procedure_of(tracker.config).crops(tracker.config)
    crops = np.random.default_rng(0).integers(0, 256, (count, search_px, search_px, 3))
    crops = jnp.asarray(crops, jnp.float32)
    ask = kernels.compiled(
        lambda *given: respond(module, *given),
        kernels=kernels.kernels_for(tracker.spec),
    )
    return lambda: ask(tracker.variables, memory, crops)


def _canvases(sequence: Sequence) -> tuple[list[jax.Array], np.ndarray]:
    """Returns frames on their canvas [1, h, w, 3] on the device, and their size."""
    found, size = [], (0, 0)
    for path in sequence.frames:
        frame = read_frame(path)
        size = frame.shape[0], frame.shape[1]
        canvas = np.zeros((1, *canvas_size(*size), 3), np.uint8)
        canvas[0, : size[0], : size[1]] = frame
        found.append(jnp.asarray(canvas))
    return found, np.array([size], np.int32)
