"""`dst-jax evaluate` scores result files, or trackers that it runs."""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Mapping

from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate import TrackerScore, report, results
from dst_jax.evaluate.notes import notes
from dst_jax.files import remove_leftovers, require_place, user_path, write_json
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
from dst_jax.workflows.printing import say, shown


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of trackers on one data set.

    Attributes:
      dataset: Name that the user gave, `LAYOUT:DIR`.
      scores: Scores by tracker.
      fps: End-to-end frames per second by tracker; empty for result files.
      ignored: Result files that belong to no sequence of the data set.
    """

    dataset: str
    scores: Mapping[str, TrackerScore]
    fps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def evaluate_results(
    dataset: str,
    results_dir: str | os.PathLike[str],
    *,
    json_path: str | os.PathLike[str] | None = None,
    origin: int | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Scores raw result files of any tracker and returns the scores.

    This needs the ground truth of the data set but no frames.

    Args:
      dataset: Layout and folder, such as "otb:DIR".
      results_dir: Folder with a file of every sequence, see `results.find_results`; the
        name of the folder that holds them is the name of the tracker.
      json_path: File for the scores, which appears whole or not at all; None for none.
      origin: Coordinate of the first pixel in the files, 0 or 1; None for that of the
        data set, which its reader knows.
      console: Console for the table; None for no output.

    Raises:
      InputError: If the data set or a file is faulty, or a sequence has no result.
      OSError: If the scores cannot be written, after they were printed.
    """
    if origin not in (None, 0, 1):
        raise InputError(f"results origin {origin}: must be 0 or 1.")
    _require_file(json_path)
    with _telling(console, f"reading {dataset}"):
        sequences = read_videos(dataset, frames_required=False)
    frames = {sequence.name: len(sequence) for sequence in sequences}
    first_pixel = origin_of(sequences) if origin is None else origin
    with _telling(console, f"reading {results_dir}"):
        found = results.find_results(results_dir, frames)
        boxes = {
            name: results.read_boxes(file, origin=first_pixel, frames=frames[name])
            for name, file in found.files.items()
        }
    ignored = tuple(path.name for path in found.others)
    scores = {found.folder.resolve().name: score_boxes(boxes, sequences)}
    evaluation = Evaluation(dataset, scores, ignored=ignored)
    _publish(evaluation, json_path, console)
    return evaluation


def evaluate_trackers(
    dataset: str,
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
    *,
    json_path: str | os.PathLike[str] | None = None,
    results_out: str | os.PathLike[str] | None = None,
    batch: int | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Runs trackers on every sequence of a data set and returns their scores.

    Args:
      dataset: Layout and folder, such as "otb:DIR", with its frames.
      bundles: Folders of trackers, at least one; a folder's name is the name of the
        tracker.
      json_path: File for the scores, which appears whole or not at all; None for none.
      results_out: Folder for the boxes, `<tracker>/<sequence>.txt` in the data set's
        convention; None for none. A tracker's folder appears whole, once the tracker
        has finished, and a further call takes its boxes up.
      batch: Number of videos tracked at a time; None for the default of
        `Tracker.track_many`.
      console: Console for progress and the table; None for no output.

    Raises:
      InputError: If the data set, a frame or a bundle is faulty, two bundles share a
        name, or results of another tracker or other data are already there. All faults
        except bad frames and missing first boxes are found before a tracker runs.
      OSError: If a file cannot be written, after the scores were printed.
    """
    _require_file(json_path)
    names = _tracker_names(bundles)
    out = None if results_out is None else user_path(results_out)
    if out:
        for name in names:
            require_kept_place(out / name)
    loaded = {n: load_bundle(b) for n, b in zip(names, bundles, strict=True)}
    with _telling(console, f"reading {dataset}"):
        sequences = read_videos(dataset)
    kept = _kept(loaded, sequences, out) if out else {}
    scores: dict[str, TrackerScore] = {}
    fps: dict[str, float] = {}
    failed: list[OSError | InputError] = []
    try:
        for name, bundle in loaded.items():
            if (found := kept.get(name)) is None:
                found = _run(name, bundle, sequences, batch, console)
                if out:
                    found = _written(out / name, found, bundle, sequences, failed)
            scores[name] = score_boxes(found.boxes, sequences)
            fps[name] = found.fps
    except (InputError, KeyboardInterrupt):
        _print_scores(Evaluation(dataset, scores, fps), console)
        raise
    evaluation = Evaluation(dataset, scores, fps)
    _publish(evaluation, json_path, console)
    if failed:
        raise failed[0]
    return evaluation


def _run(
    name: str,
    bundle: Bundle,
    sequences: collections.abc.Sequence[Sequence],
    batch: int | None,
    console: Console | None,
) -> Kept:
    try:
        found = evaluate_bundle(
            bundle, sequences, name=name, batch=batch, console=console
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return Kept(found.boxes, found.fps)


def _kept(
    loaded: Mapping[str, Bundle],
    sequences: collections.abc.Sequence[Sequence],
    out: pathlib.Path,
) -> dict[str, Kept | None]:
    """Returns what an earlier call has finished, after checks of the place."""
    require_file_names(sequences)
    kept = {name: read_kept(out / name, b, sequences) for name, b in loaded.items()}
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


def _require_file(json_path: str | os.PathLike[str] | None) -> None:
    if json_path is None:
        return
    path = user_path(json_path)
    if path.is_dir():
        raise InputError(f"{json_path} is a folder; name a file for the report.")
    if path.exists() and not path.is_file():
        raise InputError(f"{json_path} is no regular file; name one for the report.")
    require_place(path)
    remove_leftovers(path.parent)


def _telling(
    console: Console | None, what: str
) -> contextlib.AbstractContextManager[object]:
    """Returns a context in which the console shows what takes a while."""
    if console is None:
        return contextlib.nullcontext()
    return console.status(shown(what))


def _publish(
    evaluation: Evaluation,
    json_path: str | os.PathLike[str] | None,
    console: Console | None,
) -> None:
    """Prints the scores, and only then writes them, whatever becomes of the file."""
    _print_scores(evaluation, console)
    if json_path is None:
        return
    path = user_path(json_path)
    values = report.scores_json(
        evaluation.scores, dataset=evaluation.dataset, fps=evaluation.fps
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, values, sort_keys=False)
    if console is not None:
        say(console, f"wrote {json_path}")


def _print_scores(evaluation: Evaluation, console: Console | None) -> None:
    if console is None or not evaluation.scores:
        return
    named = {"dataset": evaluation.dataset, "fps": evaluation.fps}
    console.print(report.score_table(evaluation.scores, **named))
    for note in notes(evaluation.scores):
        say(console, note)
    if evaluation.ignored:
        files = ", ".join(evaluation.ignored)
        say(console, f"not scored, of no sequence: {files}")
