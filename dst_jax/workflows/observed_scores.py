"""Runs a tracker over annotated videos and says what its scores were worth."""

import collections.abc
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from dst_jax.boxes import iou
from dst_jax.bundle import Bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB
from dst_jax.evaluate.calibration import Reliability, reliability
from dst_jax.track import FOUND_AGAIN, LOST, Tracking, make_tracker, probabilities
from dst_jax.track.stream import check_box
from dst_jax.typing import Bool, Float, Int
from dst_jax.workflows.evaluation import frame_bar, score_boxes
from dst_jax.workflows.held_programs import let_go_if_many
from dst_jax.workflows.runner import read_ahead, require_answers

# A box that overlaps the true one by more is right.
RIGHT_OVERLAP = 0.5


class Observed(NamedTuple):
    """What a tracker said of the frames of some videos, but the first ones.

    Attributes:
      scores: Scores.
      right: Whether the box overlaps the true one by more than half; not where the
        target is absent.
      missed: Whether the target has a true box that the box does not touch at all.
      unseen: Whether the target is marked absent or wholly covered.
      states: TRACKED, UNCERTAIN, LOST or FOUND_AGAIN; None without thresholds.
      video: Number of the video.
      auc: OTB's success AUC of the boxes.
    """

    scores: Float[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]
    missed: Bool[np.ndarray, " n"]
    unseen: Bool[np.ndarray, " n"]
    states: Int[np.ndarray, " n"] | None
    video: Int[np.ndarray, " n"]
    auc: float


def observe(
    bundle: Bundle,
    tracking: Tracking,
    videos: collections.abc.Sequence[Sequence],
    *,
    name: str,
    console: Console | None = None,
) -> Observed:
    """Tracks videos from their first boxes and compares every box with the true one.

    Args:
      bundle: The tracker.
      tracking: Settings to track with, in place of the bundle's.
      videos: Videos with frames and truth.
      name: What the progress bar counts.
      console: Console for the bar; None for none.

    Raises:
      InputError: If a first box is missing or a frame cannot be used.
    """
    for video in videos:
        assert video.size is not None
        try:
            check_box(video.boxes[0], *video.size)
        except InputError as error:
            raise InputError(f"sequence {video.name!r}: {error}") from None
    let_go_if_many()
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=tracking)
    with frame_bar(name, videos, console) as advance:
        frames = [read_ahead(video) for video in videos]
        first = np.stack([video.boxes[0] for video in videos])
        tracked = tracker.track_many(frames, first, tracked=advance)
    scores = np.concatenate([one.scores[1:] for one in tracked]).astype(np.float64)
    require_answers(scores)
    overlaps = [
        _overlaps(one.boxes, video)[1:]
        for one, video in zip(tracked, videos, strict=True)
    ]
    boxes = {v.name: one.boxes for v, one in zip(videos, tracked, strict=True)}
    overlap = np.concatenate(overlaps)
    absent = np.concatenate([np.isnan(v.boxes[1:]).any(axis=1) for v in videos])
    covered = np.concatenate([_covered(video)[1:] for video in videos])
    states: Any = [one.states for one in tracked]
    return Observed(
        scores=scores,
        right=overlap > RIGHT_OVERLAP,
        missed=(overlap == 0.0) & ~absent & ~covered,
        unseen=absent | covered,
        states=None if states[0] is None else np.concatenate([s[1:] for s in states]),
        video=np.repeat(np.arange(len(videos)), [len(v) - 1 for v in videos]),
        auc=score_boxes(boxes, videos, OTB).values["success_auc"],
    )


def measured(
    observed: Observed, tracking: Tracking
) -> tuple[dict[str, Any], Reliability]:
    """Returns what the probabilities and the word "lost" are worth, as JSON values.

    Args:
      observed: What a tracker said without searching for lost targets.
      tracking: Calibrated settings with thresholds.
    """
    likely = probabilities(observed.scores, tracking)
    assert likely is not None and tracking.lost_below is not None
    found = reliability(likely, observed.right)
    # As the device compares, in float32.
    lost = observed.scores < np.float32(tracking.lost_below)
    kinds = {
        "right": observed.right & ~observed.unseen,
        "missed": observed.missed,
        "absent": observed.unseen,
    }
    values: dict[str, Any] = {
        "frames": len(observed.scores),
        "videos": int(observed.video.max()) + 1,
        "right": float(observed.right.mean()),
        "calibration_error": found.error,
        "brier": found.brier,
        "brier_constant": found.brier_constant,
        "success_auc": observed.auc,
        "called_lost": {
            kind: {
                "frames": int(which.sum()),
                "share": float(lost[which].mean()) if which.any() else None,
            }
            for kind, which in kinds.items()
        },
    }
    return values, found


def measured_search(observed: Observed, plain: Observed) -> dict[str, Any]:
    """Returns what a search for lost targets gains on the same videos, as JSON values.

    Args:
      observed: What the tracker said with the search.
      plain: What it said without.
    """
    assert observed.states is not None
    again = observed.states == FOUND_AGAIN
    return {
        "success_auc": observed.auc,
        "right": float(observed.right.mean()),
        "lost_frames": int((observed.states == LOST).sum()),
        "found_again": int(again.sum()),
        "found_again_rightly": int((again & observed.right).sum()),
        "returns": len(_returns(observed)),
        "returns_followed": sum(_returns(observed)),
        "returns_followed_without": sum(_returns(plain)),
    }


def _returns(observed: Observed) -> list[bool]:
    """Returns whether a box was right between each return and the next absence."""
    followed, before, open_ = list[bool](), -1, False
    for number, video in enumerate(observed.video.tolist()):
        seen, starts = not observed.unseen[number], video != before
        if seen and not starts and observed.unseen[number - 1]:
            followed.append(False)
            open_ = True
        elif not seen or starts:
            open_ = False
        if open_ and observed.right[number]:
            followed[-1] = True
        before = video
    return followed


def _covered(video: Sequence) -> Bool[np.ndarray, " t"]:
    return np.zeros(len(video), bool) if video.covered is None else video.covered


def _overlaps(
    boxes: Float[np.ndarray, "t 4"], video: Sequence
) -> Float[np.ndarray, " t"]:
    """Returns the overlap of each box with the true one; 0 where there is none."""
    truth = np.nan_to_num(np.asarray(video.boxes, np.float64))
    return np.asarray(iou(boxes.astype(np.float64), truth))
