"""What becomes of an evaluation: the table, and the files that were asked for."""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from rich.console import Console

from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, counted
from dst_jax.evaluate import Score, report
from dst_jax.evaluate.notes import notes
from dst_jax.evaluate.page import Network, Page
from dst_jax.files import remove_leftovers, require_place, user_path, write_json
from dst_jax.typing import Float
from dst_jax.workflows.pace import (
    STAGES,
    Pace,
    speed_table,
    speeds_json,
    told_paces,
)
from dst_jax.workflows.pages.files import require_page_place, write_page
from dst_jax.workflows.pages.gather import Ran, gather_page
from dst_jax.workflows.plot_files import require_plots_place, write_plots
from dst_jax.workflows.printing import say, shown
from dst_jax.workflows.submission import require_submission, write_submission


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of trackers on one data set.

    Attributes:
      dataset: Name that the user gave, `LAYOUT:DIR`.
      scores: Scores by tracker; empty where the truth is not published.
      fps: End-to-end frames per second by tracker; of result files what their times
        say, if there are any.
      ignored: Result files that belong to no sequence of the data set.
      remarks: Sentences on how it was scored.
      boxes: Boxes (cx, cy, w, h) by tracker and sequence.
      paces: How fast trackers that were run took all frames, and on what.
      stages: Frames per second by tracker and stage, see `measure_speeds`.
      bundles: Folders of bundles by tracker; empty of result files.
    """

    dataset: str
    scores: Mapping[str, Score]
    fps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    boxes: Mapping[str, Mapping[str, Float[np.ndarray, "*repeats _ 4"]]] = (
        dataclasses.field(default_factory=dict)
    )
    paces: Mapping[str, Pace] = dataclasses.field(default_factory=dict)
    stages: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    bundles: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Files to write, each of which appears whole or not at all.

    Attributes:
      json: File for the scores; None for none.
      plots: Folder for the plots of success, precision and speed, which must not hold
        anything yet; None for none.
      submission: Archive of the only tracker's boxes for the server of TrackingNet or
        GOT-10k; None for none.
      html: Page, PAGE.html, with its numbers beside it; None for none.
    """

    json: str | os.PathLike[str] | None = None
    plots: str | os.PathLike[str] | None = None
    submission: str | os.PathLike[str] | None = None
    html: str | os.PathLike[str] | None = None


NOTHING = Outputs()
"""No file at all."""


def require_outputs(outputs: Outputs, dataset: str, *, trackers: int) -> None:
    """Returns if all files can be written; called before any work.

    Args:
      outputs: The files.
      dataset: Layout and folder, such as "got10k:DIR".
      trackers: Number of trackers.

    Raises:
      InputError: If a place cannot be written, or no such archive can be made.
    """
    if outputs.json is not None:
        _require_file(outputs.json)
    if outputs.plots is not None:
        require_plots_place(outputs.plots)
    if outputs.html is not None:
        require_page_place(outputs.html, json=outputs.json)
    if outputs.submission is not None:
        require_submission(outputs.submission, dataset, trackers=trackers)


def telling(
    console: Console | None, what: str
) -> contextlib.AbstractContextManager[object]:
    """Returns a context in which the console shows what takes a while."""
    if console is None:
        return contextlib.nullcontext()
    return console.status(shown(what))


def publish(
    evaluation: Evaluation,
    sequences: collections.abc.Sequence[Sequence],
    outputs: Outputs,
    console: Console | None,
) -> None:
    """Prints the scores, and only then writes files, whatever becomes of them.

    Args:
      evaluation: The scores and boxes.
      sequences: The data set.
      outputs: The files to write.
      console: Console for the table; None for no output.

    Raises:
      OSError: If a file cannot be written.
    """
    print_scores(evaluation, console)
    written = []
    if outputs.json is not None:
        path = user_path(outputs.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, _json(evaluation), sort_keys=False)
        written.append(outputs.json)
    if outputs.submission is not None:
        write_submission(
            outputs.submission, evaluation.boxes, evaluation.fps, sequences
        )
        written.append(outputs.submission)
    if outputs.plots is not None and evaluation.scores:
        write_plots(outputs.plots, evaluation.scores, evaluation.fps)
        written.append(outputs.plots)
    if outputs.html is not None and evaluation.scores:
        with telling(console, "drawing the page"):
            write_page(outputs.html, _page(evaluation, sequences))
        written.append(outputs.html)
    if console is not None:
        for place in written:
            say(console, f"wrote {place}")


def _page(
    evaluation: Evaluation, sequences: collections.abc.Sequence[Sequence]
) -> Page:
    networks = {
        name: Network(
            name,
            score,
            fps=evaluation.fps.get(name),
            stages=_called(evaluation.stages.get(name, {})),
            boxes=evaluation.boxes.get(name, {}),
        )
        for name, score in evaluation.scores.items()
    }
    dataset = evaluation.dataset
    remarks = (*told_paces(evaluation.paces), *evaluation.remarks)
    run = Ran(dataset, sequences, networks, remarks)
    title = f"{counted(len(networks), 'tracker')} on {dataset}"
    return gather_page(title, [run], evaluation.bundles)


def _called(stages: Mapping[str, float]) -> dict[str, float]:
    """Returns the speeds of stages by their headings."""
    return {heading: stages[name] for name, heading in STAGES.items() if name in stages}


def print_scores(evaluation: Evaluation, console: Console | None) -> None:
    """Prints the table and what must be known of it."""
    if console is None:
        return
    if evaluation.scores:
        named = {"dataset": evaluation.dataset, "fps": evaluation.fps}
        console.print(report.score_table(evaluation.scores, **named))
        for note in notes(evaluation.scores):
            say(console, note)
    if evaluation.stages:
        console.print(speed_table(evaluation.paces, evaluation.stages))
    say(console, *told_paces(evaluation.paces))
    for remark in evaluation.remarks:
        say(console, remark)
    if evaluation.ignored:
        files = ", ".join(evaluation.ignored)
        say(console, f"not scored, of no sequence: {files}")


def _json(evaluation: Evaluation) -> dict[str, object]:
    if not evaluation.scores:
        return {
            "dataset": evaluation.dataset,
            "notes": list(evaluation.remarks),
            "trackers": {},
        }
    values = report.scores_json(
        evaluation.scores, dataset=evaluation.dataset, fps=evaluation.fps
    )
    values["notes"] += evaluation.remarks
    for name, pace in evaluation.paces.items():
        values["trackers"][name]["speed"] = speeds_json(
            pace, evaluation.stages.get(name, {})
        )
    return values


def _require_file(json_path: str | os.PathLike[str]) -> None:
    path = user_path(json_path)
    if path.is_dir():
        raise InputError(f"{json_path} is a folder; name a file for the report.")
    if path.exists() and not path.is_file():
        raise InputError(f"{json_path} is no regular file; name one for the report.")
    require_place(path)
    remove_leftovers(path.parent)
