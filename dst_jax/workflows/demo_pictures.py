"""Makes the pictures of the demonstration's report: film strips, response maps."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from dst_jax import losses
from dst_jax.arch import InputSpec, TrackerSpec
from dst_jax.bundle import load_bundle
from dst_jax.data.frames import read_frame
from dst_jax.data.patches import RolePatch, cut_patch
from dst_jax.data.sequence import Sequence
from dst_jax.evaluate import Score, plots, report
from dst_jax.models import Answer, build, forward, proposals


def film_strips(
    boxes: Mapping[str, Mapping[str, np.ndarray]],
    scores: Mapping[str, Score],
    test: tuple[Sequence, ...],
    followed: str,
    *,
    row: str,
    videos: int = 3,
    shown: int = 6,
) -> list[report.Figure]:
    """Returns film strips of videos easy, medium and hard for a student of a row."""
    student, plain = f"{followed} {row}", f"{followed} NOKD"
    ranked = sorted(
        test, key=lambda s: scores[student].sequences[s.name].values["success_auc"]
    )
    picks = [ranked[round(q * (len(ranked) - 1))] for q in (0.9, 0.5, 0.1)][:videos]
    strips = []
    for sequence in picks:
        times = np.linspace(0, len(sequence.frames) - 1, shown).round().astype(int)
        frames = [read_frame(sequence.frames[t]) for t in times]
        shown_boxes = {
            name: found[sequence.name][times]
            for name, found in boxes.items()
            if name in ("teacher", student, plain)
        }
        figure = plots.film_strip(
            frames,
            shown_boxes,
            truth=sequence.boxes[times],
            labels=[f"frame {t}" for t in times],
        )
        auc = scores[student].sequences[sequence.name].values["success_auc"]
        strips.append(
            report.Figure(
                plots.figure_to_png_base64(figure),
                f"{sequence.name}: {student} has an AUC of {auc:.2f}.",
            )
        )
    return strips


def response_maps(
    bundles: Mapping[str, pathlib.Path],
    students: list[str],
    test: tuple[Sequence, ...],
    *,
    row: str,
) -> report.Figure:
    """Returns response maps of a row's networks, with and without W, as in Fig. 3."""
    names = {"teacher": "teacher"} | {name: f"{name} {row}" for name in students}
    networks = {name: load_bundle(bundles[key]) for name, key in names.items()}
    panels = [_panel(networks, sequence) for sequence in test[:2]]
    figure = plots.response_maps(panels, shared_scale=False)
    return report.Figure(
        plots.figure_to_png_base64(figure),
        "Activation maps of the last layer on the search image, without and with the "
        "background-suppressing weight W (eq. 14), and the tracker's response.",
    )


def _panel(networks: Mapping[str, Any], sequence: Sequence) -> plots.ResponsePanel:
    rows: dict[str, dict[str, np.ndarray]] = {
        "without W": {},
        "with W": {},
        "response": {},
    }
    # Networks of other resolution see the same square, in fewer pixels.
    crops = {n: _crops(one.spec.input, sequence) for n, one in networks.items()}
    for name, bundle in networks.items():
        (template, _), (search, _) = crops[name]
        module = build(bundle.spec)
        output = jax.jit(lambda v, z, x, m=module: forward(m, v, z, x))(
            bundle.variables,
            template[None].astype(np.float32),
            search[None].astype(np.float32),
        )
        stage = bundle.spec.backbone.stage_names[-1]
        pair = output.taps[f"search/{stage}"], output.taps[f"template/{stage}"]
        for row, weighted in (("without W", False), ("with W", True)):
            found = losses.search_response(*pair, weighted=weighted)
            rows[row][name] = np.asarray(found[0])
        search_px = bundle.spec.input.search_px
        rows["response"][name] = _likeliest(bundle.spec, output.answer, search_px)
    _, (shown, box) = next(iter(crops.values()))
    return plots.ResponsePanel(shown, rows, box, sequence.name)


def _crops(input: InputSpec, sequence: Sequence) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the template crop and a later search crop, each with the target's box."""
    last = min(10, len(sequence.frames) - 1)
    template_patch = RolePatch(input.template_px, input.zooms.template)
    search_patch = RolePatch(input.search_px, input.zooms.search)
    fill = None if input.area is None else np.zeros(3, np.float32)
    images = []
    for time, side in ((0, template_patch), (last, search_patch)):
        frame = read_frame(sequence.frames[time])
        # Where the target is absent there is no box, and the first one is used.
        box = sequence.boxes[time if np.isfinite(sequence.boxes[time]).all() else 0]
        patch, box_in_patch, _ = cut_patch(frame, box, side, fill=fill)
        images.append((patch, box_in_patch))
    return images


def _likeliest(spec: TrackerSpec, answer: Answer, search_px: int) -> np.ndarray:
    """Returns the log-odds of each cell's likeliest proposal."""
    side = spec.response_side(search_px)
    scores = np.asarray(proposals(spec, answer, search_px=search_px).scores[0])
    return scores.reshape(side, side, -1).max(axis=-1)
