"""`dst-jax evaluate`: score raw result files, or trackers that are run for it."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from dst_jax.data.readers import read_sequences
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, TrackerScore, report, results, score
from dst_jax.typing import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of trackers on one data set.

    Attributes:
      dataset: As the user named it.
      scores: By tracker.
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
    origin: results.Origin | None = None,
) -> Evaluation:
    """Scores anybody's raw result files; needs the ground truth, but no frames.

    Args:
      dataset: Layout and folder, such as "otb:DIR".
      results_dir: Holds `<sequence>.txt` of every sequence; its name is the tracker's.
      json_path: Where to write the report; it appears whole or not at all.
      origin: Coordinate of the first pixel in the files; the data set's own (1 for OTB,
        else 0) if None.

    Raises:
      InputError: If the data set or a file is faulty, or a sequence has no result.
    """
    first_pixel = file_origin(dataset) if origin is None else origin
    sequences = read_sequences(dataset, frames_required=False)
    frames = {sequence.name: len(sequence) for sequence in sequences}
    boxes = results.read_results(results_dir, frames, origin=first_pixel)
    folder = pathlib.Path(results_dir).resolve()
    ignored = sorted(p.name for p in folder.glob("*.txt") if p.stem not in frames)
    scores = {folder.name: score(boxes, truths(sequences), OTB)}
    evaluation = Evaluation(dataset, scores, ignored=tuple(ignored))
    _write(evaluation, json_path)
    return evaluation


def file_origin(dataset: str) -> results.Origin:
    """Coordinate of the first pixel in the files of a data set: 1 for OTB, else 0.

    Raises:
      InputError: If the data set is one of single images, which no tracker follows.
    """
    layout = dataset.partition(":")[0]
    if layout == "coco":
        raise InputError(
            f"data set {dataset!r} holds single images; evaluate on video, such as "
            "otb:DIR or got10k:DIR."
        )
    return 1 if layout == "otb" else 0


def truths(sequences: tuple[Sequence, ...]) -> dict[str, Float[np.ndarray, "_ 4"]]:
    """True boxes (cx, cy, w, h) by sequence."""
    return {sequence.name: sequence.boxes for sequence in sequences}


def _write(evaluation: Evaluation, json_path: str | os.PathLike[str] | None) -> None:
    if json_path is None:
        return
    values = report.scores_json(
        evaluation.scores, dataset=evaluation.dataset, fps=evaluation.fps
    )
    report.write_json(json_path, values)
