"""Runs a tracker on a data set from the first boxes, and times and scores it.

`dst-jax evaluate`, `dst-jax ablate` and `dst-jax demo` all evaluate with this file, so
that their scores can be compared.
"""

import collections.abc
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from dst_jax.bundle import Bundle
from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers import read_with_report
from dst_jax.data.readers.annotation import NO_AREA_FAULT, OUTSIDE_FAULT
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, printable
from dst_jax.evaluate import OTB, Protocol, Score, score
from dst_jax.track import make_tracker
from dst_jax.typing import Float
from dst_jax.workflows.pace import Pace
from dst_jax.workflows.progress import description
from dst_jax.workflows.protocol_choice import truths_of
from dst_jax.workflows.runner import Outcome, follow, run_tracker

# Their boxes are shares of the frames' sizes.
_BOXES_NEED_FRAMES = ("ytbb",)


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


def follow_bundle(
    bundle: Bundle,
    sequences: collections.abc.Sequence[Sequence],
    *,
    name: str,
    pace: Pace,
    console: Console | None = None,
) -> Iterator[Outcome]:
    """Tracks every sequence with a bundle's tracker and yields each as it ends.

    Args:
      bundle: The tracker.
      sequences: The argument of `follow`.
      name: Name of the tracker in the progress bar.
      pace: The argument of `follow`.
      console: Console for the bar; None for none.

    Yields:
      What `follow` yields.

    Raises:
      InputError: If the tracker answers with no finite number.
    """
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    with frame_bar(name, sequences, console) as advance:
        yield from follow(tracker, sequences, pace=pace, advance=advance)


@contextlib.contextmanager
def frame_bar(
    name: str, sequences: collections.abc.Sequence[Sequence], console: Console | None
) -> Iterator[Callable[[int], None]]:
    """Yields a function that moves a bar, which counts tracked frames, on by some.

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
        yield lambda frames: bar.advance(task, frames)
