"""Runs a tracker on a data set from the first boxes, and times and scores it.

`dst-jax evaluate`, `dst-jax ablate` and `dst-jax demo` all evaluate with this file, so
that their scores can be compared.
"""

import collections.abc
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from dst_jax.arch import TrackerSpec
from dst_jax.bundle import Bundle
from dst_jax.data.checks.lint import Problems
from dst_jax.data.frames import Frame, read_frame, require_size
from dst_jax.data.readers import read_with_report
from dst_jax.data.readers.annotation import NO_AREA_FAULT, OUTSIDE_FAULT
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, printable
from dst_jax.evaluate import OTB, Protocol, Score, score
from dst_jax.track import Tracker, make_tracker
from dst_jax.track.run import canvas_size
from dst_jax.typing import Float
from dst_jax.workflows.progress import description
from dst_jax.workflows.protocol_choice import truths_of

# This many frames of a video are decoded ahead of the tracker.
_AHEAD = 16
# Their boxes are shares of the frames' sizes.
_BOXES_NEED_FRAMES = ("ytbb",)
# A batch holds at most this many videos by default, and so does a warm-up.
_WARM_VIDEOS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """The results of one tracker on a data set.

    Attributes:
      boxes: Boxes (cx, cy, w, h) of every frame by sequence, frame pixels.
      score: Their score under OTB's protocol.
      fps: End-to-end frames per second.
    """

    boxes: Mapping[str, Float[np.ndarray, "_ 4"]]
    score: Score
    fps: float


def read_videos(dataset: str, *, frames_required: bool = True) -> tuple[Sequence, ...]:
    """Returns the sequences of a data set to evaluate on.

    Args:
      dataset: Layout and folder, such as "otb:DIR".
      frames_required: Whether missing images are an error.

    Raises:
      InputError: If the data set is faulty or holds single images.
    """
    # COCO is refused before it is read, because its annotations are large.
    layout = dataset.partition(":")[0]
    single = layout == "coco"
    frames_required = frames_required or layout in _BOXES_NEED_FRAMES
    # These are the protocol's business: a kit scores what training must not use.
    problems = Problems(accepted=(NO_AREA_FAULT, OUTSIDE_FAULT))
    sequences = (
        ()
        if single
        else read_with_report(
            dataset, frames_required=frames_required, problems=problems
        )[0]
    )
    longest = max(map(len, sequences), default=0)
    if longest == 1 and not frames_required:
        # Of a test set without truth only the frames tell how long a video is.
        return read_videos(dataset)
    if single or longest == 1:
        raise InputError(
            f"data set {dataset!r} holds single images; give video, such as otb:DIR or "
            "got10k:DIR."
        )
    return sequences


def evaluate_bundle(
    bundle: Bundle,
    sequences: collections.abc.Sequence[Sequence],
    *,
    name: str,
    batch: int | None = None,
    console: Console | None = None,
) -> Evaluated:
    """Returns boxes, score and speed of a bundle's tracker on `sequences`.

    Args:
      bundle: The tracker.
      sequences: The argument of `run_tracker`.
      name: Name of the tracker in the progress bar.
      batch: The argument of `run_tracker`.
      console: Console for the bar; None for none.

    Raises:
      InputError: If a first box is missing or a frame cannot be used.
    """
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    with frame_bar(name, sequences, console) as advance:
        boxes, fps = run_tracker(tracker, sequences, batch=batch, advance=advance)
    return Evaluated(boxes, score_boxes(boxes, sequences, OTB), fps)


def score_still(sequences: collections.abc.Sequence[Sequence]) -> Score:
    """Returns the score, by OTB, of a tracker that never moves its first box."""
    boxes = {s.name: np.repeat(s.boxes[:1], len(s.boxes), axis=0) for s in sequences}
    return score_boxes(boxes, sequences, OTB)


def score_boxes(
    boxes: Mapping[str, Float[np.ndarray, "*repeats _ 4"]],
    sequences: collections.abc.Sequence[Sequence],
    protocol: Protocol,
) -> Score:
    """Returns the score of boxes under a protocol.

    Args:
      boxes: Boxes (cx, cy, w, h) of every frame by sequence, frame pixels.
      sequences: Sequences with the true boxes; frames are not read.
      protocol: The conventions.

    Raises:
      InputError: If a sequence has no boxes, too few of them, or none that counts.
    """
    return score(boxes, truths_of(sequences), protocol)


def run_tracker(
    tracker: Tracker,
    sequences: collections.abc.Sequence[Sequence],
    *,
    batch: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Float[np.ndarray, "_ 4"]], float]:
    """Tracks every sequence from its first box and measures the speed.

    Sequences that share a compiled program share batches.

    Args:
      tracker: The tracker.
      sequences: Sequences with frames and with the target in the first of them.
      batch: Number of videos tracked at a time; None for the default of
        `Tracker.track_many`.
      advance: Function that is called after every frame that was read.

    Returns:
      Boxes (cx, cy, w, h) by sequence in the given order, and the frames per second
      from files to boxes. Decoding counts. Compilation does not, because two frames of
      some sequences are tracked beforehand.

    Raises:
      InputError: If a first box is missing, a frame cannot be used, or the tracker
        answers with no finite number.
    """
    groups = _by_program(tracker, sequences)
    boxes, seconds = {}, 0.0
    for group in groups:
        first = np.stack([sequence.boxes[0] for sequence in group])
        warm = group[: batch or _WARM_VIDEOS]
        warmed = tracker.track_many(
            [read_ahead(s, limit=2) for s in warm], first[: len(warm)], batch=batch
        )
        require_answers(np.concatenate([one.scores[1:] for one in warmed]))
        start = time.perf_counter()
        videos = [read_ahead(s, advance=advance) for s in group]
        tracked = tracker.track_many(videos, first, batch=batch)
        seconds += time.perf_counter() - start
        boxes |= {s.name: t.boxes for s, t in zip(group, tracked, strict=True)}
    frames = sum(len(sequence) for sequence in sequences)
    return {s.name: boxes[s.name] for s in sequences}, frames / max(seconds, 1e-9)


def _by_program(
    tracker: Tracker, sequences: collections.abc.Sequence[Sequence]
) -> list[list[Sequence]]:
    """Returns groups of sequences that share compiled code.

    Long sequences come first, so that those of a batch have similar lengths.
    """
    groups: dict[tuple[tuple[int, int], TrackerSpec], list[Sequence]] = {}
    for sequence in sequences:
        if not sequence.frames or sequence.size is None:
            raise ValueError(f"sequence {sequence.name!r} was read without its frames")
        _require_start(sequence)
        crops = tracker.search_spec(sequence.boxes[0], *sequence.size)
        program = canvas_size(*sequence.size), crops
        groups.setdefault(program, []).append(sequence)
    return [sorted(group, key=len, reverse=True) for group in groups.values()]


def _require_start(sequence: Sequence) -> None:
    """Raises an error if no tracker can start from the first box of a sequence."""
    assert sequence.size is not None
    box, (height, width) = sequence.boxes[0].astype(float), sequence.size
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    if not np.isfinite(box).all():
        fault = "no box"
    elif (box[2:] <= 0.0).any():
        fault = "a box without area"
    elif (high <= 0.0).any() or (low >= (width, height)).any():
        fault = "a box outside of the image"
    else:
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
      InputError: If there are some, and all are 0.
    """
    if scores.size and not (scores > 0.0).any():
        raise InputError(
            "the tracker answers no frame with finite numbers; its weights or settings "
            "are broken: convert or train it again."
        )


def read_ahead(
    sequence: Sequence,
    *,
    first: int = 0,
    limit: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """Yields the frames of a sequence; a thread decodes a few of them ahead.

    Args:
      sequence: The sequence, with its frames.
      first: Number of the first frame, counted from 0.
      limit: Number of frames at most; None for all.
      advance: Function that is called after every frame that was taken.

    Raises:
      InputError: If a frame cannot be read, or has another size than the sequence.
    """
    last = None if limit is None else first + limit
    with ThreadPoolExecutor(1) as pool:
        ahead: collections.deque[Future[Frame]] = collections.deque()
        for path in sequence.frames[first:last]:
            ahead.append(pool.submit(_read_checked, path, sequence.size))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
                advance()
        while ahead:
            yield ahead.popleft().result()
            advance()


def _read_checked(path: str, size: tuple[int, int] | None) -> Frame:
    frame = read_frame(path)
    if size is not None:
        require_size(frame, size, path)
    return frame


@contextlib.contextmanager
def frame_bar(
    name: str, sequences: collections.abc.Sequence[Sequence], console: Console | None
) -> Iterator[Callable[[], None]]:
    """Yields a function that moves a bar, which counts frames, on by one.

    Args:
      name: Name of the tracker, shown before the bar.
      sequences: The sequences, for the number of their frames.
      console: Console for the bar; None for none.
    """
    columns = (
        description(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeRemainingColumn(),
    )
    hidden = console is None or not console.is_terminal
    bar = Progress(*columns, console=console, transient=True, disable=hidden)
    with bar:
        total = sum(len(sequence) for sequence in sequences)
        task = bar.add_task(printable(name), total=total)
        yield lambda: bar.advance(task)
