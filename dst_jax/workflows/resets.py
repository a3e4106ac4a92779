"""Runs a tracker that is started anew wherever it has lost its target, as VOT does.

Several videos share a batch, whose rows take up a start as soon as it is known.
"""

import collections.abc
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from rich.console import Console

from dst_jax import boxes as box_math
from dst_jax.bundle import Bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate.protocols import ResetProtocol
from dst_jax.evaluate.restart_run import RestartRun
from dst_jax.evaluate.restarts import RegionTruth
from dst_jax.regions import starting_box
from dst_jax.track import Tracker, make_tracker
from dst_jax.track.lanes import Part
from dst_jax.track.run import Program
from dst_jax.track.stream import Stream
from dst_jax.typing import Float, Region
from dst_jax.workflows.evaluation import frame_bar
from dst_jax.workflows.held_programs import let_go_if_many
from dst_jax.workflows.pace import Pace
from dst_jax.workflows.runner import Outcome, read_ahead, require_answers


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
        and a start; its conditions say how many videos are tracked at a time. While
        overlaps are computed, and while the caller has an outcome, it stands still.
      console: Console for the bar; None for none.

    Yields:
      In no order the only run on each sequence, since a tracker does the same every
      time, with regions as their files hold them; or, where a frame cannot be used or
      none is fit for a start, what is wrong.

    Raises:
      InputError: If the tracker answers with no finite number.
    """
    let_go_if_many()
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    with frame_bar(name, sequences, console) as advance:
        videos = [_Video(sequence, protocol.skip) for sequence in sequences]
        yield from _Runner(tracker, videos, pace, advance).run()


class _Video:
    """A sequence and the run on it.

    Args:
      sequence: The sequence.
      skip: Frames from a failure to the next start.

    Attributes:
      name: Name of the sequence.
      size: Height and width of its frames.
      frames: Number of its frames.
      tracked: Number of frames that have been tracked.
      run: The run.
    """

    def __init__(self, sequence: Sequence, skip: int):
        self._sequence, self._truth = sequence, _truth_of(sequence)
        self.name, self.size = sequence.name, self._truth.size
        self.frames, self.tracked = len(sequence), 0
        self.run = RestartRun(self._truth, skip=skip)

    @property
    def box(self) -> Float[np.ndarray, " 4"]:
        """Returns the box of the start that comes next."""
        assert self.run.start is not None
        return starting_box(self._truth.regions[self.run.start]).astype(np.float32)

    def opened(self, number: int, *, limit: int | None = None) -> Stream:
        """Returns the frames from the next start on.

        Args:
          number: What the stream is called.
          limit: Number of frames at most; None for all.

        Raises:
          InputError: If the first of them cannot be used.
        """
        assert self.run.start is not None
        frames = read_ahead(self._sequence, first=self.run.start, limit=limit)
        return Stream(frames, number, self.box)

    def take(self, part: Part) -> int:
        """Takes what was found in a part; returns of how many frames, up to a failure.

        Where the tracker has failed, the frames of the stream are let go.
        """
        # In the frame of a start nothing is searched.
        answers = part.found.boxes[part.searched :]
        for number, region in enumerate(_regions(answers), 1):
            if not self.run.take(region):
                part.stream.stop()
                return number
        return len(answers)


def _regions(boxes: Float[np.ndarray, "t 4"]) -> list[Region]:
    """Returns boxes as the lines of a file hold them."""
    xywh = np.asarray(box_math.cxcywh_to_xywh(boxes.astype(float)))
    return [tuple(row) for row in np.round(xywh, 4).tolist()]


class _Runner:
    """A tracker on its way through several videos.

    Args:
      tracker: The tracker.
      videos: The videos.
      pace: Its clock.
      advance: Function that is told how many frames more are done.
    """

    def __init__(
        self,
        tracker: Tracker,
        videos: list[_Video],
        pace: Pace,
        advance: Callable[[int], None],
    ):
        self._tracker, self._videos = tracker, videos
        self._pace, self._advance = pace, advance
        # Videos that wait for a start, by the program that is to track them then.
        self._waiting: dict[Program, deque[int]] = {}
        self._warm: set[Program] = set()
        self._batch = min(pace.on.batch, max(len(videos), 1))

    def run(self) -> Iterator[Outcome]:
        """Yields what becomes of each video."""
        numbers = range(len(self._videos))
        # Long ones come first, so that none goes on alone for long at the end.
        for number in sorted(numbers, key=lambda n: -self._videos[n].frames):
            try:
                self._enqueue(number)
            except InputError as error:
                yield Outcome(self._videos[number].name, None, error)
        while left := [program for program, them in self._waiting.items() if them]:
            yield from self._follow(left[0])

    def _enqueue(self, number: int) -> None:
        """Lets a video wait for its next start."""
        video = self._videos[number]
        if video.run.start is None:
            raise InputError(
                f"sequence {video.name!r} has no frame with a true region inside of "
                "the image, from which a tracker starts; take it out of list.txt."
            )
        program = self._tracker.program(video.box, *video.size)
        self._waiting.setdefault(program, deque()).append(number)

    def _follow(self, program: Program) -> Iterator[Outcome]:
        """Tracks what waits for a program, and the further starts that it can take."""
        self._warm_up(program)
        waiting, unfit = self._waiting[program], list[Outcome]()

        def opened() -> Stream | None:
            while waiting:
                number = waiting.popleft()
                try:
                    return self._videos[number].opened(number)
                except InputError as error:
                    unfit.append(Outcome(self._videos[number].name, None, error))
            return None

        lanes = self._tracker.lanes(program, batch=self._batch)
        began = time.perf_counter()
        for part in lanes.follow_parts(opened):
            self._pace.seconds += time.perf_counter() - began
            outcome = self._outcome(part)
            if outcome is not None:
                yield outcome
            began = time.perf_counter()
        self._pace.seconds += time.perf_counter() - began
        yield from unfit

    def _outcome(self, part: Part) -> Outcome | None:
        """Returns what a part makes of its video if the video is done with it."""
        number = part.stream.number
        video = self._videos[number]
        count = video.take(part)
        video.tracked += count
        self._pace.frames += count
        self._advance(count)
        if part.stream.stopped and video.run.start is not None:
            self._enqueue(number)
            return None
        if part.fault is not None and not part.stream.stopped:
            return Outcome(video.name, None, part.fault)
        if not part.ends and not part.stream.stopped:
            return None
        # The frames of starts, and those before them, were not tracked.
        self._advance(video.frames - video.tracked)
        return Outcome(video.name, (video.run.so_far,))

    def _warm_up(self, program: Program) -> None:
        """Compiles a program outside of the clock, and looks for answers."""
        if program in self._warm:
            return
        self._warm.add(program)
        began = time.perf_counter()
        first = iter(list(self._waiting[program])[: self._batch])

        def opened() -> Stream | None:
            for number in first:
                try:
                    return self._videos[number].opened(number, limit=2)
                except InputError:
                    continue  # it will be told when its turn comes
            return None

        lanes = self._tracker.lanes(program, batch=self._batch)
        scores = [part.found.scores[1:] for part in lanes.follow_parts(opened)]
        require_answers(np.concatenate([np.empty(0, np.float32), *scores]))
        self._pace.compile_s += time.perf_counter() - began
