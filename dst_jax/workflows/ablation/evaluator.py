"""Scores the networks of an ablation on its data sets, each of them once."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.bundle import Bundle
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Score
from dst_jax.workflows.ablation.record import read_outcome, write_record
from dst_jax.workflows.ablation.table import Outcome
from dst_jax.workflows.evaluate import evaluate_trackers
from dst_jax.workflows.evaluation import read_videos, score_still
from dst_jax.workflows.printing import shown
from dst_jax.workflows.protocol_choice import truth_is_hidden
from dst_jax.workflows.publishing import Evaluation
from dst_jax.workflows.training_data import data_hash

Evaluate = Callable[[str, Sequence[pathlib.Path]], Evaluation]

# The paper's tables are of OTB, whatever the data set here.
evaluate_by_otb = functools.partial(evaluate_trackers, protocol=OTB.name)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set for evaluation.

    Attributes:
      name: Name in the report.
      source: Layout and folder, `LAYOUT:DIR`.
      targets: Hash of its videos and boxes.
      still: Scores of a box that never moves.
    """

    name: str
    source: str
    targets: str
    still: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Scores trackers on data sets, unless their scores are known.

    Attributes:
      datasets: The data sets.
      evaluate: The argument of `run_ablation`.
      console: Console for the current state.
    """

    datasets: Sequence[Dataset]
    evaluate: Evaluate
    console: Console

    def score(
        self, outcomes: Mapping[str, Outcome], bundles: Mapping[str, pathlib.Path]
    ) -> dict[str, Outcome]:
        """Returns `outcomes` with the scores that were missing.

        Args:
          outcomes: Results by the names of trackers.
          bundles: Folders of bundles by the same names.
        """
        scored = {name: {**outcome} for name, outcome in outcomes.items()}
        for data in self.datasets:
            due = [
                name
                for name, outcome in scored.items()
                if outcome["scores"].get(data.name, {}).get("targets") != data.targets
            ]
            if not due:
                continue
            now = shown(f"evaluating {', '.join(due)} on {data.name}")
            with self.console.status(now):
                paths = [bundles[name] for name in due]
                found = self.evaluate(data.source, paths)
            for name, path in zip(due, paths, strict=True):
                key = path.resolve().name
                new = _values(found.scores[key], data.targets, found.fps[key])
                scored[name]["scores"] = {**scored[name]["scores"], data.name: new}
        return scored

    def references(
        self, file: pathlib.Path, path: pathlib.Path | None, bundle: Bundle | None
    ) -> dict[str, Outcome]:
        """Returns results of the teacher, if there is one, and of a box at rest.

        Args:
          file: File that keeps the teacher's results.
          path: Folder of the teacher's bundle, or None.
          bundle: The teacher, or None.
        """
        stills = {data.name: data.still for data in self.datasets}
        still = {"parameters": None, "megabytes": None, "scores": stills}
        if path is None or bundle is None:
            return {"still": still}
        known = read_outcome(file) if file.exists() else outcome_of(bundle.spec)
        teacher = self.score({"teacher": known}, {"teacher": path})["teacher"]
        if teacher != known:
            write_record(file, teacher)
        return {"teacher": teacher, "still": still}


def read_dataset(name: str, source: str) -> Dataset:
    """Returns a data set for evaluation, with the scores of a box that never moves.

    Args:
      name: Name in the report.
      source: Layout and folder, `LAYOUT:DIR`.

    Raises:
      InputError: If it cannot be read, or its boxes are hidden.
    """
    sequences = read_videos(source)
    if truth_is_hidden(sequences):
        raise InputError(
            f"data set {source!r}: only first frames have a true box, so nothing can "
            "be scored; give one with all boxes."
        )
    targets = data_hash(sequences)
    still = _values(score_still(sequences), targets, None)
    return Dataset(name, source, targets, still)


def _values(found: Score, targets: str, fps: float | None) -> dict[str, Any]:
    return {"targets": targets, **found.values, "fps": fps}


def outcome_of(spec: TrackerSpec, *, gate_open: float | None = None) -> Outcome:
    """Returns the outcome of a network that was not scored yet.

    Args:
      spec: Its architecture.
      gate_open: Share of steps in which its sharing gate was open; None if it has none.
    """
    cost = tracker_cost(spec)
    return {
        "parameters": cost.parameters,
        "megabytes": cost.megabytes,
        "gate_open": gate_open,
        "scores": {},
    }
