"""Follows one or several targets of a video of any length, part by part.

Every target has an embedding of its own and all pass the network as one batch. What a
part holds is handed out before the next is read, so that memory does not grow, and all
that was read before a video stops is tracked.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.errors import InputError
from dst_jax.models.build import Variables
from dst_jax.track.canvases import (
    canvas_size,
    chunk_length,
    on_canvases,
    starts_together,
    travelling_size,
)
from dst_jax.track.confidence import probabilities
from dst_jax.track.config import Tracking
from dst_jax.track.run import Tracker, compiled
from dst_jax.track.state import TrackOutput, TrackState
from dst_jax.track.stream import Frames, Stream, check_box
from dst_jax.typing import Array, Bool, Float, Int, UInt8


class Followed(NamedTuple):
    """Consecutive frames of a video and the boxes of its targets in them.

    Attributes:
      frames: RGB frames.
      boxes: Boxes (cx, cy, w, h) in frame pixels, of each frame and target; in the
        first frame the given ones, with score 1.
      scores: Scores from 0 to 1, see `TrackOutput`.
      states: TRACKED, UNCERTAIN, LOST or FOUND_AGAIN; None if no threshold is set.
      probabilities: How probable it is that a box overlaps its target by more than
        half, 1 in the first frame; None if the tracker is not calibrated.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    boxes: Float[np.ndarray, "t k 4"]
    scores: Float[np.ndarray, "t k"]
    states: Int[np.ndarray, "t k"] | None
    probabilities: Float[np.ndarray, "t k"] | None = None


class _Group(NamedTuple):
    """Targets whose search crops have one size.

    Attributes:
      rows: Their places among all targets.
      state: Their states.
      chunk: The compiled function that takes them through a part.
    """

    rows: list[int]
    state: TrackState
    chunk: Callable[..., tuple[TrackState, TrackOutput]]


def follow_targets(
    tracker: Tracker,
    frames: Frames,
    boxes: Float[Array, "k 4"],
    *,
    live: bool = False,
) -> Iterator[Followed]:
    """Yields a video part by part, with the boxes of its targets.

    The boxes are those that `Tracker.track` gives for each target alone. If reading
    raises an error, or is interrupted, the frames before are yielded first.

    Args:
      tracker: The tracker.
      frames: RGB uint8 frames of one size.
      boxes: The targets in the first frame, cxcywh in frame pixels.
      live: Whether each frame is a part, to be answered before the next one comes. A
        stored video is faster in parts of up to 64.

    Yields:
      The parts in order.

    Raises:
      InputError: If there is no frame or no box, or one is unfit, see `Tracker.track`.
    """
    if len(boxes) == 0:
        raise InputError("no box is given; give one for each target.")
    stream = Stream(frames, 0, boxes[0])
    given = np.stack([check_box(box, *stream.hw) for box in boxes])
    frame_hw = np.array([stream.hw], np.int32)
    canvas = canvas_size(*stream.hw)
    shape = (1 if live else chunk_length(canvas), 1)
    groups: list[_Group] = []
    pending, stop = list[Any](), None
    while stop is None:
        # The buffer is new each time, because the device may read it in place.
        sides = travelling_size([stream.hw], canvas)
        read = np.zeros((*shape, *sides, 3), np.uint8)
        count, stop = _filled(stream, read[:, 0])
        if count == 0:
            break
        use = np.zeros(shape, bool)
        use[:count] = True
        canvases = on_canvases(read, canvas)
        if not groups:
            groups = _begun(tracker, on_canvases(read[:1], canvas)[0], given, frame_hw)
            use[0] = False
        outputs = _moved(groups, tracker.variables, canvases, frame_hw, use)
        # The last part is awaited only now, so that reading frames overlaps with it.
        shown = read[:count, 0, : stream.hw[0], : stream.hw[1]]
        pending.append((shown, stream.read == count, outputs))
        if live or len(pending) > 1:
            yield _fetched(pending.pop(0), tracker.config)
    yield from (_fetched(part, tracker.config) for part in pending)
    if isinstance(stop, BaseException):
        raise stop


def _filled(
    stream: Stream, canvases: UInt8[np.ndarray, "t h w 3"]
) -> tuple[int, BaseException | bool | None]:
    """Fills canvases; returns how many, and what ended the video if it has ended."""
    before = stream.read
    try:
        ended = stream.fill(canvases) < len(canvases) or None
    except BaseException as error:  # Ctrl-C among them: what was read is not lost
        ended = error
    return stream.read - before, ended


def _begun(
    tracker: Tracker,
    frame: UInt8[Array, "1 h w 3"],
    boxes: Float[np.ndarray, "k 4"],
    frame_hw: Int[np.ndarray, "1 2"],
) -> list[_Group]:
    """Returns the targets after the first frame, by the size of their search crops."""
    height, width = (int(side) for side in frame_hw[0])
    together: dict[Any, list[int]] = {}
    for row, box in enumerate(boxes):
        spec = tracker.search_spec(box, height, width)
        together.setdefault(spec, []).append(row)
    first = compiled(tracker.spec, tracker.config).init
    most = starts_together(len(boxes))

    def begun(rows: list[int]) -> TrackState:
        # The last group is filled up with one of its own: there is one program.
        rows = rows + rows[-1:] * (most - len(rows))
        sizes = np.repeat(frame_hw, most, axis=0)
        pictures = frame if most == 1 else jnp.repeat(frame, most, axis=0)
        return first(tracker.variables, pictures, boxes[rows], sizes)

    def joined(rows: list[int]) -> TrackState:
        groups = [begun(rows[i : i + most]) for i in range(0, len(rows), most)]
        return jax.tree.map(
            lambda *leaves: jnp.concatenate(leaves)[: len(rows)], *groups
        )

    return [
        _Group(rows, joined(rows), compiled(spec, tracker.config).chunk)
        for spec, rows in together.items()
    ]


def _moved(
    groups: list[_Group],
    variables: Variables,
    canvases: UInt8[Array, "t 1 h w 3"],
    frame_hw: Int[np.ndarray, "1 2"],
    use: Bool[np.ndarray, "t 1"],
) -> list[tuple[list[int], TrackOutput]]:
    """Takes all groups through a part, and returns rows and outputs of each."""
    outputs = []
    for i, (rows, state, chunk) in enumerate(groups):
        state, output = chunk(variables, state, canvases, frame_hw, use)
        groups[i] = _Group(rows, state, chunk)
        outputs.append((rows, output))
    return outputs


def _fetched(
    part: tuple[np.ndarray, bool, list[tuple[list[int], TrackOutput]]],
    config: Tracking,
) -> Followed:
    """Returns a part whose boxes have come from the device, in the targets' order.

    Args:
      part: Its frames [t, h, w, 3], whether the given boxes are among its own, and rows
        and outputs of each group of targets.
      config: Settings of the tracker.
    """
    frames, first, outputs = part
    order = np.argsort(np.concatenate([rows for rows, _ in outputs]))
    fetched: Any = jax.device_get([output for _, output in outputs])
    boxes, scores, states = zip(*fetched, strict=True)

    def ordered(parts: Any) -> np.ndarray:
        return np.concatenate(parts, axis=1)[: len(frames), order]

    judged, said = None if states[0] is None else ordered(states), ordered(scores)
    likely = probabilities(said, config)
    if likely is not None and first:
        likely[0] = 1.0
    return Followed(frames, ordered(boxes), said, judged, likely)
