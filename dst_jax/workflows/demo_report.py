"""Gathers the demonstration's page: what evaluations show, its search, its losses."""

import dataclasses
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from dst_jax.arch import plain_layers
from dst_jax.bundle import load_bundle
from dst_jax.data import sequence as data
from dst_jax.evaluate import plots, report
from dst_jax.evaluate.page import SHARING, Benchmark, Network, Page, comparisons
from dst_jax.evaluate.page.markup import (
    Figure,
    Heading,
    Paragraph,
    Section,
    SideBySide,
)
from dst_jax.search.space import SHRINKAGE
from dst_jax.train import read_metrics
from dst_jax.workflows.pages.gather import Ran, gather_page
from dst_jax.workflows.search import Searched
from dst_jax.workflows.search_plot import search_plot
from dst_jax.workflows.train import Trained
from dst_jax.workflows.versions import versions

VIDEOS = "synthetic test videos"
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


def demo_json(
    rows: Sequence[TrackerLine], benchmark: Benchmark, *, seed: int
) -> dict[str, Any]:
    """Returns what report.json holds beside the page's own values, as JSON.

    Args:
      rows: Lines of the table.
      benchmark: The trackers and their scores.
      seed: Seed of the demonstration.
    """
    return {
        "seed": seed,
        "versions": versions(),
        "rows": [dataclasses.asdict(row) for row in rows],
        "differences": {
            f"{one.student} {one.row} - {one.student} {one.other}": {
                name: getattr(one, name) for name in ("mean", "low", "high", "videos")
            }
            for one in comparisons(benchmark)
        },
        **report.scores_json(benchmark.scores, dataset=benchmark.dataset),
    }


def demo_page(
    networks: Mapping[str, Network],
    bundles: Mapping[str, pathlib.Path],
    runs: Mapping[str, Trained],
    searched: Searched | None,
    test: Sequence[data.Sequence],
    *,
    rates: Mapping[str, float],
) -> Page:
    """Returns the page of a demonstration.

    Args:
      networks: What each tracker did on the test videos, by its name.
      bundles: Folders of bundles by tracker.
      runs: Trainings of the students by row.
      searched: The search of the dull student, if there was one.
      test: The test videos.
      rates: Learning rates of the rows.
    """
    about = (
        f"A miniature {_family(bundles)} was trained on synthetic video. "
        f"{_origin(searched, runs)} Both were trained {_trainings(runs)}, with "
        f"the same first weights, pairs and steps{rates_apart(rates)}. All were then "
        "run on videos that none had seen. “still” never moves its first box."
    )
    more: list[Section] = [] if searched is None else _search(searched)
    more.append(Heading("Training"))
    for row, trained in runs.items():
        more += _losses(row, trained)
    return gather_page(
        "Distilled Siamese trackers: demonstration",
        [Ran(VIDEOS, test, networks)],
        bundles,
        about=[about],
        more=more,
    )


def _origin(searched: Searched | None, runs: Collection[str]) -> str:
    """Returns where the students' architectures come from."""
    if searched is not None:
        return _SEARCHED
    return _SMALLER if "LoReTrack" in runs else _CHOSEN


def _trainings(runs: Collection[str]) -> str:
    """Returns in which ways the students were trained."""
    return _SHARED if SHARING in runs else _IMITATED.format(row=list(runs)[-1])


def rates_apart(rates: Mapping[str, float]) -> str:
    """Returns the end of a sentence: rows' learning rates, where they differ.

    Args:
      rates: Learning rates by row.
    """
    if len(set(rates.values())) < 2:
        return ""
    told = ", ".join(f"{row} {rate:g}" for row, rate in rates.items())
    return f", at learning rates of their own ({told})"


def _family(bundles: Mapping[str, pathlib.Path]) -> str:
    head = load_bundle(bundles["teacher"]).spec.head
    return head.family


def _search(searched: Searched) -> list[Section]:
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
        Heading("Search of the dull student"),
        Paragraph(text),
        _figure(search_plot(searched.trials), caption),
    ]


def _figure(figure: Any, caption: str) -> Figure:
    return Figure(plots.figure_to_svg(figure), caption)


def _losses(row: str, trained: Trained) -> list[Section]:
    """Returns curves of the terms with their weights, and of the gap of the gates."""
    curves = training_curves(read_metrics(trained.metrics))
    panels = [
        Figure(plots.figure_to_svg(plots.loss_curves({term: lines})), alt=term)
        for term, lines in curves.items()
    ]
    text = "The terms of the objective, weights included."
    if GAP in curves:
        text += (
            " The gap is a student's loss on the labels less the teacher's; a gate is "
            "open where it is below h."
        )
    return [Heading(row, level=3), Paragraph(text), SideBySide(panels, size="medium")]


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
