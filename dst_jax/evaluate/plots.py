"""Figures of a report: curves, losses, response maps and film strips.

Every function returns a matplotlib `Figure` and touches no global state; it uses
neither `pyplot` nor a display. A name keeps its look from figure to figure when the
figures are given the same `looks`; make them once with `name_looks`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from dst_jax.evaluate.score_plots import expected_overlap_plot as expected_overlap_plot
from dst_jax.evaluate.score_plots import norm_precision_plot as norm_precision_plot
from dst_jax.evaluate.score_plots import precision_plot as precision_plot
from dst_jax.evaluate.score_plots import score_figures as score_figures
from dst_jax.evaluate.score_plots import speed_plot as speed_plot
from dst_jax.evaluate.score_plots import success_plot as success_plot
from dst_jax.evaluate.style import (
    QUIET,
    TRUTH_COLOUR,
    Look,
    Looks,
    bare,
    dress,
    legend_below,
    line_handle,
    name_legend,
    name_looks,
    new_figure,
    plain,
)
from dst_jax.evaluate.style import figure_to_jpeg_base64 as figure_to_jpeg_base64
from dst_jax.evaluate.style import figure_to_png as figure_to_png
from dst_jax.evaluate.style import figure_to_svg as figure_to_svg
from dst_jax.typing import Float, Image

# Width of a frame in the page, inches, and the least share of it that is shown.
_FRAME_WIDTH, _LEAST_SHARE = 3.2, 0.35
_TRUTH = Look(TRUTH_COLOUR, "-", "")


def loss_curves(
    metrics: Mapping[str, Mapping[str, tuple[Any, Any]]],
    *,
    looks: Looks | None = None,
    columns: int = 3,
) -> Figure:
    """Returns training curves: one panel per term, one line per student.

    Each line is a running mean over a fiftieth of the steps, drawn over the raw values.

    Args:
      metrics: (steps, values), two sequences of one length, by term and by student.
      looks: Look of each student; those of `name_looks` if None.
      columns: Number of panels in a row.
    """
    students = list(dict.fromkeys(name for term in metrics.values() for name in term))
    looks = looks or name_looks(students)
    columns = min(columns, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = new_figure(3.3 * columns, 2.35 * rows + 0.35)
    for index, (term, lines) in enumerate(metrics.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        dress(axes, term, "step" if index + columns >= len(metrics) else "")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for name, (steps, values) in lines.items():
            x, y = np.asarray(steps, float), np.asarray(values, float)
            look = looks[name]
            axes.plot(x, y, color=look.colour, alpha=0.22, linewidth=0.8)
            line = {"color": look.colour, "linestyle": look.dash, "linewidth": 1.8}
            axes.plot(x, _running_mean(y), **line)
        axes.margins(x=0.01)
    legend_below(figure, {name: looks[name] for name in students})
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


def response_over(
    search: Image,
    response: Float[np.ndarray, "n n"],
    *,
    stride: int,
    box: Float[np.ndarray, " 4"] | None = None,
) -> Figure:
    """Returns a search image, in grey, under a network's response to it.

    The response goes from dark and clear to bright and dense, each map over its own
    range; a line surrounds its upper half, and a cross marks its highest cell.

    Args:
      search: The search image, RGB.
      response: A map whose middle lies on the image's.
      stride: Image pixels per cell.
      box: The target (cx, cy, w, h) in pixels of the search image, if known.

    References:
      Liu et al., "Teacher-Students Knowledge Distillation for Siamese Trackers",
      arXiv 1907.10586, Fig. 3.
    """
    height, width = search.shape[:2]
    figure, axes = _whole_panel(height / width, width=2.6)
    axes.imshow(search.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    low, high = float(np.min(response)), float(np.max(response))
    share = (np.asarray(response, float) - low) / max(high - low, 1e-12)
    # imshow puts the centre of pixel 0 at 0.
    reach = np.array(share.shape) * stride / 2
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    edges = (
        middle_x - reach[1],
        middle_x + reach[1],
        middle_y + reach[0],
        middle_y - reach[0],
    )
    colours = matplotlib.colormaps["inferno"](share)
    colours[..., 3] = 0.25 + 0.5 * share
    axes.imshow(colours, extent=edges, interpolation="bilinear")
    rows, columns = (
        middle + (np.arange(n) - (n - 1) / 2) * stride
        for middle, n in zip((middle_y, middle_x), share.shape, strict=True)
    )
    if min(share.shape) > 1 and high > low:
        axes.contour(columns, rows, share, [0.5], colors="#ffffff", linewidths=0.9)
    row, column = np.unravel_index(int(np.argmax(share)), share.shape)
    (cross,) = axes.plot([columns[column]], [rows[row]], "+", color="#ffffff")
    cross.set(markersize=11, markeredgewidth=1.6)
    cross.set_path_effects([withStroke(linewidth=3.2, foreground="#000000")])
    if box is not None:
        _draw_box(axes, box, _TRUTH)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


def overlap_plot(
    overlaps: Mapping[str, Float[np.ndarray, " t"]],
    *,
    marks: Sequence[int] = (),
    looks: Looks | None = None,
) -> Figure:
    """Returns the plot of the overlap with the truth over the frames of one video.

    Args:
      overlaps: Overlap of each tracker in every frame; NaN where there is no truth.
      marks: Numbers of frames, counted from 0, that get an upright line.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    looks = looks or name_looks(overlaps)
    figure = new_figure(4.6, 3.4)
    axes = figure.add_subplot()
    dress(axes, "Overlap with the truth", "frame")
    for mark in marks:
        axes.axvline(mark, color="#b6bec7", linewidth=0.9, zorder=1)
    for name, values in overlaps.items():
        line = {"color": looks[name].colour, "linestyle": looks[name].dash}
        axes.plot(np.arange(len(values)), values, linewidth=1.8, **line)
    axes.set(ylim=(0.0, 1.02), xlim=(0.0, max(map(len, overlaps.values())) - 1 or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    names = list(overlaps)
    name_legend(figure, [line_handle(looks[n]) for n in names], names, ncols=2)
    return figure


def film_frame(
    frame: Image,
    boxes: Mapping[str, Float[np.ndarray, " 4"]],
    *,
    truth: Float[np.ndarray, " 4"] | None = None,
    looks: Looks | None = None,
) -> Figure:
    """Returns a figure of one frame, cut to the part around the boxes.

    Args:
      frame: The image, RGB.
      boxes: Box (cx, cy, w, h) of each tracker, in frame pixels; a box of NaN is not
        drawn.
      truth: The true box, drawn yellow, wide and solid.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    height, width = frame.shape[:2]
    shown = [*boxes.values(), *([] if truth is None else [truth])]
    left, top, share = _part(height, width, shown)
    figure, axes = _whole_panel(height / width, width=_FRAME_WIDTH)
    _draw_frame(axes, frame, boxes, truth, looks or name_looks(boxes))
    axes.set(
        xlim=(left - 0.5, left + share * width - 0.5),
        ylim=(top + share * height - 0.5, top - 0.5),
    )
    return figure


def film_legend(looks: Looks) -> Figure:
    """Returns the legend of frames: the looks of trackers, and that of the truth."""
    figure = new_figure(5.2, 0.24 * -(-(len(looks) + 1) // 3) + 0.1)
    legend_below(figure, looks, truth=True, columns=3)
    return figure


def film_strip(
    frames: Sequence[Image],
    boxes: Mapping[str, Float[np.ndarray, "_ 4"]],
    *,
    truth: Float[np.ndarray, "_ 4"] | None = None,
    labels: Sequence[str] = (),
    looks: Looks | None = None,
) -> Figure:
    """Returns a figure of a few frames in a row with the boxes of every tracker.

    Args:
      frames: N images of one size, RGB.
      boxes: N boxes (cx, cy, w, h) of each tracker, in frame pixels; a box of NaN is
        not drawn.
      truth: N true boxes, drawn yellow, wide and solid.
      labels: N texts above the frames, such as "frame 31"; none if empty.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    looks = looks or name_looks(boxes)
    height, width = frames[0].shape[:2]
    side = max(1.7, min(3.2, 12.0 / len(frames)))
    figure = new_figure(
        side * len(frames), side * height / width + (0.6 if labels else 0.4)
    )
    for i, frame in enumerate(frames):
        axes = bare(figure.add_subplot(1, len(frames), i + 1))
        if labels:
            axes.set_title(plain(labels[i]), fontsize=9, color=QUIET, pad=3)
        own = {name: rows[i] for name, rows in boxes.items()}
        _draw_frame(axes, frame, own, None if truth is None else truth[i], looks)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    entries = {name: looks[name] for name in boxes}
    legend_below(figure, entries, truth=truth is not None)
    return figure


def _whole_panel(ratio: float, *, width: float) -> tuple[Figure, Axes]:
    """Returns a figure of `width` inches that is all panel, `ratio` times as high."""
    figure = Figure(figsize=(width, width * ratio), facecolor="white")
    return figure, bare(figure.add_axes((0.0, 0.0, 1.0, 1.0)))


def _part(
    height: int, width: int, boxes: Sequence[Float[np.ndarray, " 4"]]
) -> tuple[float, float, float]:
    """Returns left, top and share of the part of a frame that shows all boxes."""
    known = np.array([box for box in boxes if np.isfinite(box).all()]).reshape(-1, 4)
    if not len(known):
        return 0.0, 0.0, 1.0
    size = np.array([width, height], float)
    low = np.min(known[:, :2] - known[:, 2:] / 2, axis=0)
    high = np.max(known[:, :2] + known[:, 2:] / 2, axis=0)
    share = float(np.clip(1.6 * np.max((high - low) / size), _LEAST_SHARE, 1.0))
    corner = (low + high) / 2 - share * size / 2
    left, top = np.clip(corner, 0.0, (1.0 - share) * size)
    return float(left), float(top), share


def _draw_frame(
    axes: Axes,
    frame: Image,
    boxes: Mapping[str, Float[np.ndarray, " 4"]],
    truth: Float[np.ndarray, " 4"] | None,
    looks: Looks,
) -> None:
    axes.imshow(frame)
    if truth is not None:
        _draw_box(axes, truth, _TRUTH, width=2.4)
    for name, box in boxes.items():
        _draw_box(axes, box, looks[name])


def _draw_box(
    axes: Axes, box: Float[np.ndarray, " 4"], look: Look, *, width: float = 1.6
) -> None:
    cx, cy, w, h = (float(v) for v in box)
    if not np.isfinite([cx, cy, w, h]).all():
        return
    # imshow puts the centre of pixel 0 at 0, where continuous coordinates have 0.5.
    corner = (cx - w / 2 - 0.5, cy - h / 2 - 0.5)
    dark = matplotlib.colors.to_rgb(look.colour) == (0.0, 0.0, 0.0)
    halo = {"linewidth": width + 1.4, "edgecolor": "#ffffff" if dark else "#000000"}
    line = {"linewidth": width, "edgecolor": look.colour, "linestyle": look.dash}
    axes.add_patch(Rectangle(corner, w, h, fill=False, alpha=0.6, **halo))
    axes.add_patch(Rectangle(corner, w, h, fill=False, **line))
