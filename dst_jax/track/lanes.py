"""Follows many videos in the rows of one compiled program, whatever their lengths.

A row takes the next video as soon as its own has ended, so that a short video delays
nobody. Threads fill the frames of the next chunk while two are on the device.
"""

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.errors import InputError
from dst_jax.track.canvases import on_canvases, starts_together, travelling_size
from dst_jax.track.state import TrackOutput, TrackState
from dst_jax.track.stream import Stream
from dst_jax.typing import Array, Bool, Float, Int, UInt8

# The device has the second of them to go on with while the first is fetched.
_IN_FLIGHT = 2


class TrackResult(NamedTuple):
    """The boxes of one video; row 0 is the given box with score 1.

    Attributes:
      boxes: Boxes (cx, cy, w, h) in frame pixels, one per frame.
      scores: Scores from 0 to 1, see `TrackOutput`.
      states: TRACKED, UNCERTAIN, LOST or FOUND_AGAIN per frame; None if no threshold
        is set.
    """

    boxes: Float[np.ndarray, "t 4"]
    scores: Float[np.ndarray, " t"]
    states: Int[np.ndarray, " t"] | None


class Part(NamedTuple):
    """What is found of one video in one chunk.

    Attributes:
      stream: The video.
      searched: Index among these frames of the first in which the target was searched:
        1 if they begin with the first frame of the video, else 0.
      found: Boxes and the rest in the frames that the chunk has of it.
      ends: Whether it ends here.
      fault: What ends it before its time.
    """

    stream: Stream
    searched: int
    found: TrackResult
    ends: bool
    fault: InputError | None


class _Share(NamedTuple):
    """What one row holds of a video in a chunk.

    Attributes:
      row: The row.
      stream: The video.
      first: Number of its first frame here.
      frames: How many frames it has here.
      ends: Whether the video ends here.
      fault: What ends it before its time.
    """

    row: int
    stream: Stream
    first: int
    frames: int
    ends: bool
    fault: InputError | None = None


class _Chunk(NamedTuple):
    """Frames for the device.

    Attributes:
      frames: Frames as they travel, see `travelling_size`.
      frame_hw: Height and width of the frames of each row.
      use: Whether a frame is real and not the first of its video.
      begun: Videos whose first frame is the row's first one here.
      shares: What the rows hold.
      buffer: The memory in which the frames lie.
    """

    frames: UInt8[np.ndarray, "t b h w 3"]
    frame_hw: Int[np.ndarray, "b 2"]
    use: Bool[np.ndarray, "t b"]
    begun: list[tuple[int, Stream]]
    shares: list[_Share]
    buffer: UInt8[np.ndarray, " n"]


class Lanes:
    """The rows of a program that takes several videos through a chunk of frames.

    Args:
      init: Function (frames, boxes, frame_hw) to the states of new videos, of which
        it is given one.
      chunk: Function (state, frames, frame_hw, use) to states and outputs after a
        chunk, see `track_chunk`.
      shape: Number of frames in a chunk, number of rows, height and width of the
        canvas of a frame.
    """

    def __init__(
        self,
        init: Callable[..., TrackState],
        chunk: Callable[..., tuple[TrackState, TrackOutput]],
        shape: tuple[int, int, int, int],
    ):
        self._init, self._chunk = init, chunk
        self._shape = shape
        self._state: TrackState | None = None

    def follow(
        self, streams: Iterator[Stream], *, tracked: Callable[[int], None]
    ) -> Iterator[tuple[int, TrackResult | InputError]]:
        """Yields number and boxes of each video once it has ended, or what is wrong.

        Args:
          streams: The videos; each is opened when a row is free for it.
          tracked: Function that is told how many frames more have their boxes.
        """
        # A buffer is filled anew once its chunk has been fetched: the device may read
        # it in place. Old pixels around a smaller frame reach no crop.
        buffers = deque(self._buffer() for _ in range(_IN_FLIGHT + 1))
        flying: deque[tuple[_Chunk, TrackOutput]] = deque()
        reader = _Reader(lambda: next(streams, None), self._shape)
        landed = _Whole(tracked)
        with reader, ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(reader.read, buffers.popleft())
            while (chunk := coming.result()) is not None:
                flying.append((chunk, self._dispatched(chunk)))
                coming = ahead.submit(reader.read, buffers.popleft())
                if len(flying) == _IN_FLIGHT:
                    first = flying.popleft()
                    yield from landed.with_parts(_fetched(*first))
                    buffers.append(first[0].buffer)
            for one in flying:
                yield from landed.with_parts(_fetched(*one))

    def follow_parts(self, opened: Callable[[], Stream | None]) -> Iterator[Part]:
        """Yields, chunk by chunk, what is found of every video.

        No chunk is read before all of the one before it is handed out: whoever gets a
        part may stop its video, and open another one for the row.

        Args:
          opened: Function that returns the next video, or None if there is none now.
            The end is where no row has a video.
        """
        buffer = self._buffer()
        with _Reader(opened, self._shape) as reader:
            while (chunk := reader.read(buffer)) is not None:
                yield from _fetched(chunk, self._dispatched(chunk))

    def _buffer(self) -> UInt8[np.ndarray, " n"]:
        return np.zeros(3 * math.prod(self._shape), np.uint8)

    def _dispatched(self, chunk: _Chunk) -> TrackOutput:
        """Returns what the device will say of a chunk, without waiting for it."""
        frames = on_canvases(chunk.frames, self._shape[2:])
        together = starts_together(self._shape[1])
        for first in range(0, len(chunk.begun), together):
            begun = chunk.begun[first : first + together]
            # The last group is filled up with one of its own: there is one program.
            begun += begun[-1:] * (together - len(begun))
            rows = np.array([row for row, _ in begun])
            boxes = np.stack([stream.box for _, stream in begun])
            hw = np.array([stream.hw for _, stream in begun], np.int32)
            self._place(rows, self._init(_first_frames(frames, rows), boxes, hw))
        given = frames, chunk.frame_hw, chunk.use
        self._state, output = self._chunk(self._state, *given)
        return output

    def _place(self, rows: Int[np.ndarray, " n"], new: TrackState) -> None:
        if self._shape[1] == 1:
            self._state = new
            return
        if self._state is None:
            self._state = _repeated(new, self._shape[1])
        self._state = _placed(self._state, new, rows)


class _Whole:
    """Puts the parts of videos together.

    Args:
      tracked: Function that is told how many frames more have their boxes.
    """

    def __init__(self, tracked: Callable[[int], None]):
        self._tracked = tracked
        self._parts: dict[int, list[TrackResult]] = {}

    def with_parts(
        self, parts: list[Part]
    ) -> Iterator[tuple[int, TrackResult | InputError]]:
        """Yields the videos that end with the parts of a chunk."""
        self._tracked(sum(len(part.found.boxes) for part in parts))
        for part in parts:
            number = part.stream.number
            self._parts.setdefault(number, []).append(part.found)
            if not part.ends:
                continue
            found = self._parts.pop(number)
            yield number, _joined(found) if part.fault is None else part.fault


def _fetched(chunk: _Chunk, output: TrackOutput) -> list[Part]:
    """Returns what is found of the videos of a chunk, after waiting for it."""
    boxes, scores, states = (
        None if part is None else np.asarray(part) for part in output
    )
    assert boxes is not None and scores is not None
    parts = []
    for share in chunk.shares:
        rows = slice(share.frames), share.row
        said: Any = None if states is None else states[rows].copy()
        found = TrackResult(boxes[rows].copy(), scores[rows].copy(), said)
        if share.first == 0 and share.frames:
            # Nothing was searched in the first frame: what its step has said is void.
            found.scores[0] = 1.0
            if found.states is not None:
                found.states[0] = 0
        searched = int(share.first == 0)
        parts.append(Part(share.stream, searched, found, share.ends, share.fault))
    return parts


class _Reader:
    """Fills chunks with the frames of the videos that the rows hold.

    Args:
      opened: Function that returns the next video, or None if there is none.
      shape: Frames in a chunk, rows, height and width of a canvas.
    """

    def __init__(
        self,
        opened: Callable[[], Stream | None],
        shape: tuple[int, int, int, int],
    ):
        self._opened, self._shape = opened, shape
        rows = shape[1]
        self._rows: list[Stream | None] = [None] * rows
        self._threads = min(rows, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads)

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._rows = []
        self._pool.shutdown(cancel_futures=True)

    def read(self, buffer: UInt8[np.ndarray, " n"]) -> _Chunk | None:
        """Returns the next chunk, in a buffer; None if no row has a video."""
        length, rows, *canvas = self._shape
        begun = self._begun()
        held = [(row, stream) for row, stream in enumerate(self._rows) if stream]
        if not held:
            return None
        sizes = [stream.hw for _, stream in held]
        shape = length, rows, *travelling_size(sizes, (canvas[0], canvas[1])), 3
        frames = buffer[: math.prod(shape)].reshape(shape)
        frame_hw = np.full((rows, 2), canvas, np.int32)
        use = np.zeros((length, rows), bool)

        # Each thread takes one row after another: a task for every row would cost more
        # than copying its frames where a batch is large and a chunk short.
        waiting = iter(held)

        def fill(_: int) -> list[_Share]:
            return [_filled(*one, frames[:, one[0]]) for one in waiting]

        filled = self._pool.map(fill, range(min(self._threads, len(held))))
        shares = sorted(itertools.chain.from_iterable(filled), key=lambda s: s.row)
        for share in shares:
            frame_hw[share.row] = share.stream.hw
            use[: share.frames, share.row] = True
            if share.ends:
                self._rows[share.row] = None
        for row, _ in begun:
            use[0, row] = False
        return _Chunk(frames, frame_hw, use, begun, shares, buffer)

    def _begun(self) -> list[tuple[int, Stream]]:
        """Returns the videos that rows without one have taken up."""
        begun = []
        for row, stream in enumerate(self._rows):
            if stream is not None and not stream.stopped:
                continue
            self._rows[row] = new = self._opened()
            if new is not None:
                begun.append((row, new))
        return begun


def _filled(row: int, stream: Stream, canvases: UInt8[np.ndarray, "t h w 3"]) -> _Share:
    """Fills a row of a chunk and returns what it holds."""
    before = stream.read
    try:
        count = stream.fill(canvases)
        return _Share(row, stream, before, count, stream.has_ended())
    except InputError as error:
        return _Share(row, stream, before, stream.read - before, True, error)


def _first_frames(
    frames: UInt8[Array, "t b y x 3"], rows: Int[np.ndarray, " n"]
) -> UInt8[Array, "n y x 3"]:
    """Returns the first frames of rows, from where the chunk is."""
    if isinstance(frames, np.ndarray):
        return frames[0, rows]
    return _taken(frames, rows)


_taken = jax.jit(lambda frames, rows: frames[0, rows])


@jax.jit
def _placed(states: TrackState, new: TrackState, rows: Int[Array, " n"]) -> TrackState:
    """Returns the states of all rows, with those of new videos in some of them."""
    return jax.tree.map(lambda all_, some: all_.at[rows].set(some), states, new)


def _repeated(new: TrackState, rows: int) -> TrackState:
    """Returns states of all rows; those that hold no video yet are of no account."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[:1], (rows, *leaf.shape[1:])), new
    )


def _joined(parts: list[TrackResult]) -> TrackResult:
    boxes, scores, states = zip(*parts, strict=True)
    judged: Any = None if states[0] is None else np.concatenate(states)
    return TrackResult(np.concatenate(boxes), np.concatenate(scores), judged)
