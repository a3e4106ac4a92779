"""`dst-jax demo` runs all stages on synthetic video, in a few minutes."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dst_jax.arch import tracker_cost
from dst_jax.bundle import load_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.distill import with_row
from dst_jax.evaluate.page import PLAIN, SHARING, TAUGHT, Network, verdict
from dst_jax.experiment import Experiment, require_seed
from dst_jax.files import remove_leftovers, require_place, user_path
from dst_jax.train import Deadline
from dst_jax.workflows.demo_report import TrackerLine, demo_json, demo_page
from dst_jax.workflows.demo_video import TEST_VIDEOS, TRAIN_VIDEOS, write_video
from dst_jax.workflows.evaluation import evaluate_bundle, read_videos, score_still
from dst_jax.workflows.gates import gate_share
from dst_jax.workflows.pages.files import write_page
from dst_jax.workflows.printing import say, shown
from dst_jax.workflows.search import Searched, print_searched, search_student
from dst_jax.workflows.train import Trained, run_training
from dst_jax.workflows.workdir import hold

# The rows of a demonstration: what they are called, and how `with_row` spells them.
ROWS: Mapping[str, str] = {row: row for row in (PLAIN, TAUGHT, SHARING)}
# Those of families that have a paper of their own.
ROWS_OF_FAMILY: Mapping[str, Mapping[str, str]] = {
    "siamdw": {PLAIN: PLAIN, "DLF": "gt+point+pair"},
    "ostrack": {PLAIN: PLAIN, "LoReTrack": "gt+qkv+disc"},
}
# Of a family's rows, those that have another rate than its configuration's. Of three
# rates on seeds 100 to 102 of scripts/claim.py, .3 is best for SiamFC's NOKD and .1 for
# its TSKD, which TSsKD takes too. SiamRPN's rows all have .001, where NOKD is best;
# TSKD is better by .004 at .0033.
ROW_RATES: Mapping[str, Mapping[str, float]] = {"siamfc": {PLAIN: 0.3}}
STILL = "still"
DULL = "dull"  # the student whose architecture is searched, if there is one
# Of video, checkpoints, bundles and reports, in bytes.
_SPACE = 120_000_000


def run_demo(
    teacher: Experiment,
    students: Experiment,
    *,
    workdir: pathlib.Path,
    seed: int,
    trainings: Mapping[str, str] = ROWS,
    rates: Mapping[str, float] | None = None,
    deadline: Deadline | None = None,
    console: Console,
) -> list[TrackerLine]:
    """Runs all stages of the demonstration and returns the rows of its table.

    It makes video, trains a teacher, searches the dull student (if one is called so),
    trains both students in every row, evaluates all networks and writes a report. The
    rows have the same seed, first weights, order of data and steps; they differ in the
    terms of the objective, and in the rate where one learns best at another. Stages
    that an earlier call has finished are kept.

    Args:
      teacher: Experiment that trains one network, called "teacher".
      students: Experiment for the search and for both students; its `data.sources` and
        the architecture of `DULL`, if it has one, are replaced.
      workdir: Folder for data, runs, report.html and report.json.
      seed: Seed of data, weights and order of data.
      trainings: Rows in which the students are trained, see `ROWS`.
      rates: Learning rates of rows that have another than `students`.
      deadline: Time by which training and search must have ended.
      console: Console for bars and the table.

    Returns:
      The rows of the table, as in report.json.

    Raises:
      InputError: If experiments and workdir do not fit together.
      TimeUp: If the deadline ended the demonstration.
    """
    require_seed(seed, "--seed")
    began, workdir = time.perf_counter(), user_path(workdir)
    how: Any = {"deadline": deadline, "console": console}
    train_source, test = _make_videos(workdir / "data", seed, console)
    console.rule(shown("teacher"))
    trained = run_training(
        _with_source(teacher, train_source, seed),
        workdir / "teacher",
        verb="dst-jax demo",
        **how,
    )
    bundles = {"teacher": trained.bundles["teacher"]}
    searched = None
    students = _with_source(students, train_source, seed)
    if DULL in students.students:
        console.rule(shown("search of the dull student"))
        searched = search_student(
            students, workdir / "search", teacher=bundles["teacher"], **how
        )
        print_searched(searched, console)
        students = _with_dull(students, searched)
    rows_at = {row: _at(rates, row, students) for row in trainings}
    runs = _train_rows(rows_at, trainings, workdir, bundles["teacher"], **how)
    # A student's rows stand side by side.
    bundles |= {
        f"{name} {row}": runs[row].bundles[name]
        for name in students.students
        for row in runs
    }
    console.rule(shown("evaluation"))
    rows, networks = _evaluate(bundles, runs, test, console)
    taken = {row: made.optim.learning_rate for row, made in rows_at.items()}
    page = demo_page(networks, bundles, runs, searched, test, rates=taken)
    values = demo_json(rows, page.benchmarks[0], seed=seed)
    place = workdir / "report.html"
    write_page(place, page, more=values)
    _print_table(rows, console)
    say(console, *verdict(page.benchmarks[0]))
    say(console, f"{place}   {time.perf_counter() - began:.0f} s in all")
    return rows


def _make_videos(
    folder: pathlib.Path, seed: int, console: Console
) -> tuple[str, tuple[Sequence, ...]]:
    """Returns the source of training videos and the sequences of test videos."""
    require_place(folder.parent / "report.json", space=_SPACE)
    remove_leftovers(folder.parent)
    with hold(folder):
        write_video(folder / "train", TRAIN_VIDEOS, seed=2 * seed, console=console)
        write_video(folder / "test", TEST_VIDEOS, seed=2 * seed + 1, console=console)
    test = read_videos(f"got10k:{folder / 'test'}")
    return f"got10k:{folder / 'train'}", test


def _with_source(experiment: Experiment, source: str, seed: int) -> Experiment:
    data = dataclasses.replace(experiment.data, sources=(source,))
    return dataclasses.replace(experiment, data=data, seed=seed)


def _at(
    rates: Mapping[str, float] | None, row: str, students: Experiment
) -> Experiment:
    """Returns the experiment at the rate of a row."""
    rate = (rates or {}).get(row, students.optim.learning_rate)
    optim = dataclasses.replace(students.optim, learning_rate=rate)
    return dataclasses.replace(students, optim=optim)


def _train_rows(
    students: Mapping[str, Experiment],
    trainings: Mapping[str, str],
    workdir: pathlib.Path,
    teacher: pathlib.Path,
    **how: Any,
) -> dict[str, Trained]:
    """Returns trainings of the same students in every row of terms."""
    runs = {}
    for row, terms in trainings.items():
        how["console"].rule(shown(f"students, {row}"))
        distill = with_row(students[row].distill, terms)
        runs[row] = run_training(
            dataclasses.replace(students[row], distill=distill),
            workdir / row.lower(),
            teacher=teacher,
            verb="dst-jax demo",
            **how,
        )
    return runs


def _with_dull(students: Experiment, searched: Searched) -> Experiment:
    """Returns the experiment with the network that the search has found."""
    assert searched.best.spec is not None
    found = {**students.students, DULL: searched.best.spec}
    return dataclasses.replace(students, students=found)


def _evaluate(
    bundles: Mapping[str, pathlib.Path],
    runs: Mapping[str, Trained],
    test: tuple[Sequence, ...],
    console: Console,
) -> tuple[list[TrackerLine], dict[str, Network]]:
    """Returns lines and results of all trackers, with one that never moves."""
    rows, networks = [], dict[str, Network]()
    reference = tracker_cost(load_bundle(bundles["teacher"]).spec).parameters
    for name, path in bundles.items():
        bundle = load_bundle(path)
        found = evaluate_bundle(bundle, test, name=name, console=console)
        networks[name] = Network(name, found.score, fps=found.fps, boxes=found.boxes)
        student, _, row = name.partition(" ")
        cost = tracker_cost(bundle.spec)
        rows.append(
            TrackerLine(
                tracker=name,
                parameters=cost.parameters,
                megabytes=cost.megabytes,
                compression=reference / cost.parameters,
                search_macs=cost.search_macs,
                success_auc=found.score.values["success_auc"],
                precision_20=found.score.values["precision_20"],
                fps=found.fps,
                gate_open=gate_share(runs[row].metrics, student) if row else None,
            )
        )
    still = score_still(test)
    networks[STILL] = Network(STILL, still)
    numbers = still.values["success_auc"], still.values["precision_20"]
    rows.append(TrackerLine(STILL, 0, 0.0, None, 0, *numbers, None, None))
    return rows, networks


def _print_table(rows: list[TrackerLine], console: Console) -> None:
    # The table fits 80 columns.
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("tracker", no_wrap=True)
    headings = ("params", "MB", "ratio", "MMACs", "AUC", "P@20", "fps", "gate")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            f"{row.parameters:,}",
            f"{row.megabytes:.3f}",
            "" if row.compression is None else f"{row.compression:.1f}x",
            f"{row.search_macs / 1e6:.1f}",
            f"{row.success_auc:.3f}",
            f"{row.precision_20:.3f}",
            "" if row.fps is None else f"{row.fps:.0f}",
            "" if row.gate_open is None else f"{row.gate_open:.0%}",
        ]
        table.add_row(*map(shown, [row.tracker, *cells]))
    console.print(table)
