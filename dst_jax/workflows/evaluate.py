"""`dst-jax evaluate` scores result files, or trackers that it runs."""

import collections.abc
import dataclasses
import os
import pathlib
import types
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate import Score, results
from dst_jax.evaluate.protocols import ResetProtocol
from dst_jax.evaluate.restarts import score_runs
from dst_jax.evaluate.result_folders import ResultFiles, find_results
from dst_jax.evaluate.run_files import read_runs
from dst_jax.files import user_path
from dst_jax.workflows.calibrate import require_not_calibrated_on
from dst_jax.workflows.evaluation import read_videos, score_boxes
from dst_jax.workflows.kept_results import origin_of, require_results_place
from dst_jax.workflows.protocol_choice import (
    Chosen,
    choose_protocol,
    require_known,
    truth_is_hidden,
)
from dst_jax.workflows.publishing import (
    NOTHING,
    Evaluation,
    Outputs,
    print_scores,
    publish,
    require_outputs,
    telling,
)
from dst_jax.workflows.resets import region_truths
from dst_jax.workflows.speeds import measure_speeds
from dst_jax.workflows.tracker_names import named_bundles
from dst_jax.workflows.tracker_runs import TrackerRuns
from dst_jax.workflows.tune import tuned_remarks

# More videos at a time than any device has a use for.
MOST_VIDEOS = 1024


def evaluate_results(
    dataset: str,
    results_dir: str | os.PathLike[str],
    *,
    protocol: str | None = None,
    origin: int | None = None,
    outputs: Outputs = NOTHING,
    console: Console | None = None,
) -> Evaluation:
    """Scores raw result files of any tracker and returns the scores.

    This needs the ground truth of the data set but no frames, except where boxes are
    clipped to an image whose size no other file states.

    Args:
      dataset: Layout and folder, such as "otb:DIR".
      results_dir: Folder with a file of every sequence, see `find_results`; the name of
        the folder that holds them, or that has VOT's experiment, is the name of the
        tracker.
      protocol: Name of the protocol, such as "lasot/pytracking"; None for the one by
        which papers score the data set.
      origin: Coordinate of the first pixel in the files, 0 or 1; None for that of the
        data set, which its reader knows.
      outputs: Files to write.
      console: Console for the table; None for no output.

    Raises:
      InputError: If the data set or a file is faulty, a sequence has no result, or the
        data set lacks what the protocol needs.
      OSError: If the scores cannot be written, after they were printed.
    """
    if origin not in (None, 0, 1):
        raise InputError(f"results origin {origin}: must be 0 or 1.")
    require_known(protocol)
    require_outputs(outputs, dataset, trackers=1)
    with telling(console, f"reading {dataset}"):
        sequences = read_videos(dataset, frames_required=False)
        chosen = choose_protocol(dataset, protocol, sequences)
        scored = chosen.protocol.clipped and not truth_is_hidden(sequences)
        if scored and any(s.size is None for s in sequences):
            sequences = _with_sizes(dataset, chosen)
    names = [sequence.name for sequence in sequences]
    resets = _resets(sequences, chosen) is not None
    if resets and origin == 1:
        raise InputError("--results-origin 1: VOT's files count pixels from 0.")
    first_pixel = origin_of(sequences) if origin is None else origin
    with telling(console, f"reading {results_dir}"):
        found = find_results(results_dir, names, restarts=resets)
        boxes = _read(found, sequences, resets=resets, origin=first_pixel)
        speed = results.read_speed(found)
    name = found.tracker
    evaluation = Evaluation(
        dataset,
        scores=_scores({name: boxes}, sequences, chosen),
        fps={} if speed is None else {name: speed},
        ignored=tuple(path.name for path in found.others),
        remarks=chosen.remarks,
        boxes={} if resets else {name: boxes},
    )
    publish(evaluation, sequences, outputs, console)
    return evaluation


def _read(
    found: ResultFiles,
    sequences: collections.abc.Sequence[Sequence],
    *,
    resets: bool,
    origin: int,
) -> Mapping[str, Any]:
    """Returns boxes, or runs with restarts, by sequence."""
    if resets:
        return read_runs(found, region_truths(sequences))
    frames = {sequence.name: len(sequence) for sequence in sequences}
    return results.read_results(found, frames, origin=origin)


def _with_sizes(dataset: str, chosen: Chosen) -> tuple[Sequence, ...]:
    """Returns the sequences with the sizes of their frames, which are read for that."""
    try:
        return read_videos(dataset)
    except InputError as error:
        raise InputError(
            f"protocol {chosen.protocol.name}: clips boxes to the image, and without "
            f"its frames {dataset} does not state the size: {error}"
        ) from None


def evaluate_trackers(
    dataset: str,
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
    *,
    protocol: str | None = None,
    results_out: str | os.PathLike[str] | None = None,
    batch: int | None = None,
    speeds: bool = False,
    outputs: Outputs = NOTHING,
    console: Console | None = None,
) -> Evaluation:
    """Runs trackers on every sequence of a data set and returns their scores.

    Args:
      dataset: Layout and folder, such as "otb:DIR", with its frames.
      bundles: Trackers, at least one, see `named_bundles`.
      protocol: Name of the protocol, such as "lasot/pytracking"; None for the one by
        which papers score the data set.
      results_out: Folder for the boxes, `<tracker>/<sequence>.txt` in the data set's
        convention, or `<tracker>/baseline/<sequence>/<sequence>_001.txt` of runs with
        restarts; None for none. Each file is written when its sequence ends, and a
        further call goes on with those that are missing.
      batch: Number of videos tracked at a time; None for the default of
        `Tracker.track_each`.
      speeds: Whether the trackers' stages are timed beside each other, too.
      outputs: Files to write.
      console: Console for progress and the table; None for no output.

    Raises:
      InputError: If the data set or a bundle is faulty, two trackers share a name, one
        was calibrated on a video, or results of another tracker or data are there,
        which is found before a tracker runs; or, after the scores of the other videos
        were published, if some videos cannot be used.
      OSError: If a file cannot be written, after the scores were printed.
    """
    given = {"protocol": protocol, "results_out": results_out, "outputs": outputs}
    places = require_places(dataset, bundles, **given)
    _require_batch(batch)
    loaded = {name: load_bundle(path) for name, path in places.items()}
    with telling(console, f"reading {dataset}"):
        sequences = read_videos(dataset)
    require_not_calibrated_on(loaded, sequences, dataset)
    chosen = choose_protocol(dataset, protocol, sequences)
    remarks = (*chosen.remarks, *tuned_remarks(loaded, sequences))
    chosen = dataclasses.replace(chosen, remarks=remarks)
    runs = TrackerRuns(
        loaded,
        sequences,
        out=None if results_out is None else user_path(results_out),
        resets=_resets(sequences, chosen),
        batch=batch,
    )
    try:
        runs.run(console)
        stages = _stages(loaded, runs.usable) if speeds else {}
    except (InputError, KeyboardInterrupt):
        print_scores(_evaluation(dataset, runs, chosen), console)
        raise
    evaluation = dataclasses.replace(
        _evaluation(dataset, runs, chosen, stages=stages), bundles=places
    )
    publish(evaluation, runs.usable, _possible(outputs, runs), console)
    runs.require_sound()
    return evaluation


def require_places(
    dataset: str,
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
    *,
    protocol: str | None = None,
    results_out: str | os.PathLike[str] | None = None,
    outputs: Outputs = NOTHING,
    fresh: bool = False,
) -> dict[str, pathlib.Path]:
    """Returns the bundles by name, if what `evaluate_trackers` writes has a place.

    Args:
      dataset: The argument of `evaluate_trackers`, as those after it.
      bundles: Trackers, see `named_bundles`.
      protocol: Name of the protocol, or None.
      results_out: Folder for the boxes, or None.
      outputs: Files to write.
      fresh: Whether boxes of an earlier call, which would be taken up, are refused.

    Raises:
      InputError: If a place or a name cannot be used, or there is no such protocol.
    """
    require_known(protocol)
    places = named_bundles(bundles)
    require_outputs(outputs, dataset, trackers=len(places))
    if results_out is None:
        return places
    for name in places:
        folder = user_path(results_out) / name
        require_results_place(folder)
        if fresh and folder.exists():
            raise InputError(
                f"--results-out {results_out}: has boxes of {name} with its settings "
                "of before --tune; give another folder."
            )
    return places


def _require_batch(batch: int | None) -> None:
    if batch is not None and not 1 <= batch <= MOST_VIDEOS:
        raise InputError(f"--batch {batch}: must be from 1 to {MOST_VIDEOS}.")


def _possible(outputs: Outputs, runs: TrackerRuns) -> Outputs:
    """Returns the outputs without those for which a video is missing."""
    return dataclasses.replace(outputs, submission=None) if runs.faults else outputs


def _stages(
    bundles: Mapping[str, Bundle], sequences: collections.abc.Iterable[Sequence]
) -> Mapping[str, Mapping[str, float]]:
    """Returns the speeds of stages on the first video that has some frames."""
    for sequence in sequences:
        if len(sequence) > 1:
            return measure_speeds(bundles, sequence)
    return {}


def _evaluation(
    dataset: str,
    runs: TrackerRuns,
    chosen: Chosen,
    *,
    stages: Mapping[str, Mapping[str, float]] = types.MappingProxyType({}),
) -> Evaluation:
    """Returns what is known of the trackers that have finished."""
    usable = runs.usable
    boxes = {
        name: {s.name: results.boxes[s.name] for s in usable}
        for name, results in runs.finished.items()
    }
    paces = {name: results.pace for name, results in runs.finished.items()}
    fps = {name: pace.fps for name, pace in paces.items()}
    return Evaluation(
        dataset,
        scores=_scores(boxes, usable, chosen) if usable else {},
        fps={name: speed for name, speed in fps.items() if speed is not None},
        remarks=(*chosen.remarks, *runs.left_out),
        boxes={} if not usable or _resets(usable, chosen) else boxes,
        paces=paces,
        stages=stages,
    )


def _resets(
    sequences: collections.abc.Sequence[Sequence], chosen: Chosen
) -> ResetProtocol | None:
    """Returns the protocol by which trackers are started anew where they fail."""
    protocol, hidden = chosen.protocol, truth_is_hidden(sequences)
    return protocol if isinstance(protocol, ResetProtocol) and not hidden else None


def _scores(
    boxes: Mapping[str, Mapping[str, Any]],
    sequences: collections.abc.Sequence[Sequence],
    chosen: Chosen,
) -> dict[str, Score]:
    """Returns scores by tracker; none where the truth is not published."""
    protocol = chosen.protocol
    if truth_is_hidden(sequences):
        return {}
    if isinstance(protocol, ResetProtocol):
        truths = region_truths(sequences)
        return {n: score_runs(runs, truths, protocol) for n, runs in boxes.items()}
    return {n: score_boxes(found, sequences, protocol) for n, found in boxes.items()}
