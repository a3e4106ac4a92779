"""`dst-jax evaluate` scores result files, or trackers that it runs."""

import collections.abc
import dataclasses
import os
import pathlib
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
from dst_jax.files import remove_leftovers, require_place, user_path
from dst_jax.workflows.evaluation import evaluate_bundle, read_videos, score_boxes
from dst_jax.workflows.kept_results import (
    Kept,
    bytes_of_results,
    keep,
    origin_of,
    read_kept,
    require_file_names,
    require_kept_place,
)
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
from dst_jax.workflows.resets import region_truths, run_bundle_with_resets
from dst_jax.workflows.tune import tuned_remarks


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
    resets = _resets(sequences, chosen)
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
    outputs: Outputs = NOTHING,
    console: Console | None = None,
) -> Evaluation:
    """Runs trackers on every sequence of a data set and returns their scores.

    Args:
      dataset: Layout and folder, such as "otb:DIR", with its frames.
      bundles: Folders of trackers, at least one; a folder's name is the name of the
        tracker.
      protocol: Name of the protocol, such as "lasot/pytracking"; None for the one by
        which papers score the data set.
      results_out: Folder for the boxes, `<tracker>/<sequence>.txt` in the data set's
        convention, or `<tracker>/baseline/<sequence>/<sequence>_001.txt` of runs with
        restarts; None for none. A tracker's folder appears whole, once the tracker has
        finished, and a further call takes its boxes up.
      batch: Number of videos tracked at a time; None for the default of
        `Tracker.track_many`.
      outputs: Files to write.
      console: Console for progress and the table; None for no output.

    Raises:
      InputError: If the data set, a frame or a bundle is faulty, two bundles share a
        name, or results of another tracker or other data are already there. All faults
        except bad frames and missing first boxes are found before a tracker runs.
      OSError: If a file cannot be written, after the scores were printed.
    """
    names = require_places(
        dataset, bundles, protocol=protocol, results_out=results_out, outputs=outputs
    )
    out = None if results_out is None else user_path(results_out)
    loaded = {n: load_bundle(b) for n, b in zip(names, bundles, strict=True)}
    with telling(console, f"reading {dataset}"):
        sequences = read_videos(dataset)
    chosen = choose_protocol(dataset, protocol, sequences)
    remarks = (*chosen.remarks, *tuned_remarks(loaded, sequences))
    chosen = dataclasses.replace(chosen, remarks=remarks)
    resets = _resets(sequences, chosen)
    kept = _kept(loaded, sequences, out, resets) if out else {}
    finished: dict[str, Kept] = {}
    failed: list[OSError | InputError] = []
    try:
        for name, bundle in loaded.items():
            if (found := kept.get(name)) is None:
                found = _run(name, bundle, sequences, chosen, batch, console)
                if out:
                    found = _written(out / name, found, bundle, sequences, failed)
            finished[name] = found
    except (InputError, KeyboardInterrupt):
        print_scores(_evaluation(dataset, finished, sequences, chosen), console)
        raise
    evaluation = dataclasses.replace(
        _evaluation(dataset, finished, sequences, chosen),
        bundles=dict(zip(names, map(user_path, bundles), strict=True)),
    )
    publish(evaluation, sequences, outputs, console)
    if failed:
        raise failed[0]
    return evaluation


def require_places(
    dataset: str,
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
    *,
    protocol: str | None = None,
    results_out: str | os.PathLike[str] | None = None,
    outputs: Outputs = NOTHING,
    fresh: bool = False,
) -> list[str]:
    """Returns the names of trackers, if what `evaluate_trackers` writes has a place.

    Args:
      dataset: The argument of `evaluate_trackers`, as those after it.
      bundles: Folders of trackers.
      protocol: Name of the protocol, or None.
      results_out: Folder for the boxes, or None.
      outputs: Files to write.
      fresh: Whether boxes of an earlier call, which would be taken up, are refused.

    Raises:
      InputError: If a place or a name cannot be used, or there is no such protocol.
    """
    require_known(protocol)
    names = _tracker_names(bundles)
    require_outputs(outputs, dataset, trackers=len(names))
    if results_out is None:
        return names
    for name in names:
        folder = user_path(results_out) / name
        require_kept_place(folder)
        if fresh and folder.exists():
            raise InputError(
                f"--results-out {results_out}: has boxes of {name} with its settings "
                "of before --tune; give another folder."
            )
    return names


def _evaluation(
    dataset: str,
    finished: Mapping[str, Kept],
    sequences: collections.abc.Sequence[Sequence],
    chosen: Chosen,
) -> Evaluation:
    boxes = {name: found.boxes for name, found in finished.items()}
    return Evaluation(
        dataset,
        scores=_scores(boxes, sequences, chosen),
        fps={name: found.fps for name, found in finished.items()},
        remarks=chosen.remarks,
        boxes={} if _resets(sequences, chosen) else boxes,
    )


def _resets(sequences: collections.abc.Sequence[Sequence], chosen: Chosen) -> bool:
    """Returns whether trackers are started anew where they fail."""
    hidden = truth_is_hidden(sequences)
    return isinstance(chosen.protocol, ResetProtocol) and not hidden


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


def _run(
    name: str,
    bundle: Bundle,
    sequences: collections.abc.Sequence[Sequence],
    chosen: Chosen,
    batch: int | None,
    console: Console | None,
) -> Kept:
    protocol, shown = chosen.protocol, {"name": name, "console": console}
    try:
        if isinstance(protocol, ResetProtocol) and _resets(sequences, chosen):
            runs, fps = run_bundle_with_resets(bundle, sequences, protocol, **shown)
            return Kept(runs, fps, resets=True)
        found = evaluate_bundle(bundle, sequences, batch=batch, **shown)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return Kept(found.boxes, found.fps)


def _kept(
    loaded: Mapping[str, Bundle],
    sequences: collections.abc.Sequence[Sequence],
    out: pathlib.Path,
    resets: bool,
) -> dict[str, Kept | None]:
    """Returns what an earlier call has finished, after checks of the place."""
    require_file_names(sequences)
    kept = {
        name: read_kept(out / name, bundle, sequences, resets=resets)
        for name, bundle in loaded.items()
    }
    space = bytes_of_results(sequences)
    for name in loaded:
        if kept[name] is None:
            require_place(out / name, space=space)
    remove_leftovers(out)
    return kept


def _written(
    folder: pathlib.Path,
    found: Kept,
    bundle: Bundle,
    sequences: collections.abc.Sequence[Sequence],
    failed: list[OSError | InputError],
) -> Kept:
    """Writes boxes and returns them as a later run reads them; adds to `failed`."""
    try:
        keep(folder, found, bundle, sequences)
    except (OSError, InputError) as error:
        # The scores of this tracker and of the others are worth more than the files.
        failed.append(error)
    if found.resets:
        return found  # a run holds what its file does
    origin = origin_of(sequences)
    boxes = {n: results.as_written(b, origin=origin) for n, b in found.boxes.items()}
    return Kept(boxes, found.fps)


def _tracker_names(
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
) -> list[str]:
    if not bundles:
        raise InputError("no tracker to evaluate; give the folder of a bundle.")
    names = [user_path(bundle).resolve().name for bundle in bundles]
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise InputError(
                f"{count} trackers are called {name!r} after their folders; rename one."
            )
    return names
