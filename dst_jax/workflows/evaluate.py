"""`dst-jax evaluate` scores result files, or trackers that it runs."""

import collections.abc
import dataclasses
import os
from collections.abc import Mapping

from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.errors import InputError
from dst_jax.evaluate import TrackerScore, report, results
from dst_jax.files import user_path, write_json
from dst_jax.workflows.evaluation import evaluate_bundle, read_videos, score_boxes
from dst_jax.workflows.printing import say


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
      results_dir: Folder with `<sequence>.txt` of every sequence; its name is the name
        of the tracker.
      json_path: File for the scores, which appears whole or not at all; None for none.
      origin: Coordinate of the first pixel in the files, 0 or 1; None for that of the
        data set, which is 1 for OTB and else 0.
      console: Console for the table; None for no output.

    Raises:
      InputError: If the data set or a file is faulty, or a sequence has no result.
    """
    first_pixel = _file_origin(dataset, origin)
    _require_file(json_path)
    sequences = read_videos(dataset, frames_required=False)
    frames = {sequence.name: len(sequence) for sequence in sequences}
    boxes = results.read_results(results_dir, frames, origin=first_pixel)
    folder = user_path(results_dir).resolve()
    ignored = sorted(p.name for p in folder.glob("*.txt") if p.stem not in frames)
    scores = {folder.name: score_boxes(boxes, sequences)}
    evaluation = Evaluation(dataset, scores, ignored=tuple(ignored))
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
        has finished.
      batch: Number of videos tracked at a time; None for the default of
        `Tracker.track_many`.
      console: Console for progress and the table; None for no output.

    Raises:
      InputError: If the data set, a frame or a bundle is faulty, two bundles share a
        name, or results are already there. All faults except bad frames and missing
        first boxes are found before a tracker runs.
    """
    origin = _file_origin(dataset, None)
    _require_file(json_path)
    names = _tracker_names(bundles)
    if results_out is not None:
        for name in names:
            results.require_new(user_path(results_out) / name)
    loaded = {n: load_bundle(b) for n, b in zip(names, bundles, strict=True)}
    sequences = read_videos(dataset)
    scores, fps = {}, {}
    for name, bundle in loaded.items():
        found = evaluate_bundle(
            bundle, sequences, name=name, batch=batch, console=console
        )
        scores[name], fps[name] = found.score, found.fps
        if results_out is not None:
            folder = user_path(results_out) / name
            results.write_results(folder, found.boxes, origin=origin)
    evaluation = Evaluation(dataset, scores, fps)
    _publish(evaluation, json_path, console)
    return evaluation


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


def _file_origin(dataset: str, given: int | None) -> results.Origin:
    """Returns the coordinate of the first pixel in result files.

    It is that which is given, or else that of the data set.
    """
    of_layout = 1 if dataset.partition(":")[0] == "otb" else 0
    origin = of_layout if given is None else given
    if origin not in (0, 1):
        raise InputError(f"results origin {origin}: must be 0 or 1.")
    return 1 if origin else 0


def _require_file(json_path: str | os.PathLike[str] | None) -> None:
    if json_path is not None and user_path(json_path).is_dir():
        raise InputError(f"{json_path} is a folder; name a file for the report.")


def _publish(
    evaluation: Evaluation,
    json_path: str | os.PathLike[str] | None,
    console: Console | None,
) -> None:
    named = {"dataset": evaluation.dataset, "fps": evaluation.fps}
    if json_path is not None:
        path = user_path(json_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        values = report.scores_json(evaluation.scores, **named)
        write_json(path, values, sort_keys=False)
    if console is None:
        return
    console.print(report.score_table(evaluation.scores, **named))
    if evaluation.ignored:
        files = ", ".join(evaluation.ignored)
        say(console, f"not scored, of no sequence: {files}")
    if json_path is not None:
        say(console, f"wrote {json_path}")
