"""Says in words what a calibration has found."""

from collections.abc import Mapping
from typing import Any

from dst_jax.errors import counted
from dst_jax.track import Tracking
from dst_jax.track.confidence import score_of


def told(
    place: str, dataset: str, tracking: Tracking, figures: Mapping[str, Any]
) -> list[str]:
    """Returns the lines that say what a calibration has found.

    Args:
      place: Folder of the bundle, as the user named it.
      dataset: Name of the data set that was fitted.
      tracking: The calibrated settings.
      figures: What was measured, by data set.
    """
    fit = figures[dataset]
    assert tracking.calibration is not None and tracking.lost_below is not None
    even = score_of(0.5, tracking.calibration)
    lines = [
        f"{place}: calibrated on {_frames(fit)} of {dataset}; a box of score "
        f"{even:.4f} overlaps its target by more than half with 50 %. Lost below "
        f"{tracking.lost_below:.4f}. The bundle has this now."
    ]
    for name, found in figures.items():
        lines.append(
            f"{name}: {100 * found['right']:.0f} % of {_frames(found)} are right; "
            f"probabilities are off by {found['calibration_error']:.3f} "
            f"(Brier {found['brier']:.3f}, without scores "
            f"{found['brier_constant']:.3f}). Called lost: {_called_lost(found)}."
        )
        if search := found.get("lost_search"):
            lines.append(
                f"{name}, lost ones searched in {tracking.lost_search} windows' width: "
                f"AUC {search['success_auc']:.3f}, without {found['success_auc']:.3f}"
                f"; found again {search['found_again']} times, "
                f"{search['found_again_rightly']} of them rightly; of "
                f"{counted(search['returns'], 'return')} after an absence "
                f"{search['returns_followed']} followed, without "
                f"{search['returns_followed_without']}."
            )
    return lines


def _frames(figures: Mapping[str, Any]) -> str:
    videos = counted(figures["videos"], "video")
    return f"{counted(figures['frames'], 'frame')} of {videos}"


def _called_lost(figures: Mapping[str, Any]) -> str:
    """Returns shares of frames that are called lost, in words."""
    words = {
        "absent": "in which the target is absent or covered",
        "missed": "in which the box misses it",
        "right": "in which it is right",
    }
    parts = []
    for kind, told in words.items():
        share, count = (figures["called_lost"][kind][n] for n in ("share", "frames"))
        if share is not None:
            parts.append(f"{100 * share:.0f} % of {counted(count, 'frame')} {told}")
    return ", ".join(parts)
