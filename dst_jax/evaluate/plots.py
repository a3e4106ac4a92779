"""Figures of a report: curves, losses, response maps and film strips.

Every function returns a matplotlib `Figure` and touches no global state; it uses
neither `pyplot` nor a display. A name keeps its colour from figure to figure when the
figures are given the same `colours`; make them once with `name_colours`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from dst_jax.evaluate.score_plots import expected_overlap_plot as expected_overlap_plot
from dst_jax.evaluate.score_plots import norm_precision_plot as norm_precision_plot
from dst_jax.evaluate.score_plots import precision_plot as precision_plot
from dst_jax.evaluate.score_plots import speed_plot as speed_plot
from dst_jax.evaluate.score_plots import success_plot as success_plot
from dst_jax.evaluate.style import (
    QUIET,
    TRUTH_COLOUR,
    Colours,
    bare,
    dress,
    legend_below,
    new_figure,
    plain,
)
from dst_jax.evaluate.style import figure_to_png as figure_to_png
from dst_jax.evaluate.style import figure_to_png_base64 as figure_to_png_base64
from dst_jax.evaluate.style import figure_to_svg as figure_to_svg
from dst_jax.evaluate.style import name_colours as name_colours
from dst_jax.typing import Float, Image


def loss_curves(
    metrics: Mapping[str, Mapping[str, tuple[Any, Any]]],
    *,
    colours: Colours | None = None,
    columns: int = 3,
) -> Figure:
    """Returns training curves: one panel per term, one line per student.

    Each line is a running mean over a fiftieth of the steps, drawn over the raw values.

    Args:
      metrics: (steps, values), two sequences of one length, by term and by student.
      colours: Colour of each student; those of `name_colours` if None.
      columns: Number of panels in a row.
    """
    students = list(dict.fromkeys(name for term in metrics.values() for name in term))
    colours = colours or name_colours(students)
    columns = min(columns, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = new_figure(3.3 * columns, 2.35 * rows + 0.35)
    for index, (term, lines) in enumerate(metrics.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        dress(axes, term, "step" if index + columns >= len(metrics) else "")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for name, (steps, values) in lines.items():
            x, y = np.asarray(steps, float), np.asarray(values, float)
            axes.plot(x, y, color=colours[name], alpha=0.22, linewidth=0.8)
            axes.plot(x, _running_mean(y), color=colours[name], linewidth=1.8)
        axes.margins(x=0.01)
    legend_below(figure, {name: colours[name] for name in students})
    return figure


def _running_mean(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    half = max(1, len(values) // 100)
    centre = np.arange(len(values))
    low = np.maximum(centre - half, 0)
    high = np.minimum(centre + half + 1, len(values))
    # One NaN must not wipe out every mean after it.
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0.0], np.cumsum(finite)])
    count = counts[high] - counts[low]
    return np.where(count > 0, (sums[high] - sums[low]) / np.maximum(count, 1), np.nan)


@dataclasses.dataclass(frozen=True, eq=False)
class ResponsePanel:
    """One search image and how several networks respond to it.

    Attributes:
      search: The search image, RGB.
      rows: Maps by row, then by network, teacher first. The paper's figure has, for
        one layer, a row "without W", F(Q), and a row "with W", F(W Q)
        (`losses.search_response`); the final response can be another row.
      box: The target (cx, cy, w, h) in pixels of the search image, if known.
      title: Name of the example.
    """

    search: Image
    rows: Mapping[str, Mapping[str, Float[np.ndarray, "_ _"]]]
    box: Float[np.ndarray, " 4"] | None = None
    title: str = "search image"


def response_maps(
    panels: Sequence[ResponsePanel], *, shared_scale: bool = True
) -> Figure:
    """Returns a figure of search images beside the maps of teacher and students.

    Args:
      panels: Examples of the same networks, at least one.
      shared_scale: Whether all maps of a row share one colour scale, which shows if a
        student has the teacher's values; otherwise each map fills the scale, which
        shows only its pattern.

    References:
      Liu et al., "Teacher-Students Knowledge Distillation for Siamese Trackers",
      arXiv 1907.10586, Fig. 3.
    """
    names = list(dict.fromkeys(n for row in panels[0].rows.values() for n in row))
    count = sum(len(panel.rows) for panel in panels)
    figure = new_figure(1.7 * (1 + len(names)) + 0.7, 1.75 * count + 0.25)
    grid = figure.add_gridspec(count, 1 + len(names))
    top = 0
    for panel in panels:
        image = bare(figure.add_subplot(grid[top : top + len(panel.rows), 0]))
        image.imshow(panel.search)
        image.set_anchor("N")
        image.set_title(plain(panel.title), fontsize=10)
        if panel.box is not None:
            _draw_box(image, panel.box, TRUTH_COLOUR)
        for label, maps in panel.rows.items():
            cells = {
                name: bare(figure.add_subplot(grid[top, column]))
                for column, name in enumerate(names, 1)
            }
            _response_row(figure, cells, maps, shared_scale, heading=top == 0)
            next(iter(cells.values())).set_ylabel(plain(label), fontsize=9.5)
            top += 1
    return figure


def _response_row(
    figure: Figure,
    cells: Mapping[str, Axes],
    maps: Mapping[str, Float[np.ndarray, "_ _"]],
    shared_scale: bool,
    *,
    heading: bool,
) -> None:
    scale: dict[str, Any] = {}
    if shared_scale:
        scale["vmin"] = min(float(np.min(m)) for m in maps.values())
        scale["vmax"] = max(float(np.max(m)) for m in maps.values())
    shown = None
    for name, axes in cells.items():
        if heading:
            axes.set_title(plain(name), fontsize=10)
        if name in maps:
            shown = axes.imshow(maps[name], cmap="viridis", **scale)
    if shared_scale and shown is not None:
        bar = figure.colorbar(shown, ax=list(cells.values()), pad=0.015, aspect=14)
        bar.ax.tick_params(labelsize=8, length=2)
        bar.ax.spines[:].set_visible(False)


def film_strip(
    frames: Sequence[Image],
    boxes: Mapping[str, Float[np.ndarray, "_ 4"]],
    *,
    truth: Float[np.ndarray, "_ 4"] | None = None,
    labels: Sequence[str] = (),
    colours: Colours | None = None,
) -> Figure:
    """Returns a figure of a few frames in a row with the boxes of every tracker.

    Args:
      frames: N images of one size, RGB.
      boxes: N boxes (cx, cy, w, h) of each tracker, in frame pixels; a box of NaN is
        not drawn.
      truth: N true boxes, drawn yellow and dashed.
      labels: N texts above the frames, such as "frame 31"; none if empty.
      colours: Colour of each tracker; those of `name_colours` if None.
    """
    colours = colours or name_colours(boxes)
    height, width = frames[0].shape[:2]
    side = max(1.7, min(3.2, 12.0 / len(frames)))
    figure = new_figure(
        side * len(frames), side * height / width + (0.6 if labels else 0.4)
    )
    for i, frame in enumerate(frames):
        axes = bare(figure.add_subplot(1, len(frames), i + 1))
        axes.imshow(frame)
        if labels:
            axes.set_title(plain(labels[i]), fontsize=9, color=QUIET, pad=3)
        for name, rows in boxes.items():
            _draw_box(axes, rows[i], colours[name])
        if truth is not None:
            _draw_box(axes, truth[i], TRUTH_COLOUR, dashed=True)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    entries = {name: colours[name] for name in boxes}
    legend_below(figure, entries, truth=truth is not None)
    return figure


def _draw_box(
    axes: Axes, box: Float[np.ndarray, " 4"], colour: str, *, dashed: bool = False
) -> None:
    cx, cy, w, h = (float(v) for v in box)
    if not np.isfinite([cx, cy, w, h]).all():
        return
    # imshow puts the centre of pixel 0 at 0, where continuous coordinates have 0.5.
    corner = (cx - w / 2 - 0.5, cy - h / 2 - 0.5)
    dark = matplotlib.colors.to_rgb(colour) == (0.0, 0.0, 0.0)
    halo = {"linewidth": 2.8, "edgecolor": "#ffffff" if dark else "#000000"}
    line = {"linewidth": 1.5, "edgecolor": colour, "linestyle": "--" if dashed else "-"}
    axes.add_patch(Rectangle(corner, w, h, fill=False, alpha=0.55, **halo))
    axes.add_patch(Rectangle(corner, w, h, fill=False, **line))
