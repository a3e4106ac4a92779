"""`dst-jax evaluate --tune` searches settings of tracking on validation videos."""

import collections.abc
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.files import require_place, user_path
from dst_jax.track.config import (
    SiamFCTracking,
    SiamRPNTracking,
    Tracking,
    tracking_to_json,
)
from dst_jax.workflows.calibrate import uncalibrated
from dst_jax.workflows.evaluation import evaluate_bundle, read_videos
from dst_jax.workflows.printing import say
from dst_jax.workflows.publishing import telling
from dst_jax.workflows.used_videos import require_apart, shared_videos, truth_sha256

# Each trial compiles the tracker anew.
TRIALS = 40
MOST_TRIALS = 10_000
# The numbers that are searched, and the ranges that hold all public presets.
_RANGES: Mapping[type[Tracking], Mapping[str, tuple[float, float]]] = {
    SiamFCTracking: {
        "scale_step": (1.01, 1.25),
        "scale_rate": (0.1, 0.9),
        "scale_penalty": (0.9, 1.0),
        "window_influence": (0.05, 0.5),
    },
    SiamRPNTracking: {
        "penalty_k": (0.01, 0.9),
        "size_rate": (0.1, 0.9),
        "window_influence": (0.05, 0.6),
    },
}
_CARD = "tuned"


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What a search has found for one tracker.

    Attributes:
      tracking: The best settings.
      auc: Their success AUC on the validation videos, by OTB's protocol.
      auc_before: That of the settings which the bundle had.
    """

    tracking: Tracking
    auc: float
    auc_before: float


def tune_bundles(
    validation: str,
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
    *,
    reported: str,
    trials: int = TRIALS,
    seed: int = 0,
    console: Console | None = None,
) -> dict[str, Tuned]:
    """Searches settings of trackers at random, and puts the best into their bundles.

    A bundle's card then states the data set, its videos, the number of trials, and the
    settings that the bundle had. A calibration is taken out.

    Args:
      validation: Layout and folder of the videos to tune on, such as "got10k:DIR".
      bundles: Folders of trackers.
      reported: Layout and folder of the data set that is evaluated afterwards.
      trials: Number of settings that are tried, the bundle's own among them.
      seed: Seed of the settings.
      console: Console for progress and results; None for no output.

    Returns:
      What was found, by the bundle's folder.

    Raises:
      InputError: If a video is also evaluated, the truth of the validation videos is
        not published, the number of trials is unfit, or a bundle is faulty; nothing
        is changed then.
    """
    if not 1 < trials <= MOST_TRIALS:
        raise InputError(f"--trials {trials}: must be from 2 to {MOST_TRIALS:,}.")
    paths = [user_path(bundle) for bundle in bundles]
    # The probabilities of other settings are others.
    loaded = {str(path): uncalibrated(load_bundle(path)) for path in paths}
    for name, bundle in loaded.items():
        _require_ranges(name, bundle.tracking)
    for path in paths:
        require_place(path)
    with telling(console, f"reading {validation}"):
        videos = read_videos(validation)
        require_apart(
            validation, videos, reported, read_videos(reported, frames_required=False)
        )
    found = {}
    for place, bundle in loaded.items():
        best = tune(bundle, videos, trials=trials, seed=seed, console=console)
        card = {
            **bundle.card,
            _CARD: {
                "dataset": validation,
                "videos": {video.name: truth_sha256(video) for video in videos},
                "trials": trials,
                "seed": seed,
                "success_auc": best.auc,
                "success_auc_before": best.auc_before,
                "tracking_before": tracking_to_json(bundle.tracking),
            },
        }
        save_bundle(
            dataclasses.replace(bundle, tracking=best.tracking, card=card), place
        )
        found[place] = best
        if console is not None:
            say(console, f"{place}: {_told(best, trials, validation)}")
    return found


def tune(
    bundle: Bundle,
    videos: collections.abc.Sequence[Sequence],
    *,
    trials: int,
    seed: int = 0,
    console: Console | None = None,
) -> Tuned:
    """Returns the best of some settings, the first of which are the bundle's own.

    Args:
      bundle: The tracker.
      videos: Videos with their truth.
      trials: Number of settings that are tried.
      seed: Seed of the settings.
      console: Console for progress; None for none.
    """
    rng = np.random.default_rng(seed)
    before = best = None
    for trial in range(trials):
        drawn = bundle.tracking if trial == 0 else _drawn(bundle.tracking, rng)
        one = dataclasses.replace(bundle, tracking=drawn)
        name = f"trial {trial + 1} of {trials}"
        score = evaluate_bundle(one, videos, name=name, console=console).score
        auc = score.values["success_auc"]
        before = auc if before is None else before
        if best is None or auc > best[0]:
            best = auc, drawn
    assert best is not None and before is not None
    return Tuned(best[1], best[0], before)


def tuned_remarks(
    bundles: Mapping[str, Bundle], sequences: collections.abc.Iterable[Sequence]
) -> tuple[str, ...]:
    """Returns sentences on trackers whose settings were tuned on some of the videos."""
    sequences, remarks = tuple(sequences), []
    for name, bundle in bundles.items():
        if shared := len(shared_videos(bundle, _CARD, sequences)):
            remarks.append(
                f"{name}: its settings of tracking were tuned on {shared} of these "
                "videos, so its scores say nothing of unseen ones."
            )
    return tuple(remarks)


def _require_ranges(path: str, tracking: Tracking) -> None:
    if type(tracking) not in _RANGES:
        raise InputError(
            f"--tune: {path} has settings of {type(tracking).__name__}, none of which "
            "is a number to search; leave that bundle out."
        )


def _drawn(tracking: Tracking, rng: np.random.Generator) -> Tracking:
    ranges = _RANGES[type(tracking)]
    values: Any = {
        field: round(float(rng.uniform(low, high)), 4)
        for field, (low, high) in ranges.items()
    }
    return dataclasses.replace(tracking, **values)


def _told(best: Tuned, trials: int, validation: str) -> str:
    numbers = ", ".join(
        f"{field} {getattr(best.tracking, field):g}"
        for field in _RANGES[type(best.tracking)]
    )
    return (
        f"AUC {best.auc:.3f}, before {best.auc_before:.3f}, on {validation} after "
        f"{trials} trials: {numbers}; the bundle has these settings now."
    )
