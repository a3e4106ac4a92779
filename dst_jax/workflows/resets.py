"""Runs a tracker that is started anew wherever it has lost its target, as VOT does."""

import collections.abc
import time
from collections.abc import Callable, Iterator

import numpy as np
from rich.console import Console

from dst_jax import boxes as box_math
from dst_jax.arch import TrackerSpec
from dst_jax.bundle import Bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate.protocols import ResetProtocol
from dst_jax.evaluate.restart_run import run_with_restarts
from dst_jax.evaluate.restarts import RegionTruth, Run
from dst_jax.regions import START, starting_box
from dst_jax.track import Tracker, make_tracker
from dst_jax.track.canvases import canvas_size
from dst_jax.track.targets import follow_targets
from dst_jax.typing import Float, Region
from dst_jax.workflows.evaluation import frame_bar
from dst_jax.workflows.pace import Pace
from dst_jax.workflows.runner import (
    Outcome,
    SilentTracker,
    read_ahead,
    require_answers,
)


def region_truths(
    sequences: collections.abc.Iterable[Sequence],
) -> dict[str, RegionTruth]:
    """Returns the true regions of sequences that have them, by name.

    Args:
      sequences: Sequences with regions, and with the size of their frames.
    """
    return {sequence.name: _truth_of(sequence) for sequence in sequences}


def _truth_of(sequence: Sequence) -> RegionTruth:
    if sequence.regions is None or sequence.size is None:
        raise ValueError(f"sequence {sequence.name!r} has no regions or no size")
    return RegionTruth(sequence.regions, sequence.size)


def follow_bundle_with_resets(
    bundle: Bundle,
    sequences: collections.abc.Sequence[Sequence],
    protocol: ResetProtocol,
    *,
    name: str,
    pace: Pace,
    console: Console | None = None,
) -> Iterator[Outcome]:
    """Tracks every sequence with restarts and yields each as it ends.

    Args:
      bundle: The tracker.
      sequences: Sequences with frames and regions.
      protocol: The conventions.
      name: Name of the tracker in the progress bar.
      pace: The clock, from files to boxes, of all frames but those between a failure
        and a start.
      console: Console for the bar; None for none.

    Yields:
      The only run on each sequence, since a tracker does the same every time, with
      regions as their files hold them; or, where a frame cannot be used or none is fit
      for a start, what is wrong.

    Raises:
      InputError: If the tracker answers with no finite number.
    """
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    with frame_bar(name, sequences, console) as advance:
        runner = _Runner(tracker, pace, advance)
        for sequence in sequences:
            try:
                run = runner.run(sequence, protocol)
            except SilentTracker:
                raise
            except InputError as error:
                yield Outcome(sequence.name, None, error)
            else:
                yield Outcome(sequence.name, run)


class _Runner:
    """A tracker with the programs that it has compiled.

    Args:
      tracker: The tracker.
      pace: Its clock.
      advance: Function that is told how many frames more are done.
    """

    def __init__(self, tracker: Tracker, pace: Pace, advance: Callable[[int], None]):
        self._tracker, self._pace, self._advance = tracker, pace, advance
        self._warm: set[tuple[tuple[int, int], TrackerSpec]] = set()

    def run(self, sequence: Sequence, protocol: ResetProtocol) -> tuple[Run]:
        """Returns the only run on a sequence."""
        pace, truth = self._pace, _truth_of(sequence)
        before = pace.frames

        def regions(start: int) -> Iterator[Region]:
            box = starting_box(truth.regions[start]).astype(np.float32)
            self._warm_up(sequence, start, box)
            begin = time.perf_counter()
            for boxes in self._boxes(sequence, start, box):
                pace.seconds += time.perf_counter() - begin
                for region in boxes:
                    pace.frames += 1
                    self._advance(1)
                    yield region
                begin = time.perf_counter()
            pace.seconds += time.perf_counter() - begin

        run = run_with_restarts(regions, truth, skip=protocol.skip)
        if START not in run:
            raise InputError(
                f"sequence {sequence.name!r} has no frame with a true region inside of "
                "the image, from which a tracker starts; take it out of list.txt."
            )
        # The frames of starts, and those before them, were not tracked.
        self._advance(len(sequence) - (pace.frames - before))
        return (run,)

    def _boxes(
        self, sequence: Sequence, start: int, box: Float[np.ndarray, " 4"]
    ) -> Iterator[list[Region]]:
        """Yields, chunk by chunk, the regions after the frame of a start."""
        frames = read_ahead(sequence, first=start)
        skipped = 1
        for part in follow_targets(self._tracker, frames, box[None], ahead=False):
            boxes = part.boxes[skipped:, 0].astype(float)
            xywh = np.asarray(box_math.cxcywh_to_xywh(boxes))
            skipped = 0
            yield [tuple(row) for row in np.round(xywh, 4).tolist()]

    def _warm_up(
        self, sequence: Sequence, start: int, box: Float[np.ndarray, " 4"]
    ) -> None:
        """Compiles what a target of this size needs, outside of the clock."""
        assert sequence.size is not None
        height, width = sequence.size
        crops = self._tracker.search_spec(box, height, width)
        program = canvas_size(height, width), crops
        if program in self._warm:
            return
        self._warm.add(program)
        begin = time.perf_counter()
        frames = read_ahead(sequence, first=start, limit=2)
        for part in follow_targets(self._tracker, frames, box[None]):
            require_answers(part.scores[1:, 0])
        self._pace.compile_s += time.perf_counter() - begin
