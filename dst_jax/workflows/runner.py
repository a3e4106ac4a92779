"""Runs a tracker over the videos of a data set from their first boxes, and times it.

Videos that share a compiled program share batches. One that cannot be used is told,
and the others go on.
"""

import collections.abc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from dst_jax.data.frames import Frame, read_frame, require_size
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.track import Tracker
from dst_jax.track.canvases import canvas_size
from dst_jax.track.run import Program
from dst_jax.typing import Float
from dst_jax.workflows.held_programs import let_go_if_many
from dst_jax.workflows.pace import Pace, conditions

# At most this many frames of a video, and bytes, are decoded ahead of the tracker.
_AHEAD, _AHEAD_BYTES = 16, 64 * 2**20
# Threads that decode a video. A CPU is busy with the network as well.
_DECODERS = {"cpu": 1}
_MANY_DECODERS = 4


class SilentTracker(InputError):
    """A tracker that answers nothing, which is no fault of any video."""


class Outcome(NamedTuple):
    """What became of one video.

    Attributes:
      name: Name of the sequence.
      found: Boxes (cx, cy, w, h) of all its frames; of a tracker that was started anew
        where it failed, its runs. None if the video cannot be used.
      fault: Why it cannot.
    """

    name: str
    found: Any
    fault: InputError | None = None


def run_tracker(
    tracker: Tracker,
    sequences: collections.abc.Sequence[Sequence],
    *,
    batch: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[dict[str, Float[np.ndarray, "_ 4"]], float]:
    """Tracks every sequence from its first box and measures the speed.

    Args:
      tracker: The tracker.
      sequences: Sequences with frames and with the target in the first of them.
      batch: Number of videos tracked at a time; None for the default of
        `Tracker.track_each`.
      advance: Function that is told how many frames more are tracked.

    Returns:
      Boxes (cx, cy, w, h) by sequence in the given order, and the frames per second
      from files to boxes. Decoding counts. Compilation does not, because two frames of
      some sequences are tracked beforehand.

    Raises:
      InputError: If a first box is missing, a frame cannot be used, or the tracker
        answers with no finite number.
    """
    pace, boxes = Pace(conditions(batch, tracker.spec)), {}
    for outcome in follow(tracker, sequences, pace=pace, advance=advance):
        if outcome.fault is not None:
            raise outcome.fault
        boxes[outcome.name] = outcome.found
    return {s.name: boxes[s.name] for s in sequences}, pace.fps or 0.0


def follow(
    tracker: Tracker,
    sequences: collections.abc.Sequence[Sequence],
    *,
    pace: Pace,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Tracks every sequence from its first box and yields each as it ends.

    Args:
      tracker: The tracker.
      sequences: Sequences with their frames.
      pace: The clock, which goes on; its conditions say how many videos are tracked at
        a time. While the caller has an outcome it stands still.
      advance: Function that is told how many frames more are tracked.

    Yields:
      First the sequences whose first box is missing or outside of the image, then the
      others, in no order.

    Raises:
      InputError: If the tracker answers with no finite number.
    """
    fit = []
    for sequence in sequences:
        try:
            require_start(sequence)
        except InputError as error:
            yield Outcome(sequence.name, None, error)
        else:
            fit.append(sequence)
    for group in _by_program(tracker, fit):
        let_go_if_many()
        yield from _follow_group(tracker, group, pace, advance)


def _follow_group(
    tracker: Tracker,
    group: list[Sequence],
    pace: Pace,
    advance: Callable[[int], None],
) -> Iterator[Outcome]:
    """Tracks sequences that share a program, which is compiled before."""
    first = np.stack([sequence.boxes[0] for sequence in group])
    began = time.perf_counter()
    _warm_up(tracker, group[: pace.on.batch], first, pace.on.batch)
    pace.compile_s += time.perf_counter() - began

    def tracked(frames: int) -> None:
        pace.frames += frames
        advance(frames)

    began = time.perf_counter()
    videos = [read_ahead(sequence) for sequence in group]
    for number, found in tracker.track_each(
        videos, first, batch=pace.on.batch, tracked=tracked
    ):
        pace.seconds += time.perf_counter() - began
        name = group[number].name
        if isinstance(found, InputError):
            yield Outcome(name, None, found)
        else:
            yield Outcome(name, found.boxes)
        began = time.perf_counter()
    pace.seconds += time.perf_counter() - began


def _warm_up(
    tracker: Tracker,
    group: list[Sequence],
    first: Float[np.ndarray, "_ 4"],
    batch: int,
) -> None:
    """Compiles what a group needs, and looks whether the tracker answers at all."""
    videos = [read_ahead(sequence, limit=2) for sequence in group]
    scores = [
        found.scores[1:]
        for _, found in tracker.track_each(videos, first[: len(group)], batch=batch)
        if not isinstance(found, InputError)  # it will be told when its turn comes
    ]
    require_answers(np.concatenate([np.empty(0, np.float32), *scores]))


def _by_program(
    tracker: Tracker, sequences: collections.abc.Iterable[Sequence]
) -> list[list[Sequence]]:
    """Returns groups of sequences that share compiled code.

    Long sequences come first, so that none goes on alone for long at the end.
    """
    groups: dict[Program, list[Sequence]] = {}
    for sequence in sequences:
        assert sequence.size is not None
        program = tracker.program(sequence.boxes[0], *sequence.size)
        groups.setdefault(program, []).append(sequence)
    return [sorted(group, key=len, reverse=True) for group in groups.values()]


def require_start(sequence: Sequence) -> None:
    """Returns if a tracker can start from the first box of a sequence.

    Args:
      sequence: The sequence, with its frames.

    Raises:
      InputError: If the box is missing, has no area or is outside of the image, or
        images are larger than any canvas.
    """
    if not sequence.frames or sequence.size is None:
        raise ValueError(f"sequence {sequence.name!r} was read without its frames")
    box, (height, width) = sequence.boxes[0].astype(float), sequence.size
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    if not np.isfinite(box).all():
        fault = "no box"
    elif (box[2:] <= 0.0).any():
        fault = "a box without area"
    elif (high <= 0.0).any() or (low >= (width, height)).any():
        fault = "a box outside of the image"
    else:
        canvas_size(height, width)
        return
    raise InputError(
        f"sequence {sequence.name!r} has {fault} in its first frame, from which a "
        "tracker starts; cut the frames before the target appears."
    )


def require_answers(scores: Float[np.ndarray, " n"]) -> None:
    """Raises an error if a tracker has answered nothing at all.

    Online tracking gives an answer that is not finite the score 0 and leaves the box
    where it is, so that such a tracker would be scored as one that never moves.

    Args:
      scores: Scores of frames that were tracked.

    Raises:
      SilentTracker: If there are some, and all are 0.
    """
    if scores.size and not (scores > 0.0).any():
        raise SilentTracker(
            "the tracker answers no frame with finite numbers; its weights or settings "
            "are broken: convert or train it again."
        )


def read_ahead(
    sequence: Sequence, *, first: int = 0, limit: int | None = None
) -> Iterator[Frame]:
    """Yields the frames of a sequence; threads decode a few of them ahead.

    Args:
      sequence: The sequence, with its frames.
      first: Number of the first frame, counted from 0.
      limit: Number of frames at most; None for all.

    Raises:
      InputError: If a frame cannot be read, or has another size than the sequence.
    """
    last = None if limit is None else first + limit
    most = _frames_ahead(sequence.size)
    threads = _DECODERS.get(jax.default_backend(), _MANY_DECODERS)
    with ThreadPoolExecutor(threads) as pool:
        ahead: collections.deque[Future[Frame]] = collections.deque()
        for path in sequence.frames[first:last]:
            ahead.append(pool.submit(_read_checked, path, sequence.size))
            if len(ahead) > most:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _frames_ahead(size: tuple[int, int] | None) -> int:
    """Returns how many frames of a size are held decoded: 16, or 2 of 4K."""
    if size is None:
        return _AHEAD
    return max(1, min(_AHEAD, _AHEAD_BYTES // (3 * size[0] * size[1])))


def _read_checked(path: str, size: tuple[int, int] | None) -> Frame:
    frame = read_frame(path)
    if size is not None:
        require_size(frame, size, path)
    return frame
