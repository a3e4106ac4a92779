"""Runs a tracker over a sequence and starts it anew wherever it has failed."""

from collections.abc import Callable, Iterable

import numpy as np

from dst_jax.evaluate.region_overlap import region_overlap
from dst_jax.evaluate.restarts import RegionTruth, Run
from dst_jax.regions import FAILED, NOWHERE, START, starting_box
from dst_jax.typing import Region

Follow = Callable[[int], Iterable[Region]]


def run_with_restarts(follow: Follow, truth: RegionTruth, *, skip: int) -> Run:
    """Returns what a tracker does that starts from the truth again after a failure.

    It fails where its region has no pixel in common with the truth, and starts `skip`
    frames later, or in the first frame from there on that shows a true region.

    Args:
      follow: Function from the frame of a start, counted from 0, to the regions of the
        frames after it; no more of them are taken than needed.
      truth: The annotation.
      skip: Frames from a failure to the next start.
    """
    count = len(truth.regions)
    run = [NOWHERE] * count
    start = 0
    while start < count:
        if not _can_start(truth, start):
            start += 1
            continue
        run[start] = START
        begin, start = start, count
        for frame, region in enumerate(follow(begin), begin + 1):
            if region_overlap(region, truth.regions[frame], truth.size) <= 0.0:
                run[frame], start = FAILED, frame + skip
                break
            run[frame] = region
    return tuple(run)


def _can_start(truth: RegionTruth, frame: int) -> bool:
    """Returns whether the true region of a frame has an area within the image."""
    box, (height, width) = starting_box(truth.regions[frame]), truth.size
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    inside = (high > 0.0).all() and (low < (width, height)).all()
    return bool(np.isfinite(box).all() and (box[2:] > 0.0).all() and inside)
