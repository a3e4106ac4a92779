"""What a tracker does that is started anew wherever it has failed."""

from collections.abc import Callable, Iterable

import numpy as np

from dst_jax.evaluate.region_overlap import region_overlap
from dst_jax.evaluate.restarts import RegionTruth, Run
from dst_jax.regions import FAILED, NOWHERE, START, starting_box
from dst_jax.typing import Region

Follow = Callable[[int], Iterable[Region]]


def run_with_restarts(follow: Follow, truth: RegionTruth, *, skip: int) -> Run:
    """Returns what a tracker does that starts from the truth again after a failure.

    Args:
      follow: Function from the frame of a start, counted from 0, to the regions of the
        frames after it; no more of them are taken than needed.
      truth: The annotation.
      skip: Frames from a failure to the next start.
    """
    run = RestartRun(truth, skip=skip)
    while run.start is not None:
        if all(run.take(region) for region in follow(run.start)):
            break
    return run.so_far


class RestartRun:
    """The run of a tracker, which grows by a region a frame.

    The tracker fails where its region has no pixel in common with the truth, and starts
    `skip` frames later, or in the first frame from there on that shows a true region.

    Args:
      truth: The annotation.
      skip: Frames from a failure to the next start.

    Attributes:
      start: Frame, counted from 0, from which the tracker is to run; None if no frame
        is left that is fit for a start.
    """

    start: int | None

    def __init__(self, truth: RegionTruth, *, skip: int):
        self._truth, self._skip = truth, skip
        self._run = [NOWHERE] * len(truth.regions)
        self._next = 0
        self._start_from(0)

    @property
    def so_far(self) -> Run:
        """Returns the run; of frames to come it says that no tracker runs there."""
        return tuple(self._run)

    def take(self, region: Region) -> bool:
        """Takes the region of the next frame and returns whether the tracker goes on.

        Args:
          region: What the tracker says of the frame after the start, or of the one
            after the region before.
        """
        frame, self._next = self._next, self._next + 1
        truth = self._truth
        if region_overlap(region, truth.regions[frame], truth.size) <= 0.0:
            self._run[frame] = FAILED
            self._start_from(frame + self._skip)
            return False
        self._run[frame] = region
        return True

    def _start_from(self, first: int) -> None:
        """Looks for a start in a frame or after it."""
        frames = range(first, len(self._run))
        fit = (frame for frame in frames if _can_start(self._truth, frame))
        self.start = next(fit, None)
        if self.start is not None:
            self._run[self.start] = START
            self._next = self.start + 1


def _can_start(truth: RegionTruth, frame: int) -> bool:
    """Returns whether the true region of a frame has an area within the image."""
    box, (height, width) = starting_box(truth.regions[frame]), truth.size
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    inside = (high > 0.0).all() and (low < (width, height)).all()
    return bool(np.isfinite(box).all() and (box[2:] > 0.0).all() and inside)
