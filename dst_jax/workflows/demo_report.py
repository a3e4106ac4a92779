"""Writes the demonstration's report: a table and figures in one HTML file."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.bundle import load_bundle
from dst_jax.data.frames import read_frame
from dst_jax.data.patches import RolePatch, cut_patch
from dst_jax.data.sequence import Sequence
from dst_jax.evaluate import TrackerScore, plots, report
from dst_jax.files import write_text
from dst_jax.models import Answer, build, forward, proposals
from dst_jax.train import read_metrics
from dst_jax.workflows.search import Searched
from dst_jax.workflows.search_plot import search_plot
from dst_jax.workflows.train import Trained

TERMS = {
    "gt": "ground truth",
    "ah": "AH (hard), eq. 11",
    "ts": "TS (soft), eq. 9",
    "str": "STR (response), eq. 13",
    "ks": "KS (sharing), eq. 19",
}
GAP = "gap to the teacher, eq. 22"


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
      gate_open: Share of training steps in which the sharing gate was open.
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
    rows: list[TrackerLine],
    scores: Mapping[str, TrackerScore],
    *,
    seed: int,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the content of report.json: the table, and scores by tracker and video.

    Args:
      rows: Lines of the table.
      scores: Scores by tracker.
      seed: Seed of the demonstration.
      versions: Versions of packages.
    """
    return {
        "seed": seed,
        "versions": dict(versions),
        "rows": [dataclasses.asdict(row) for row in rows],
        **report.scores_json(scores, dataset="synthetic test videos"),
    }


def write_report(
    path: pathlib.Path,
    rows: list[TrackerLine],
    scores: Mapping[str, TrackerScore],
    boxes: Mapping[str, Mapping[str, np.ndarray]],
    bundles: Mapping[str, pathlib.Path],
    runs: Mapping[str, Trained],
    searched: Searched,
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
      searched: The search of the dull student.
      test: The test videos.
    """
    sections: list[report.Section] = [
        report.Paragraph(
            f"A miniature {_family(bundles)} was trained on synthetic video. A policy "
            "searched the architecture of the dull student; the intelligent one is the "
            "teacher at a third of its width. Both were trained three times: on the "
            "ground truth alone (NOKD), with the teacher's knowledge (TSKD), and "
            "sharing theirs too (TSsKD), with the same first weights, pairs and steps. "
            "All were then run on videos that none had seen."
        ),
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
        report.Heading("Search of the dull student"),
        *_search(searched),
        report.Heading("On the film"),
        *_strips(boxes, scores, test),
        report.Heading("What the networks look at"),
        _responses(bundles, test),
        report.Heading("Training"),
        *(_losses(row, trained) for row, trained in runs.items()),
    ]
    page = report.html_page("Distilled Siamese trackers: demonstration", sections)
    write_text(path, page)


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
            "gate open": "% of steps",
        },
        formats={
            "compression": ".1f",
            "multiply-adds": ".1f",
            "speed": ".0f",
            "gate open": ".0f",
        },
        caption="“still” never moves its first box. A gate is open while a student's "
        "loss is within h = 0.005 of the teacher's (eq. 22).",
    )


def _search(searched: Searched) -> list[report.Section]:
    best = searched.best
    assert best.spec is not None
    layers = best.spec.backbone.layers
    widths = ", ".join(str(layer.features) for layer in layers)
    kernels = ", ".join(str(layer.kernel) for layer in layers)
    text = (
        f"{len(searched.trials)} candidates were trained from scratch on a small set. "
        f"The best has widths {widths} and kernels {kernels}: reward {best.reward:.3f} "
        f"= C(2 - C) acc / acc_t with C = {best.compression:.3f}, acc = "
        f"{best.accuracy:.3f} and acc_t = {searched.teacher_accuracy:.3f} (eq. 6)."
    )
    caption = (
        "Candidates (points), the mean of each step (lines), and the best reward so "
        "far (dashed), as in the paper's Fig. 4. A candidate that cannot be built has "
        "reward -1."
    )
    return [
        report.Paragraph(text),
        _figure(search_plot(searched.trials), caption),
    ]


def _figure(figure: Any, caption: str) -> report.Figure:
    return report.Figure(plots.figure_to_svg(figure), caption)


def _strips(
    boxes: Mapping[str, Mapping[str, np.ndarray]],
    scores: Mapping[str, TrackerScore],
    test: tuple[Sequence, ...],
    *,
    videos: int = 3,
    shown: int = 6,
) -> list[report.Figure]:
    """Returns film strips of videos easy, medium and hard for the dull student."""
    student = "dull TSsKD"
    ranked = sorted(test, key=lambda s: scores[student].sequences[s.name].success_auc)
    picks = [ranked[round(q * (len(ranked) - 1))] for q in (0.9, 0.5, 0.1)][:videos]
    strips = []
    for sequence in picks:
        times = np.linspace(0, len(sequence.frames) - 1, shown).round().astype(int)
        frames = [read_frame(sequence.frames[t]) for t in times]
        shown_boxes = {
            name: found[sequence.name][times]
            for name, found in boxes.items()
            if name in ("teacher", student, "dull NOKD")
        }
        figure = plots.film_strip(
            frames,
            shown_boxes,
            truth=sequence.boxes[times],
            labels=[f"frame {t}" for t in times],
        )
        auc = scores[student].sequences[sequence.name].success_auc
        strips.append(
            report.Figure(
                plots.figure_to_png_base64(figure),
                f"{sequence.name}: {student} has an AUC of {auc:.2f}.",
            )
        )
    return strips


def _responses(
    bundles: Mapping[str, pathlib.Path], test: tuple[Sequence, ...]
) -> report.Figure:
    """Returns response maps of the networks with and without W, as in Fig. 3."""
    names = {
        "teacher": "teacher",
        "dull": "dull TSsKD",
        "intelligent": "intelligent TSsKD",
    }
    networks = {name: load_bundle(bundles[key]) for name, key in names.items()}
    panels = [_panel(networks, sequence) for sequence in test[:2]]
    figure = plots.response_maps(panels, shared_scale=False)
    return report.Figure(
        plots.figure_to_png_base64(figure),
        "Activation maps of the last layer on the search image, without and with the "
        "background-suppressing weight W (eq. 14), and the tracker's response.",
    )


def _panel(networks: Mapping[str, Any], sequence: Sequence) -> plots.ResponsePanel:
    crops = next(iter(networks.values())).spec.input
    last = min(10, len(sequence.frames) - 1)
    images = []
    template_patch = RolePatch(crops.template_px, crops.zooms.template)
    search_patch = RolePatch(crops.search_px, crops.zooms.search)
    for time, side in ((0, template_patch), (last, search_patch)):
        frame = read_frame(sequence.frames[time])
        # Where the target is absent there is no box, and the first one is used.
        box = sequence.boxes[time if np.isfinite(sequence.boxes[time]).all() else 0]
        patch, box_in_patch, _ = cut_patch(frame, box, side)
        images.append((patch, box_in_patch))
    (template, _), (search, box_in_search) = images
    rows: dict[str, dict[str, np.ndarray]] = {
        "without W": {},
        "with W": {},
        "response": {},
    }
    for name, bundle in networks.items():
        module = build(bundle.spec)
        output = jax.jit(lambda v, z, x, m=module: forward(m, v, z, x))(
            bundle.variables,
            template[None].astype(np.float32),
            search[None].astype(np.float32),
        )
        stage = f"conv{len(bundle.spec.backbone.layers)}"
        pair = output.taps[f"search/{stage}"], output.taps[f"template/{stage}"]
        for row, weighted in (("without W", False), ("with W", True)):
            found = losses.search_response(*pair, weighted=weighted)
            rows[row][name] = np.asarray(found[0])
        rows["response"][name] = _likeliest(bundle.spec, output.answer, crops.search_px)
    return plots.ResponsePanel(search, rows, box_in_search, sequence.name)


def _likeliest(spec: TrackerSpec, answer: Answer, search_px: int) -> np.ndarray:
    """Returns the log-odds of each cell's likeliest proposal."""
    side = spec.response_side(search_px)
    scores = np.asarray(proposals(spec, answer, search_px=search_px).scores[0])
    return scores.reshape(side, side, -1).max(axis=-1)


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
