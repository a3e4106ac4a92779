"""Whole videos: compiled once for all lengths, streamed in chunks of frames.

Frames lie on canvases of a few sizes, with their real size traced; a chunk holds up
to 64 of them and the last one is padded. So a second video of a similar size compiles
nothing, and memory does not grow with a video's length.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch.spec import RegionHeadSpec, TrackerSpec
from dst_jax.errors import InputError
from dst_jax.models.build import Variables, build
from dst_jax.track import siamfc
from dst_jax.track.config import SiamFCTracking
from dst_jax.typing import Array, Bool, Float, Int, UInt8

# Canvas sides: a frame's height and width are each rounded up to one of these.
CANVAS_SIDES = (160, 320, 480, 640, 960, 1280, 1920, 2560, 3840, 5120, 7680)
CHUNK_FRAMES = 64
# Frames of large canvases come in shorter chunks, so that one chunk stays below this.
_CHUNK_BYTES = 192 * 2**20

# Frames as they come from a reader: RGB uint8 [h, w, 3], all of one size.
Frames: TypeAlias = Iterable[np.ndarray]


class TrackResult(NamedTuple):
    """The boxes of one video; row 0 is the given box with score 1.

    Attributes:
      boxes: cxcywh, frame pixels, one per frame.
      scores: Sigmoid of the highest response, 0 to 1.
      states: siamfc.TRACKED, UNCERTAIN or LOST; None if no threshold is set.
    """

    boxes: Float[np.ndarray, "t 4"]
    scores: Float[np.ndarray, " t"]
    states: Int[np.ndarray, " t"] | None


@dataclasses.dataclass(frozen=True)
class Tracker:
    """A tracker ready to run; made by `make_tracker`.

    Attributes:
      spec: The architecture.
      variables: Its weights, on the device.
      config: Online hyper-parameters.
    """

    spec: TrackerSpec
    variables: Variables
    config: SiamFCTracking

    def track(self, frames: Frames, box: Float[Array, " 4"]) -> TrackResult:
        """Follows the target at `box` (cxcywh) of the first frame through a video.

        Raises:
          InputError: If there is no frame, a frame is no RGB uint8 image or of another
            size than the first, or the box is empty or outside of the first frame.
        """
        return self.track_many([frames], np.asarray(box)[None])[0]

    def track_many(
        self,
        videos: Sequence[Frames],
        boxes: Float[Array, "n 4"],
        *,
        batch: int | None = None,
    ) -> list[TrackResult]:
        """Tracks several videos, `batch` of them at a time.

        Args:
          videos: Iterables of frames; each is consumed once, chunk by chunk.
          boxes: The target in each first frame, cxcywh.
          batch: Videos in one device batch; None: 1 on a CPU, where rows of a batch
            share the same cores, else 16. A batch runs as long as its longest video.
        """
        size = batch or (1 if jax.default_backend() == "cpu" else 16)
        size = min(size, max(len(videos), 1))
        results: list[TrackResult] = []
        for start in range(0, len(videos), size):
            group = videos[start : start + size]
            given = np.asarray(boxes[start : start + size], np.float32)
            results += _track_group(self, group, given, size)
        return results


def make_tracker(
    spec: TrackerSpec, variables: Variables, *, tracking: SiamFCTracking | None = None
) -> Tracker:
    """Puts weights on the device; equal specs and settings share compiled code.

    Raises:
      InputError: If `spec` proposes regions.
    """
    if isinstance(spec.head, RegionHeadSpec):
        raise InputError(
            "this bundle proposes regions, which cannot be tracked with yet; give one "
            "of the SiamFC family."
        )
    return Tracker(spec, jax.device_put(variables), tracking or SiamFCTracking())


def canvas_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the canvas on which a frame is placed.

    >>> canvas_size(360, 640)
    (480, 640)
    """
    for side in (height, width):
        if not 1 <= side <= CANVAS_SIDES[-1]:
            raise InputError(
                f"a frame of {height}x{width} px does not fit; sides must lie in "
                f"1..{CANVAS_SIDES[-1]}, scale the video."
            )
    first = [min(s for s in CANVAS_SIDES if s >= side) for side in (height, width)]
    return first[0], first[1]


def chunk_length(canvas: tuple[int, int], *, batch: int = 1) -> int:
    """Frames in a chunk: 64, or fewer on large canvases, a power of 2."""
    frame_bytes = 3 * canvas[0] * canvas[1] * batch
    length = CHUNK_FRAMES
    while length > 1 and length * frame_bytes > _CHUNK_BYTES:
        length //= 2
    return length


class Compiled(NamedTuple):
    """The two jitted functions of one architecture and its settings."""

    init: Callable[..., siamfc.TrackState]
    chunk: Callable[..., tuple[siamfc.TrackState, siamfc.TrackOutput]]


@lru_cache(maxsize=64)
def compiled(spec: TrackerSpec, config: SiamFCTracking) -> Compiled:
    """Jitted `init` and `track_chunk` over a batch of videos, made once."""
    module = build(spec)

    def first(variables: Any, frames: Any, boxes: Any, frame_hw: Any) -> Any:
        def one(frame: Array, box: Array, hw: Array) -> siamfc.TrackState:
            return siamfc.init(module, variables, frame, box, frame_hw=hw)

        # Not vmapped: on a CPU a vmapped convolution runs on one thread.
        rows = [one(*row) for row in zip(frames, boxes, frame_hw, strict=True)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

    def chunk(variables: Any, state: Any, frames: Any, frame_hw: Any, use: Any) -> Any:
        return track_chunk(
            module, variables, state, frames, frame_hw, use, config=config
        )

    return Compiled(jax.jit(first), jax.jit(chunk))


def track_chunk(
    module: siamfc.Siamese,
    variables: Variables,
    state: siamfc.TrackState,
    frames: UInt8[Array, "t b h w 3"],
    frame_hw: Int[Array, "b 2"],
    use: Bool[Array, "t b"],
    *,
    config: SiamFCTracking,
) -> tuple[siamfc.TrackState, siamfc.TrackOutput]:
    """`step_many` over a chunk of frames; where `use` is False nothing moves.

    Args:
      module: The tracker.
      variables: Its weights.
      state: State of each video before the chunk.
      frames: The chunk, time first.
      frame_hw: Height and width of the frames of each video.
      use: Which frames are real and follow a first frame.
      config: Online hyper-parameters.

    Returns:
      The states after the chunk and the outputs of every frame, time first.
    """

    def advance(state: siamfc.TrackState, frame: Array) -> Any:
        return siamfc.step_many(
            module, variables, state, frame, frame_hw, config=config
        )

    def stay(state: siamfc.TrackState, frame: Array) -> Any:
        ones = jnp.ones(frame.shape[0], jnp.float32)
        still = jnp.zeros(ones.shape, jnp.int32) if config.has_states else None
        return state, siamfc.TrackOutput(state.box, ones, still)

    def body(state: siamfc.TrackState, inputs: Any) -> Any:
        frame, use_now = inputs
        # A conditional: padded frames cost nothing.
        moved, output = jax.lax.cond(use_now.any(), advance, stay, state, frame)
        box = jnp.where(use_now[:, None], moved.box, state.box)
        return moved._replace(box=box), output._replace(box=box)

    return jax.lax.scan(body, state, (frames, use))


class _Stream:
    """One video as it is consumed: its frames, canvas-ready, a chunk at a time."""

    def __init__(self, frames: Frames, number: int):
        self._frames: Iterator[np.ndarray] = iter(frames)
        self._number = number
        self.read = 0
        first = next(self._frames, None)
        if first is None:
            raise InputError(f"video {number} has no frame; give at least one.")
        self.hw = self._checked(first).shape[:2]
        self._frames = itertools.chain([first], self._frames)

    def fill(self, canvases: UInt8[np.ndarray, "t h w 3"]) -> int:
        """Copies the next frames onto `canvases`; returns how many there were."""
        height, width = self.hw
        filled = 0
        for frame in itertools.islice(self._frames, len(canvases)):
            canvases[filled, :height, :width] = self._checked(frame)
            filled += 1
            self.read += 1
        return filled

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        name = f"frame {self.read} of video {self._number}"
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(
                f"{name} is {frame.dtype} of shape {frame.shape}; "
                "give RGB uint8 of shape (height, width, 3)."
            )
        if self.read and frame.shape[:2] != self.hw:
            raise InputError(
                f"{name} has {frame.shape[:2]} px, the first one {self.hw}; "
                "all frames of a video must have one size."
            )
        return frame


def check_box(box: Float[Array, " 4"], height: int, width: int) -> None:
    """Raises InputError unless the cxcywh box is finite, not empty, on the frame."""
    cx, cy, w, h = (float(v) for v in box)
    shown = f"box (x={cx - w / 2:g}, y={cy - h / 2:g}, w={w:g}, h={h:g})"
    if not np.isfinite([cx, cy, w, h]).all():
        raise InputError(f"{shown} is not finite; give four numbers.")
    if w <= 0 or h <= 0:
        raise InputError(f"{shown} is empty; width and height must be positive.")
    inside = abs(cx - width / 2) < (w + width) / 2
    if not (inside and abs(cy - height / 2) < (h + height) / 2):
        raise InputError(
            f"{shown} lies outside the first frame of {width}x{height} px; "
            "give x,y,w,h in its pixels."
        )


def _track_group(
    tracker: Tracker, videos: Sequence[Frames], boxes: np.ndarray, size: int
) -> list[TrackResult]:
    """Tracks up to `size` videos as one batch, padded with empty ones."""
    streams = [_Stream(video, number) for number, video in enumerate(videos)]
    for stream, box in zip(streams, boxes, strict=True):
        check_box(box, *stream.hw)
    largest = np.max([stream.hw for stream in streams], axis=0)
    canvas = canvas_size(int(largest[0]), int(largest[1]))
    length = chunk_length(canvas, batch=size)
    frame_hw = np.full((size, 2), canvas, np.int32)
    frame_hw[: len(streams)] = [stream.hw for stream in streams]
    given = np.tile(np.array([8.0, 8.0, 4.0, 4.0], np.float32), (size, 1))
    given[: len(streams)] = boxes
    outputs = _run_chunks(tracker, streams, given, frame_hw, (length, size, *canvas))
    joined = [np.concatenate(part) for part in zip(*outputs, strict=True)]
    return [_result(joined, row, stream.read) for row, stream in enumerate(streams)]


def _run_chunks(
    tracker: Tracker,
    streams: Sequence[_Stream],
    boxes: np.ndarray,
    frame_hw: np.ndarray,
    shape: tuple[int, int, int, int],
) -> list[tuple[np.ndarray, ...]]:
    """Streams all videos through the device; arrays of outputs, chunk by chunk."""
    functions = compiled(tracker.spec, tracker.config)
    state, outputs, pending = None, [], None
    while True:
        # A fresh buffer each time: the device may read it in place.
        frames = np.zeros((*shape, 3), np.uint8)
        use = np.zeros(shape[:2], bool)
        for row, stream in enumerate(streams):
            use[: stream.fill(frames[:, row]), row] = True
        if not use.any():
            break
        if state is None:
            state = functions.init(tracker.variables, frames[0], boxes, frame_hw)
            use[0] = False
        # The last chunk is awaited only now, so that reading overlapped with it.
        if pending is not None:
            outputs.append(_fetched(pending))
        state, pending = functions.chunk(
            tracker.variables, state, frames, frame_hw, use
        )
    if pending is not None:
        outputs.append(_fetched(pending))
    return outputs


def _fetched(output: siamfc.TrackOutput) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(part) for part in output if part is not None)


def _result(joined: list[np.ndarray], row: int, frames: int) -> TrackResult:
    boxes, scores, *states = (part[:frames, row] for part in joined)
    scores = scores.copy()
    scores[0] = 1.0
    return TrackResult(boxes, scores, states[0] if states else None)
