"""Runs `dst-jax ablate`: it trains and evaluates rows and writes their tables."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle
from dst_jax.data.pipeline import read_sources
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment, experiment_to_json, without
from dst_jax.files import found_folder, user_path, write_json, write_text
from dst_jax.workflows.ablation import dlf, loretrack
from dst_jax.workflows.ablation.evaluator import (
    Dataset,
    Evaluate,
    Evaluator,
    evaluate_by_otb,
    outcome_of,
    read_dataset,
)
from dst_jax.workflows.ablation.plan import (
    Choice,
    Plan,
    PlannedRun,
    Training,
    make_plan,
    missing_runs,
)
from dst_jax.workflows.ablation.record import read_run, write_record
from dst_jax.workflows.ablation.speeds import network_speeds
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
from dst_jax.workflows.gates import gate_share
from dst_jax.workflows.printing import say, shown
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.train import Trained, run_training
from dst_jax.workflows.training_data import data_hash
from dst_jax.workflows.versions import versions
from dst_jax.workflows.warm_start import Start, load_start
from dst_jax.workflows.workdir import ROWS, open_workdir

VERB = "dst-jax ablate"
RESULT, TEACHER = "result.json", "teacher.json"
VALUES, TABLES = "ablation.json", "ablation.md"
# The demonstration trains on synthetic video of even seeds and tests on odd ones.
SYNTHETIC, SYNTHETIC_SEED = "synthetic video", 1
# Rows do not depend on these settings, or choose them themselves.
_UNREAD = ("search", "policy", "seed")

Train = Callable[..., Trained]


def run_ablation(
    experiment: Experiment,
    choice: Choice,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path | None = None,
    backbones: Mapping[str, pathlib.Path] | None = None,
    train: Train = run_training,
    evaluate: Evaluate = evaluate_by_otb,
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
      backbones: Bundles whose backbones students begin with, by student.
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
    start = load_start(plan.students, {}, backbones or {})
    datasets = [read_dataset(source, source) for source in choice.datasets]
    with open_workdir(workdir, _identity(experiment, bundle, start, console)):
        evaluator = Evaluator(
            datasets or [_synthetic(workdir, console)], evaluate, console
        )
        results = _read_results(workdir, plan, evaluator)
        references = evaluator.references(workdir / TEACHER, teacher, bundle)
        runs = missing_runs(plan, lambda *key: key in results)
        found = _write(workdir, plan, results, references, evaluator)
        began = time.perf_counter()
        for number, run in enumerate(runs, start=1):
            _announce(plan, run, f"run {number} of {len(runs)}", console)
            settings, folder = plan.settings(run), workdir / ROWS / run.folder
            own = {n: p for n, p in (backbones or {}).items() if n in run.students}
            how: Any = {"teacher": teacher, "backbones": own, "verb": VERB}
            trained = train(settings, folder, **how, console=console)
            results |= _finish(run, settings, folder, trained, evaluator)
            found = _write(workdir, plan, results, references, evaluator)
            if left := runs[number:]:
                say(console, _outlook(runs[:number], left, time.perf_counter() - began))
        if (speeds := _speeds(workdir, plan, bundle, evaluator)) is not None:
            found = _write(workdir, plan, results, references, evaluator, speeds=speeds)
    print_ablation(found, console)
    say(console, f"{workdir / TABLES}   {workdir / VALUES}")
    return found


def _announce(plan: Plan, run: PlannedRun, which: str, console: Console) -> None:
    rows, names = ", ".join(plan.rows_of(run.training)), " and ".join(run.students)
    console.rule(shown(f"{which}: {rows} ({names}, seed {run.seed})"))


def _speeds(
    workdir: pathlib.Path, plan: Plan, teacher: Bundle | None, evaluator: Evaluator
) -> dict[str, Any] | None:
    """Returns the speeds of the networks, if a table shows them."""
    showing = {dlf.TABLE, loretrack.TABLE}
    if teacher is None or not showing & {line.table for line in plan.lines}:
        return None
    experiment, dataset = plan.experiment, evaluator.datasets[0]
    with waiting(evaluator.console, "timing the networks"):
        return network_speeds(
            workdir, experiment, teacher, dataset, students=experiment.students
        )


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


def _identity(
    experiment: Experiment, teacher: Bundle | None, start: Start, console: Console
) -> dict[str, Any]:
    """Returns the settings, bundles and data that all rows of a workdir share."""
    make_missing_video(experiment.data.sources, console)
    with waiting(console, "reading the data"):
        sequences, _ = read_sources(experiment.data)
    # All rows begin at random weights or backbones, never at whole bundles.
    begun = without(start.identity, "init")
    return {
        "experiment": without(experiment_to_json(experiment), *_UNREAD),
        "teacher": teacher.weights_sha256 if teacher else None,
        **begun,
        "data": data_hash(sequences),
    }


def _synthetic(workdir: pathlib.Path, console: Console) -> Dataset:
    """Returns the test videos of the demonstration with seed 0."""
    folder = workdir / "data" / "test"
    write_video(folder, TEST_VIDEOS, seed=SYNTHETIC_SEED, console=console)
    return read_dataset(SYNTHETIC, f"got10k:{folder}")


def _finish(
    run: PlannedRun,
    settings: Experiment,
    folder: pathlib.Path,
    trained: Trained,
    evaluator: Evaluator,
) -> Results:
    """Scores a run's students, then writes the result of the run and returns it."""
    outcomes = {
        name: outcome_of(spec, gate_open=gate_share(trained.metrics, name))
        | {"terms": dlf.last_terms(trained.metrics, name)}
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
    *,
    speeds: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    names = [data.name for data in evaluator.datasets]
    values = ablation_json(plan, results, references, names)
    if speeds is not None:
        values["speeds"] = speeds
    write_json(workdir / VALUES, values, sort_keys=False)
    write_text(workdir / TABLES, ablation_markdown(values))
    return values
