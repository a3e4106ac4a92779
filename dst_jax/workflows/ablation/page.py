"""Writes the page of an ablation: every network of its tables, and the tables."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.data import sequence as data
from dst_jax.evaluate.page import Network
from dst_jax.evaluate.page.markup import Heading, Paragraph, Section, Table
from dst_jax.experiment import Experiment
from dst_jax.files import user_path
from dst_jax.workflows.ablation.cells import Shown
from dst_jax.workflows.ablation.evaluator import Evaluate, evaluate_by_otb
from dst_jax.workflows.ablation.plan import Choice, Plan, make_plan
from dst_jax.workflows.ablation.record import read_run
from dst_jax.workflows.ablation.run import RESULT, SYNTHETIC, Train, run_ablation
from dst_jax.workflows.ablation.table import HEADINGS, ablation_tables
from dst_jax.workflows.evaluation import read_videos, score_still
from dst_jax.workflows.pages.files import require_page_place, write_page
from dst_jax.workflows.pages.gather import Ran, gather_page
from dst_jax.workflows.printing import say, shown
from dst_jax.workflows.publishing import Evaluation
from dst_jax.workflows.train import run_training
from dst_jax.workflows.workdir import ROWS

TEACHER, STILL = "teacher", "still"


class _Shown(NamedTuple):
    """A network of the page."""

    path: pathlib.Path
    row: str


class Memory:
    """Evaluates, and remembers the boxes, so that no tracker runs twice in a call.

    Args:
      evaluate: Function (data set, folders of bundles) that returns their scores.
    """

    def __init__(self, evaluate: Evaluate):
        self._evaluate = evaluate
        self._found: dict[tuple[str, pathlib.Path], Evaluation] = {}

    def __call__(self, source: str, paths: Sequence[pathlib.Path]) -> Evaluation:
        """Returns scores of trackers, whose folders have names that differ."""
        found = self._evaluate(source, paths)
        self._found |= {(source, path.resolve()): found for path in paths}
        return found

    def network(self, name: str, source: str, path: pathlib.Path) -> Network:
        """Returns what one tracker did, which runs if it has not run yet.

        Args:
          name: Its name on the page.
          source: The data set.
          path: Folder of its bundle.
        """
        key = source, path.resolve()
        found = self._found.get(key) or self(source, [path])
        own = path.resolve().name
        return Network(
            name,
            found.scores[own],
            fps=found.fps.get(own),
            boxes=found.boxes.get(own, {}),
        )


def ablate_with_page(
    html: str | os.PathLike[str],
    experiment: Experiment,
    choice: Choice,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path | None = None,
    backbones: Mapping[str, pathlib.Path] | None = None,
    train: Train = run_training,
    console: Console,
) -> dict[str, Any]:
    """Runs an ablation, then writes its page; networks whose boxes are gone run again.

    Args:
      html: The page, PAGE.html.
      experiment: The argument of `run_ablation`, as those after it.
      choice: Rows, numbers of students, seeds and data sets.
      workdir: Folder for runs and tables.
      teacher: Bundle of the frozen teacher, or None.
      backbones: Bundles whose backbones students begin with, by student.
      train: Function that makes one run.
      console: Console for bars and tables.

    Returns:
      The content of ablation.json.

    Raises:
      InputError: If the page has no place, or `run_ablation` raises it.
    """
    require_page_place(html)
    memory = Memory(evaluate_by_otb)
    found = run_ablation(
        experiment,
        choice,
        workdir,
        teacher=teacher,
        backbones=backbones,
        train=train,
        evaluate=memory,
        console=console,
    )
    spec = None if teacher is None else load_bundle(teacher).spec
    plan = make_plan(experiment, choice, teacher=spec)
    networks = dict(_networks(user_path(workdir), plan))
    if teacher is not None:
        networks = {TEACHER: _Shown(user_path(teacher), ""), **networks}
    with console.status(shown("drawing the page")):
        runs = [_ran(one, networks, memory) for one in _datasets(choice, workdir)]
        page = gather_page(
            f"Ablation of {found['family']}",
            runs,
            {name: one.path for name, one in networks.items()},
            rows={name: one.row for name, one in networks.items() if one.row},
            about=["“still” never moves its first box."],
            more=_tables(found),
        )
        write_page(html, page, more={"ablation": found})
    say(console, f"wrote {html}")
    return found


def _networks(workdir: pathlib.Path, plan: Plan) -> Iterator[tuple[str, _Shown]]:
    """Yields name and folder of every network that the tables show, once each."""
    rows: dict[tuple[Any, str], str] = {}
    for line in plan.lines:
        # The last row of a training, such as TSKD, is that of the later table.
        rows |= {(line.training, name): line.row for name in line.students}
    finished = {
        (record["row"], tuple(record["group"]), record["seed"], name): path.parent
        for path in sorted((workdir / ROWS).glob(f"*/*/*/{RESULT}"))
        for record in [read_run(path)]
        for name in record["students"]
    }
    for (training, name), row in rows.items():
        for seed in plan.seeds:
            folder = finished.get((training.row, training.group, seed, name))
            if folder is not None:
                more = f", seed {seed}" if len(plan.seeds) > 1 else ""
                place = folder / "bundles" / name
                yield f"{name} {row}{more}", _Shown(place, row)


def _datasets(choice: Choice, workdir: pathlib.Path) -> list[tuple[str, str]]:
    """Returns name and source of the data sets."""
    if choice.datasets:
        return [(source, source) for source in choice.datasets]
    return [(SYNTHETIC, f"got10k:{user_path(workdir) / 'data' / 'test'}")]


def _ran(
    dataset: tuple[str, str], networks: Mapping[str, _Shown], memory: Memory
) -> Ran:
    name, source = dataset
    sequences: Sequence[data.Sequence] = read_videos(source)
    found = {n: memory.network(n, source, one.path) for n, one in networks.items()}
    found[STILL] = Network(STILL, score_still(sequences))
    return Ran(name, sequences, found)


def _tables(found: Mapping[str, Any]) -> list[Section]:
    """Returns the tables beside the paper's, and sentences on the order of rows."""
    sections: list[Section] = [
        Heading("The tables, beside the paper's"),
        Paragraph(found["reading"]),
    ]
    for table in ablation_tables(found):
        sections += [Heading(table.title, level=3), _table(table)]
    if found["order"]:
        sections.append(Heading("Order of rows", level=3))
        sections += [Paragraph(one["statement"]) for one in found["order"]]
    return sections


def _table(table: Shown) -> Table:
    headings = list(table.headings)
    if tuple(headings) == HEADINGS:
        headings[-2:] = [f"paper {heading}" for heading in HEADINGS[-2:]]
    return Table(
        [dict(zip(headings, row, strict=True)) for row in table.rows],
        caption=" ".join(table.notes),
        right=headings[table.words :],
    )
