"""Runs `dst-jax ablate`: it trains and evaluates rows and writes their tables."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.data.pipeline import read_sources
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Score
from dst_jax.experiment import Experiment, experiment_to_json, without
from dst_jax.files import found_folder, user_path, write_json, write_text
from dst_jax.workflows.ablation.plan import (
    Choice,
    Plan,
    PlannedRun,
    Training,
    make_plan,
    missing_runs,
)
from dst_jax.workflows.ablation.record import read_outcome, read_run, write_record
from dst_jax.workflows.ablation.table import (
    Outcome,
    Results,
    ablation_json,
    ablation_markdown,
    print_ablation,
)
from dst_jax.workflows.demo_video import (
    TEST_VIDEOS,
    make_missing_video,
    write_video,
)
from dst_jax.workflows.evaluate import evaluate_trackers
from dst_jax.workflows.evaluation import read_videos, score_still
from dst_jax.workflows.printing import say, shown
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.protocol_choice import truth_is_hidden
from dst_jax.workflows.publishing import Evaluation
from dst_jax.workflows.train import Trained, gate_share, run_training
from dst_jax.workflows.training_data import data_hash
from dst_jax.workflows.versions import versions
from dst_jax.workflows.workdir import ROWS, open_workdir

VERB = "dst-jax ablate"
RESULT, TEACHER = "result.json", "teacher.json"
VALUES, TABLES = "ablation.json", "ablation.md"
# The demonstration trains on synthetic video of even seeds and tests on odd ones.
SYNTHETIC, SYNTHETIC_SEED = "synthetic video", 1
# Rows do not depend on these settings, or choose them themselves.
_UNREAD = ("search", "policy", "seed")

Train = Callable[..., Trained]
Evaluate = Callable[[str, Sequence[pathlib.Path]], Evaluation]

# The paper's tables are of OTB, whatever the data set here.
_evaluate_by_otb = functools.partial(evaluate_trackers, protocol=OTB.name)


def run_ablation(
    experiment: Experiment,
    choice: Choice,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path | None = None,
    train: Train = run_training,
    evaluate: Evaluate = _evaluate_by_otb,
    console: Console,
) -> dict[str, Any]:
    """Trains and evaluates the rows that are missing, and writes the tables.

    Runs that an earlier call has finished are kept, and one that it began continues.
    ablation.json and ablation.md are updated after every run.

    Args:
      experiment: Settings that all runs share; each row replaces the choice of terms,
        and `choice` the seed.
      choice: Rows, numbers of students, seeds and data sets.
      workdir: Folder for runs and tables.
      teacher: Bundle of the frozen teacher; needed if a row reads it.
      train: Function that makes one run, with the arguments of `run_training`.
      evaluate: Function (data set, folders of bundles) that returns their scores by
        the names of the folders.
      console: Console for bars and tables.

    Returns:
      The content of ablation.json.

    Raises:
      InputError: If configuration, rows, data, teacher and workdir do not fit together,
        which is found before anything is trained.
    """
    workdir = user_path(workdir)
    bundle = _load_teacher(teacher) if teacher is not None else None
    plan = make_plan(experiment, choice, teacher=bundle.spec if bundle else None)
    datasets = [_read_dataset(source, source) for source in choice.datasets]
    with open_workdir(workdir, _identity(experiment, bundle, console)):
        evaluator = Evaluator(
            datasets or [_synthetic(workdir, console)], evaluate, console
        )
        results = _read_results(workdir, plan, evaluator)
        references = evaluator.references(workdir / TEACHER, teacher, bundle)
        runs = missing_runs(plan, lambda *key: key in results)
        found = _write(workdir, plan, results, references, evaluator)
        began = time.perf_counter()
        for number, run in enumerate(runs, start=1):
            rows = ", ".join(plan.rows_of(run.training))
            names = " and ".join(run.students)
            console.rule(
                shown(f"run {number} of {len(runs)}: {rows} ({names}, seed {run.seed})")
            )
            settings, folder = plan.settings(run), workdir / ROWS / run.folder
            trained = train(
                settings, folder, teacher=teacher, verb=VERB, console=console
            )
            results |= _finish(run, settings, folder, trained, evaluator)
            found = _write(workdir, plan, results, references, evaluator)
            if left := runs[number:]:
                say(console, _outlook(runs[:number], left, time.perf_counter() - began))
    print_ablation(found, console)
    say(console, f"{workdir / TABLES}   {workdir / VALUES}")
    return found


def _load_teacher(path: pathlib.Path) -> Bundle:
    if not found_folder(user_path(path)).exists():
        raise InputError(
            f"--teacher {path}: there is no such bundle; dst-jax demo --workdir "
            "runs/demo makes runs/demo/teacher/bundles/teacher, and dst-jax train any "
            "other."
        )
    return load_bundle(path)


def _outlook(
    done: Sequence[PlannedRun], left: Sequence[PlannedRun], seconds: float
) -> str:
    """Returns how long the runs that are left will take, if a student takes as long."""
    students, more = (sum(len(run.students) for run in runs) for runs in (done, left))
    minutes = seconds * more / students / 60.0
    hours = f"{minutes / 60.0:.1f} h" if minutes >= 90.0 else f"{minutes:.0f} min"
    runs = "1 more run" if len(left) == 1 else f"{len(left)} more runs"
    return f"{runs}, about {hours if minutes >= 1.0 else '1 min'} in all"


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
        known = read_outcome(file) if file.exists() else _outcome(bundle.spec)
        teacher = self.score({"teacher": known}, {"teacher": path})["teacher"]
        if teacher != known:
            write_record(file, teacher)
        return {"teacher": teacher, "still": still}


def _identity(
    experiment: Experiment, teacher: Bundle | None, console: Console
) -> dict[str, Any]:
    """Returns the settings, teacher and data that all rows of a workdir share."""
    make_missing_video(experiment.data.sources, console)
    with waiting(console, "reading the data"):
        sequences, _ = read_sources(experiment.data)
    return {
        "experiment": without(experiment_to_json(experiment), *_UNREAD),
        "teacher": teacher.weights_sha256 if teacher else None,
        "data": data_hash(sequences),
    }


def _read_dataset(name: str, source: str) -> Dataset:
    sequences = read_videos(source)
    if truth_is_hidden(sequences):
        raise InputError(
            f"data set {source!r}: only first frames have a true box, so nothing can "
            "be scored; give one with all boxes."
        )
    targets = data_hash(sequences)
    still = _values(score_still(sequences), targets, None)
    return Dataset(name, source, targets, still)


def _synthetic(workdir: pathlib.Path, console: Console) -> Dataset:
    """Returns the test videos of the demonstration with seed 0."""
    folder = workdir / "data" / "test"
    write_video(folder, TEST_VIDEOS, seed=SYNTHETIC_SEED, console=console)
    return _read_dataset(SYNTHETIC, f"got10k:{folder}")


def _values(found: Score, targets: str, fps: float | None) -> dict[str, Any]:
    return {"targets": targets, **found.values, "fps": fps}


def _outcome(spec: TrackerSpec, *, gate_open: float | None = None) -> Outcome:
    cost = tracker_cost(spec)
    return {
        "parameters": cost.parameters,
        "megabytes": cost.megabytes,
        "gate_open": gate_open,
        "scores": {},
    }


def _finish(
    run: PlannedRun,
    settings: Experiment,
    folder: pathlib.Path,
    trained: Trained,
    evaluator: Evaluator,
) -> Results:
    """Scores a run's students, then writes the result of the run and returns it."""
    outcomes = {
        name: _outcome(spec, gate_open=gate_share(trained.metrics, name))
        for name, spec in settings.students.items()
    }
    record = {
        "row": run.training.row,
        "group": list(run.training.group),
        "seed": run.seed,
        "seconds": trained.seconds,
        "versions": versions(),
        "students": evaluator.score(outcomes, trained.bundles),
    }
    write_record(folder / RESULT, record)
    return _by_student(record)


def _read_results(workdir: pathlib.Path, plan: Plan, evaluator: Evaluator) -> Results:
    """Returns results of finished runs, after scoring them on new data sets."""
    shown = {
        (line.training, seed, student)
        for line in plan.lines
        for seed in plan.seeds
        for student in line.students
    }
    results: Results = {}
    for path in sorted((workdir / ROWS).glob(f"*/*/*/{RESULT}")):
        record = read_run(path)
        if not shown & set(_by_student(record)):
            continue
        old = record["students"]
        bundles = {name: path.parent / "bundles" / name for name in old}
        record["students"] = evaluator.score(old, bundles)
        if record["students"] != old:
            write_record(path, record)
        results |= _by_student(record)
    return results


def _by_student(record: Mapping[str, Any]) -> Results:
    training = Training(record["row"], tuple(record["group"]))
    return {
        (training, record["seed"], name): outcome
        for name, outcome in record["students"].items()
    }


def _write(
    workdir: pathlib.Path,
    plan: Plan,
    results: Results,
    references: Mapping[str, Outcome],
    evaluator: Evaluator,
) -> dict[str, Any]:
    names = [data.name for data in evaluator.datasets]
    values = ablation_json(plan, results, references, names)
    write_json(workdir / VALUES, values, sort_keys=False)
    write_text(workdir / TABLES, ablation_markdown(values))
    return values
