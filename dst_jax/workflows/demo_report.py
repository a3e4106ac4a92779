"""Writes the demonstration's report: a table and figures in one HTML file."""

import dataclasses
import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from dst_jax.arch import plain_layers
from dst_jax.bundle import load_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.evaluate import OTB, Score, plots, report
from dst_jax.files import write_text
from dst_jax.search.space import SHRINKAGE
from dst_jax.train import read_metrics
from dst_jax.workflows.demo_pictures import film_strips, response_maps
from dst_jax.workflows.demo_verdict import (
    SHARING,
    TEACHER,
    TOKENS,
    differences,
    verdict,
)
from dst_jax.workflows.search import Searched
from dst_jax.workflows.search_plot import search_plot
from dst_jax.workflows.train import Trained

TERMS = {
    "gt": "ground truth",
    "ah": "AH (hard), eq. 11",
    "ts": "TS (soft), eq. 9",
    "str": "STR (response), eq. 13",
    "ks": "KS (sharing), eq. 19",
    "point": "Point (DLF)",
    "pair": "Pair (DLF)",
    "qkv": "QKV (LoReTrack)",
    "disc": "Disc (LoReTrack)",
}
GAP = "gap to the teacher, eq. 22"
_SEARCHED = (
    "A policy searched the architecture of the dull student; the intelligent one is "
    "the teacher at a third of its width."
)
_CHOSEN = "It is wider than the two students, whose architectures were chosen by hand."
# In which ways the students were trained.
_SHARED = (
    "three times: on the ground truth alone (NOKD), with the teacher's knowledge "
    "(TSKD), and sharing theirs too (TSsKD)"
)
_IMITATED = (
    "twice: on the ground truth alone (NOKD), and imitating the teacher's features too "
    "({row})"
)
_SMALLER = "The two students are the same network on smaller images."


@dataclasses.dataclass(frozen=True)
class TrackerLine:
    """One tracker of the table.

    Attributes:
      tracker: "teacher", "STUDENT ROW", or "still" for a box that never moves.
      parameters: Number of learnable parameters.
      megabytes: Size of the parameters as float32, in units of 10^6 bytes.
      compression: The teacher's number of parameters over this tracker's.
      search_macs: Number of multiply-adds for a search crop.
      success_auc: Area under the success curve.
      precision_20: Share of frames whose centre is within 20 px.
      fps: End-to-end frames per second.
      gate_open: Share of the training's gates that were open: of examples, or of steps.
    """

    tracker: str
    parameters: int
    megabytes: float
    compression: float | None
    search_macs: int
    success_auc: float
    precision_20: float
    fps: float | None
    gate_open: float | None


def table_verdict(
    rows: list[TrackerLine],
    scores: Mapping[str, Score],
    students: list[str],
    trainings: Collection[str],
) -> list[str]:
    """Returns what the table shows, in sentences (`demo_verdict.verdict`).

    Args:
      rows: Lines of the table.
      scores: Scores by tracker.
      students: Names of the students.
      trainings: Rows in which they were trained.
    """
    found, names = {row.tracker: row for row in rows}, list(trainings)
    last = {name: found[f"{name} {names[-1]}"] for name in students}
    ratios = {name: row.compression or 1.0 for name, row in last.items()}
    if TOKENS in names:
        teacher = found[TEACHER].search_macs
        ratios = {name: teacher / row.search_macs for name, row in last.items()}
    gates = {name: row.gate_open for name, row in last.items()}
    return verdict(scores, students, names, ratios=ratios, gates=gates)


def demo_json(
    rows: list[TrackerLine],
    scores: Mapping[str, Score],
    students: list[str],
    trainings: Collection[str],
    *,
    seed: int,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the content of report.json: the table, and scores by tracker and video.

    Args:
      rows: Lines of the table.
      scores: Scores by tracker.
      students: Names of the students.
      trainings: Rows in which they were trained.
      seed: Seed of the demonstration.
      versions: Versions of packages.
    """
    return {
        "seed": seed,
        "versions": dict(versions),
        "rows": [dataclasses.asdict(row) for row in rows],
        "differences": {
            pair: dataclasses.asdict(found)
            for pair, found in differences(scores, students, list(trainings)).items()
        },
        **report.scores_json(scores, dataset="synthetic test videos"),
    }


def write_report(
    path: pathlib.Path,
    rows: list[TrackerLine],
    scores: Mapping[str, Score],
    boxes: Mapping[str, Mapping[str, np.ndarray]],
    bundles: Mapping[str, pathlib.Path],
    runs: Mapping[str, Trained],
    searched: Searched | None,
    test: tuple[Sequence, ...],
) -> None:
    """Writes the report, which appears whole or not at all.

    Args:
      path: The HTML file.
      rows: Lines of the table.
      scores: Scores by tracker.
      boxes: Boxes (cx, cy, w, h) of every frame by tracker and video, frame pixels.
      bundles: Folders of bundles by tracker.
      runs: Trainings of the students by row.
      searched: The search of the dull student, if there was one.
      test: The test videos.
    """
    students = list(next(iter(runs.values())).bundles)
    sections: list[report.Section] = [
        report.Paragraph(
            f"A miniature {_family(bundles)} was trained on synthetic video. "
            f"{_origin(searched, runs)} Both were trained {_trainings(runs)}, with "
            "the same first weights, pairs and steps. All were then run on videos that "
            "none had seen."
        ),
        report.Paragraph("\n\n".join(table_verdict(rows, scores, students, runs))),
        _table(rows),
        report.Heading("Accuracy"),
        report.SideBySide(
            [
                _figure(
                    plots.success_plot(scores),
                    "Success: share of frames whose "
                    "overlap with the truth exceeds the threshold.",
                ),
                _figure(
                    plots.precision_plot(scores),
                    "Precision: share of frames whose centre is within the distance.",
                ),
            ]
        ),
        *([] if searched is None else _search(searched)),
        report.Heading("On the film"),
        *film_strips(
            boxes, scores, test, students[0 if searched else -1], row=list(runs)[-1]
        ),
        report.Heading("What the networks look at"),
        response_maps(bundles, students, test, row=list(runs)[-1]),
        report.Heading("Training"),
        *(_losses(row, trained) for row, trained in runs.items()),
    ]
    page = report.html_page("Distilled Siamese trackers: demonstration", sections)
    write_text(path, page)


def _origin(searched: Searched | None, runs: Collection[str]) -> str:
    """Returns where the students' architectures come from."""
    if searched is not None:
        return _SEARCHED
    return _SMALLER if TOKENS in runs else _CHOSEN


def _trainings(runs: Collection[str]) -> str:
    """Returns in which ways the students were trained."""
    return _SHARED if SHARING in runs else _IMITATED.format(row=list(runs)[-1])


def _family(bundles: Mapping[str, pathlib.Path]) -> str:
    head = load_bundle(bundles["teacher"]).spec.head
    return head.family


def _table(rows: list[TrackerLine]) -> report.Table:
    cells = [
        {
            "tracker": row.tracker,
            "parameters": row.parameters,
            "size": row.megabytes,
            "compression": row.compression,
            "multiply-adds": row.search_macs / 1e6,
            "AUC": row.success_auc,
            "P@20": row.precision_20,
            "speed": row.fps,
            "gate open": None if row.gate_open is None else 100 * row.gate_open,
        }
        for row in rows
    ]
    return report.Table(
        cells,
        units={
            "size": "MB",
            "compression": "x",
            "multiply-adds": "million per crop",
            "speed": "frames/s",
            "gate open": "% of examples",
        },
        formats={
            "compression": ".1f",
            "multiply-adds": ".1f",
            "speed": ".0f",
            "gate open": ".0f",
        },
        caption=f"AUC and P@20 are those of {OTB.name}. “still” never moves its first "
        "box. A gate is open where a student's "
        "loss is within h of the teacher's (eq. 22).",
    )


def _search(searched: Searched) -> list[report.Section]:
    best = searched.best
    assert best.spec is not None
    layers = plain_layers(best.spec.backbone, SHRINKAGE)
    widths = ", ".join(str(layer.features) for layer in layers)
    kernels = ", ".join(str(layer.kernel) for layer in layers)
    trained = sum(trial.spec is not None for trial in searched.trials)
    text = (
        f"Of {len(searched.trials)} candidates {trained} could be built within the "
        "limit on size, and were trained from scratch on a small set. "
        f"The best has widths {widths} and kernels {kernels}: reward {best.reward:.3f} "
        f"= C(2 - C) acc / acc_t with C = {best.compression:.3f}, acc = "
        f"{best.accuracy:.3f} and acc_t = {searched.teacher_accuracy:.3f} (eq. 6)."
    )
    caption = (
        "Candidates (points), the mean of each step (lines), and the best reward so "
        "far (dashed), as in the paper's Fig. 4. A candidate that cannot be built, or "
        "is too large, has reward -1."
    )
    return [
        report.Heading("Search of the dull student"),
        report.Paragraph(text),
        _figure(search_plot(searched.trials), caption),
    ]


def _figure(figure: Any, caption: str) -> report.Figure:
    return report.Figure(plots.figure_to_svg(figure), caption)


def _losses(row: str, trained: Trained) -> report.Figure:
    """Returns curves of the terms with their weights, and of the gap of the gates."""
    curves = training_curves(read_metrics(trained.metrics))
    caption = f"{row}: the terms of the objective, weights included."
    if GAP in curves:
        caption += (
            " The gap is a student's loss on the labels less the teacher's; a gate is "
            "open where it is below h."
        )
    return _figure(plots.loss_curves(curves), caption)


def training_curves(
    lines: Iterable[Mapping[str, Any]],
) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Returns (steps, values) by panel and student: every term, and the gates' gap.

    Args:
      lines: Lines of `metrics.jsonl`.
    """
    curves: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for line in lines:
        for key, value in line.items():
            kind, _, rest = key.partition("/")
            if kind not in ("loss", "gap") or not rest:
                continue
            student, _, term = rest.partition("/")
            panel = curves.setdefault(TERMS[term] if term else GAP, {})
            steps, values = panel.setdefault(student, ([], []))
            steps.append(line["step"])
            values.append(value)
    return curves
