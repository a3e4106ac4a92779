"""`dst-jax calibrate` says what scores of a tracker mean, and when it is lost."""

import collections.abc
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, shortened
from dst_jax.evaluate.calibration import Reliability, fit_logistic, lost_threshold
from dst_jax.evaluate.calibration_plot import reliability_plot
from dst_jax.evaluate.style import figure_to_png, figure_to_svg
from dst_jax.files import require_place, user_path, write_bytes
from dst_jax.track import Tracking
from dst_jax.track.confidence import log_odds, score_of
from dst_jax.track.config import MAX_LOST_SEARCH, tracking_to_json
from dst_jax.workflows.calibration_lines import told
from dst_jax.workflows.evaluation import read_videos
from dst_jax.workflows.observed_scores import (
    Observed,
    measured,
    measured_search,
    observe,
)
from dst_jax.workflows.printing import say
from dst_jax.workflows.publishing import telling
from dst_jax.workflows.used_videos import require_apart, shared_videos, truth_sha256

FALSE_LOST = 0.05
_MOST_FALSE_LOST = 0.5
# Probabilities that a box elsewhere may have to have, to be taken for a lost target.
_SURE = (0.5, 0.7, 0.85, 0.95)
_CARD = "calibrated"
_OPTION = "--dataset"


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What a calibration has found.

    Attributes:
      tracking: The tracker's settings with the calibration and thresholds.
      figures: What was measured, as the bundle's card has it.
      reliabilities: How often boxes were right, by data set.
    """

    tracking: Tracking
    figures: Mapping[str, Any]
    reliabilities: Mapping[str, Reliability]


def calibrate_bundle(
    path: str | os.PathLike[str],
    dataset: str,
    *,
    reported: str | None = None,
    false_lost: float = FALSE_LOST,
    lost_search: int = 1,
    plot: str | os.PathLike[str] | None = None,
    console: Console | None = None,
) -> Calibrated:
    """Fits score to probability on videos and puts line and thresholds into the bundle.

    The probability is that of a box which overlaps its target by more than half. Below
    one threshold, under which a given share of right boxes lies, a target is lost;
    below the score of an even chance it is uncertain. The bundle's card then states the
    data set, its videos, the figures and the settings that the bundle had. Boxes are
    those of before, unless lost targets are searched.

    Args:
      path: Folder of the tracker, which is replaced whole or not at all.
      dataset: Layout and folder of the videos to fit on, such as "got10k:DIR".
      reported: Layout and folder of other videos, to measure the result on; None for
        those that were fitted.
      false_lost: Share of right boxes that may be called lost.
      lost_search: `Tracking.lost_search`, which is compared with none.
      plot: A .png or .svg file for the reliability; None for none.
      console: Console for progress and results; None for no output.

    Raises:
      InputError: If a video is in both data sets, the truth is not published, an option
        is unfit, scores tell nothing, or a bundle or frame is faulty; nothing is
        changed then.
    """
    _require_options(false_lost, lost_search, plot)
    place = user_path(path)
    bundle = uncalibrated(load_bundle(place))
    require_place(place)
    sets = _read(dataset, reported, console)
    plain = dataclasses.replace(bundle.tracking, lost_below=None, uncertain_below=None)
    seen = observe(bundle, plain, sets[dataset], name=dataset, console=console)
    try:
        tracking = fitted(seen, plain, false_lost=false_lost)
    except InputError as error:
        raise InputError(f"{_OPTION} {dataset}: {error}") from None
    wide = {}
    if lost_search > 1:
        given = bundle, tracking, sets[dataset]
        shown = {"lost_search": lost_search, "console": console}
        tracking, wide[dataset] = searching(*given, **shown)
    result = _measured(bundle, tracking, sets, ({dataset: seen}, wide), console)
    card = {
        **bundle.card,
        _CARD: {
            "dataset": dataset,
            "videos": {video.name: truth_sha256(video) for video in sets[dataset]},
            "false_lost": false_lost,
            "measured": result.figures,
            "tracking_before": tracking_to_json(bundle.tracking),
        },
    }
    save_bundle(dataclasses.replace(bundle, tracking=tracking, card=card), place)
    if console is not None:
        lines = told(str(path), dataset, tracking, result.figures)
        say(console, *lines)
    if plot is not None:
        _write_plot(plot, result.reliabilities, console)
    return result


def fitted(seen: Observed, plain: Tracking, *, false_lost: float) -> Tracking:
    """Returns settings with the line and the thresholds that fit what was seen.

    Args:
      seen: What the tracker said.
      plain: Its settings.
      false_lost: Share of right boxes that may be called lost.

    Raises:
      InputError: If nothing can be fitted, see `fit_logistic`.
    """
    line = fit_logistic(log_odds(seen.scores), seen.right)
    even = score_of(0.5, line)
    # What is more probably right than wrong is not lost, whatever share that is.
    lost = min(even, lost_threshold(seen.scores, seen.right, false_share=false_lost))
    return dataclasses.replace(
        plain,
        calibration=line,
        lost_below=lost,
        uncertain_below=even if even > lost else None,
    )


def searching(
    bundle: Bundle,
    tracking: Tracking,
    videos: tuple[Sequence, ...],
    *,
    lost_search: int,
    console: Console | None = None,
) -> tuple[Tracking, Observed]:
    """Returns calibrated settings that search lost targets, and what they did.

    How probable a box elsewhere must be is tried out on the videos: by chance the best
    of many windows is better than one, and how much depends on what else is in them.

    Args:
      bundle: The tracker.
      tracking: Its calibrated settings.
      videos: The videos to fit on.
      lost_search: `Tracking.lost_search`.
      console: Console for progress; None for none.

    Returns:
      The settings of the highest AUC, of equal ones those that ask most, and what the
      tracker said with them.
    """
    line = tracking.calibration
    assert line is not None
    best = None
    for sure in _SURE:
        tried = dataclasses.replace(
            tracking, lost_search=lost_search, found_above=score_of(sure, line)
        )
        shown = {"name": f"found again from {sure:.0%}", "console": console}
        seen = observe(bundle, tried, videos, **shown)
        if best is None or seen.auc >= best[1].auc:
            best = tried, seen
    assert best is not None
    return best


def uncalibrated(bundle: Bundle) -> Bundle:
    """Returns a bundle without what a calibration has put into it."""
    if bundle.tracking.calibration is None:
        return bundle
    plain = dataclasses.replace(
        bundle.tracking,
        calibration=None,
        lost_search=1,
        found_above=None,
        lost_below=None,
        uncertain_below=None,
    )
    card = {name: value for name, value in bundle.card.items() if name != _CARD}
    return dataclasses.replace(bundle, tracking=plain, card=card)


def require_not_calibrated_on(
    bundles: Mapping[str, Bundle],
    sequences: collections.abc.Iterable[Sequence],
    dataset: str,
) -> None:
    """Checks that no tracker was calibrated on a video that is to be evaluated.

    Args:
      bundles: Trackers by name.
      sequences: The videos to evaluate.
      dataset: Name of their data set.

    Raises:
      InputError: If one was.
    """
    sequences = tuple(sequences)
    for name, bundle in bundles.items():
        if shared := shared_videos(bundle, _CARD, sequences):
            ours, theirs = shared[0]
            raise InputError(
                f"--tracker {name}: was calibrated on {len(shared)} of the videos of "
                f"{dataset}, such as {shortened(ours)}, as {shortened(theirs)}; "
                "evaluate on other videos, or calibrate on others."
            )


def _require_options(
    false_lost: float, lost_search: int, plot: str | os.PathLike[str] | None
) -> None:
    if not 0.0 <= false_lost <= _MOST_FALSE_LOST:
        raise InputError(
            f"--false-lost {false_lost:g}: must be a share from 0 to "
            f"{_MOST_FALSE_LOST:g}."
        )
    if not 1 <= lost_search <= MAX_LOST_SEARCH:
        raise InputError(
            f"--lost-search {lost_search}: must be from 1 to {MAX_LOST_SEARCH} widths "
            "of a search window."
        )
    if plot is not None:
        file = user_path(plot)
        if file.suffix.lower() not in (".png", ".svg"):
            raise InputError(f"--plot {plot}: end it in .png or .svg.")
        if file.is_dir():
            raise InputError(f"--plot {plot}: is a folder; name a file.")
        require_place(file)


def _read(
    dataset: str, reported: str | None, console: Console | None
) -> dict[str, tuple[Sequence, ...]]:
    """Returns the videos to fit on and those to measure on, which are others."""
    with telling(console, f"reading {dataset}"):
        videos = read_videos(dataset)
        others = () if reported is None else read_videos(reported)
        names = {"option": _OPTION, "doing": "calibrate"}
        require_apart(dataset, videos, reported or "", others, **names)
        if reported is not None:
            # Whose truth is hidden cannot be measured on either.
            names = {"option": "--reported", "doing": "measure"}
            require_apart(reported, others, "", (), **names)
    return {dataset: videos} | ({} if reported is None else {reported: others})


def _measured(
    bundle: Bundle,
    tracking: Tracking,
    sets: Mapping[str, tuple[Sequence, ...]],
    seen: tuple[Mapping[str, Observed], Mapping[str, Observed]],
    console: Console | None,
) -> Calibrated:
    """Measures calibrated settings on data sets.

    Args:
      bundle: The tracker.
      tracking: The settings.
      sets: Videos by data set.
      seen: What was observed already, without and with search for lost targets.
      console: Console for progress; None for none.
    """
    plain = uncalibrated(dataclasses.replace(bundle, tracking=tracking)).tracking
    figures: dict[str, Any] = {}
    reliabilities: dict[str, Reliability] = {}
    for name, videos in sets.items():
        plainly, wide = (done.get(name) for done in seen)
        if plainly is None:
            plainly = observe(bundle, plain, videos, name=name, console=console)
        figures[name], reliabilities[name] = measured(plainly, tracking)
        if tracking.lost_search > 1:
            shown = {"name": f"{name}, lost ones searched", "console": console}
            wide = wide or observe(bundle, tracking, videos, **shown)
            figures[name] |= {"lost_search": measured_search(wide, plainly)}
    return Calibrated(tracking, figures, reliabilities)


def _write_plot(
    plot: str | os.PathLike[str],
    reliabilities: Mapping[str, Reliability],
    console: Console | None,
) -> None:
    path = user_path(plot)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = reliability_plot(reliabilities)
    svg = path.suffix.lower() == ".svg"
    content = figure_to_svg(figure).encode() + b"\n" if svg else figure_to_png(figure)
    write_bytes(path, content)
    if console is not None:
        say(console, f"wrote {plot}")
