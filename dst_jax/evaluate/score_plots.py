"""Plots of scores: curves over thresholds, and accuracy over speed."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dst_jax.evaluate.protocols import Curve, ResetProtocol
from dst_jax.evaluate.restarts import EXPECTED_OVERLAP
from dst_jax.evaluate.score import Score, SequenceScore
from dst_jax.evaluate.style import (
    INK,
    QUIET,
    Looks,
    dress,
    name_legend,
    name_looks,
    new_figure,
    plain,
    single_panel,
)
from dst_jax.typing import Float

AnyScore: TypeAlias = Score | SequenceScore

# Places and heights of a line.
Line: TypeAlias = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]

Box: TypeAlias = tuple[float, float, float, float]

# A line that marks a place of the axis.
_MARK = {"linewidth": 0.9, "linestyle": (0, (2, 2)), "zorder": 1}
# Sizes in points of a 72nd of an inch: of a letter, and of the panel.
_POINTS_A_LETTER = 5.9
_PANEL_POINTS = (308.0, 232.0)
# Where a name may stand: its offset from the point in points, and the share of its
# width that lies to the left of that.
_SIDES = {
    "right": (9.0, 0.0, 0.0),
    "left": (-9.0, 0.0, 1.0),
    "above": (0.0, 13.0, 0.5),
    "below": (0.0, -13.0, 0.5),
    "right above": (7.0, 11.0, 0.0),
    "left below": (-7.0, -11.0, 1.0),
    "left above": (-7.0, 11.0, 1.0),
    "right below": (7.0, -11.0, 0.0),
}


def success_plot(
    scores: Mapping[str, AnyScore], *, looks: Looks | None = None
) -> Figure:
    """Returns the plot of the success rate over the overlap threshold.

    The legend holds what the protocol quotes of each tracker, such as the AUC, best
    first.

    Args:
      scores: Score of each tracker, all under one protocol.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    return _curves("Success", "Overlap threshold (IoU)", scores, "success", looks)


def precision_plot(
    scores: Mapping[str, AnyScore], *, looks: Looks | None = None
) -> Figure:
    """Returns the plot of the precision over the distance.

    The legend holds what the protocol quotes of each tracker, such as the precision at
    20 px, best first.

    Args:
      scores: Score of each tracker, all under one protocol.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    x = "Centre error threshold (px)"
    return _curves("Precision", x, scores, "precision", looks)


def norm_precision_plot(
    scores: Mapping[str, AnyScore], *, looks: Looks | None = None
) -> Figure:
    """Returns the plot of the precision over the distance in sides of the true box.

    Args:
      scores: Score of each tracker, all under one protocol that has this curve.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    x = "Centre error threshold (widths and heights of the target)"
    return _curves("Normalised precision", x, scores, "norm_precision", looks)


def expected_overlap_plot(
    scores: Mapping[str, Score], *, looks: Looks | None = None
) -> Figure:
    """Returns the plot of the overlap to expect over the length of a video.

    The lengths that EAO, the legend's number, averages over lie between dashed lines.

    Args:
      scores: Score of each tracker, all under one protocol with restarts.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    protocol = next(iter(scores.values())).protocol
    if not isinstance(protocol, ResetProtocol):
        raise ValueError(f"{protocol.name} has no restarts")
    title, x = f"Expected overlap by {protocol.name}", "Frames after a start"
    figure, axes = single_panel(title, x)
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel("Mean overlap")
    curves = {name: score.curves[EXPECTED_OVERLAP] for name, score in scores.items()}
    axes.set_xlim(0.0, float(max(map(len, curves.values()))))
    for length in (protocol.low, protocol.high):
        axes.axvline(length, color=QUIET, **_MARK)
    lines = {name: (np.arange(1.0, len(y) + 1.0), y) for name, y in curves.items()}
    measure = protocol.measures[0]
    _draw(figure, axes, scores, lines, (measure.name, measure.heading), looks)
    return figure


def score_figures(
    scores: Mapping[str, Score],
    fps: Mapping[str, float],
    *,
    looks: Looks | None = None,
) -> dict[str, Figure]:
    """Returns a plot of every curve of the protocol, and one of speed, by their names.

    Args:
      scores: Score of each tracker, at least one, all under one protocol.
      fps: Frames per second of each tracker for which they are known; without any,
        there is no plot of speed.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    protocol = next(iter(scores.values())).protocol
    looks = looks or name_looks(scores)
    draw = {
        "success": success_plot,
        "precision": precision_plot,
        "norm_precision": norm_precision_plot,
    }
    figures = {
        curve: draw[curve](scores, looks=looks)
        for curve in protocol.curves
        if protocol.leading(curve) is not None
    }
    if isinstance(protocol, ResetProtocol):
        figures["eao"] = expected_overlap_plot(scores, looks=looks)
    known = {name: fps[name] for name in scores if name in fps}
    if known:
        figures["speed"] = speed_plot(scores, known, looks=looks)
    return figures


def _curves(
    title: str,
    x: str,
    scores: Mapping[str, AnyScore],
    curve: Curve,
    looks: Looks | None,
) -> Figure:
    protocol = next(iter(scores.values())).protocol
    thresholds, leading = protocol.thresholds(curve), protocol.leading(curve)
    if leading is None:
        raise ValueError(f"{protocol.name} has no {curve} curve")
    figure, axes = single_panel(f"{title} by {protocol.name}", x)
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel("Share of frames")
    axes.set_xlim(0.0, float(thresholds[-1]))
    if leading.of == "at" and leading.at:
        axes.axvline(leading.at, color=QUIET, **_MARK)
    places = np.asarray(thresholds)
    curves = {name: (places, score.curves[curve]) for name, score in scores.items()}
    _draw(figure, axes, scores, curves, (leading.name, leading.heading), looks)
    return figure


def _draw(
    figure: Figure,
    axes: Axes,
    scores: Mapping[str, AnyScore],
    curves: Mapping[str, Line],
    measure: tuple[str, str],
    looks: Looks | None,
) -> None:
    """Draws a line per tracker, and the legend with its number, best first.

    Args:
      figure: The figure.
      axes: Its panel.
      scores: Score of each tracker.
      curves: Places and heights of each tracker's line.
      measure: Name and heading of the number.
      looks: Look of each tracker; those of `name_looks` if None.
    """
    leading, shown = measure
    looks = looks or name_looks(scores)
    ranked = sorted(scores.items(), key=lambda item: -item[1].values[leading])
    lines, labels = [], []
    for rank, (name, score) in enumerate(ranked):
        # The best curve lies on top, so that it is seen where curves coincide.
        look, above = looks[name], 3 + len(ranked) - rank
        labels.append(f"{name}  {score.values[leading]:.3f}")
        style = {"color": look.colour, "linestyle": look.dash, "zorder": above}
        lines += axes.plot(*curves[name], linewidth=2.0, **style)
    columns = 1 if len(scores) < 4 or max(map(len, scores)) > 10 else 2
    figure.set_figheight(3.4 + 0.21 * -(-len(scores) // columns))
    heading = {"title": f"tracker, {shown}", "title_fontsize": 9}
    name_legend(figure, lines, labels, ncols=columns, **heading)


def speed_plot(
    scores: Mapping[str, Score],
    fps: Mapping[str, float],
    *,
    looks: Looks | None = None,
) -> Figure:
    """Returns the plot of accuracy over speed: a marker per tracker, its name beside.

    Args:
      scores: Score of each tracker, all under one protocol, whose first measure, such
        as the AUC, is the height.
      fps: Frames per second, above 0, of each tracker that is drawn, at least one. The
        axis is logarithmic.
      looks: Look of each tracker; those of `name_looks` if None.

    References:
      Liu et al., "Teacher-Students Knowledge Distillation for Siamese Trackers",
      arXiv 1907.10586, Fig. 1.
    """
    protocol = next(iter(scores.values())).protocol
    leading = protocol.measures[0]
    looks = looks or name_looks(scores)
    figure = new_figure(5.0, 4.0)
    axes = figure.add_subplot()
    title = f"{leading.heading} by {protocol.name} over speed"
    dress(axes, title, "Speed (frames per second)")
    axes.set_xscale("log")
    axes.set_ylabel(leading.heading)
    heights = {name: scores[name].values[leading.name] for name in fps}
    for name, height in heights.items():
        look = looks[name]
        style = {"marker": look.marker, "markersize": 8, "color": look.colour}
        axes.plot([fps[name]], [height], linestyle="", **style)
    _limit(axes, list(fps.values()), list(heights.values()))
    _name_points(axes, fps, heights)
    return figure


def _limit(axes: Axes, speeds: list[float], heights: list[float]) -> None:
    """Gives the points room for their names, and the axes round numbers."""
    ratio = max(max(speeds) / min(speeds), 4.0) ** 0.2
    axes.set_xlim(min(speeds) / ratio, max(speeds) * ratio)
    margin = 0.15 * max(max(heights) - min(heights), 0.05)
    axes.set_ylim(min(heights) - margin, max(heights) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda speed, _: f"{speed:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=0)


def _name_points(
    axes: Axes,
    fps: Mapping[str, float],
    heights: Mapping[str, float],
) -> None:
    """Writes each name beside its point, where it meets no marker and no other name."""
    places = {name: _place(axes, fps[name], heights[name]) for name in heights}
    taken = [(x - 6.0, y - 6.0, x + 6.0, y + 6.0) for x, y in places.values()]
    for name, (x, y) in places.items():
        width = _POINTS_A_LETTER * len(plain(name))
        boxes = {}
        for side, (dx, dy, share) in _SIDES.items():
            left, middle = x + dx - width * share, y + dy
            boxes[side] = (left, middle - 5.0, left + width, middle + 5.0)
        free = [side for side, box in boxes.items() if _is_free(box, taken)]
        side = free[0] if free else "right"
        taken.append(boxes[side])
        dx, dy, share = _SIDES[side]
        axes.annotate(
            plain(name),
            xy=(fps[name], heights[name]),
            xytext=(dx, dy),
            textcoords="offset points",
            ha={0.0: "left", 0.5: "center", 1.0: "right"}[share],
            va="center",
            fontsize=9.5,
            color=INK,
        )


def _place(axes: Axes, speed: float, height: float) -> tuple[float, float]:
    """Returns where a point lies in the panel, in points of a 72nd of an inch."""
    shares = axes.transLimits.transform(axes.transScale.transform((speed, height)))
    return float(shares[0]) * _PANEL_POINTS[0], float(shares[1]) * _PANEL_POINTS[1]


def _is_free(box: Box, taken: list[Box]) -> bool:
    inside = box[0] > 0.0 and box[1] > 0.0
    inside &= box[2] < _PANEL_POINTS[0] and box[3] < _PANEL_POINTS[1]
    return inside and not any(_meet(box, other) for other in taken)


def _meet(box: Box, other: Box) -> bool:
    across = box[0] < other[2] and other[0] < box[2]
    return across and box[1] < other[3] and other[1] < box[3]
