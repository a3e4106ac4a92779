"""Plots of scores: curves over thresholds, and accuracy over speed."""

from collections.abc import Mapping
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dst_jax.evaluate.protocols import Curve
from dst_jax.evaluate.score import Score, SequenceScore
from dst_jax.evaluate.style import (
    QUIET,
    Colours,
    dress,
    line_styles,
    name_colours,
    name_legend,
    new_figure,
    plain,
    single_panel,
)

AnyScore: TypeAlias = Score | SequenceScore

_MARKERS = "osD^vPX*"


def success_plot(
    scores: Mapping[str, AnyScore], *, colours: Colours | None = None
) -> Figure:
    """Returns the plot of the success rate over the overlap threshold.

    The legend holds what the protocol quotes of each tracker, such as the AUC, best
    first.

    Args:
      scores: Score of each tracker, all under one protocol.
      colours: Colour of each tracker; those of `name_colours` if None.
    """
    figure, axes = single_panel("Success", "Overlap threshold (IoU)")
    _curves(figure, axes, scores, "success", colours)
    return figure


def precision_plot(
    scores: Mapping[str, AnyScore], *, colours: Colours | None = None
) -> Figure:
    """Returns the plot of the precision over the distance.

    The legend holds what the protocol quotes of each tracker, such as the precision at
    20 px, best first.

    Args:
      scores: Score of each tracker, all under one protocol.
      colours: Colour of each tracker; those of `name_colours` if None.
    """
    figure, axes = single_panel("Precision", "Centre error threshold (px)")
    _curves(figure, axes, scores, "precision", colours)
    return figure


def norm_precision_plot(
    scores: Mapping[str, AnyScore], *, colours: Colours | None = None
) -> Figure:
    """Returns the plot of the precision over the distance in sides of the true box.

    Args:
      scores: Score of each tracker, all under one protocol that has this curve.
      colours: Colour of each tracker; those of `name_colours` if None.
    """
    x = "Centre error threshold (widths and heights of the target)"
    figure, axes = single_panel("Normalised precision", x)
    _curves(figure, axes, scores, "norm_precision", colours)
    return figure


def _curves(
    figure: Figure,
    axes: Axes,
    scores: Mapping[str, AnyScore],
    curve: Curve,
    colours: Colours | None,
) -> None:
    protocol = next(iter(scores.values())).protocol
    thresholds, leading = protocol.thresholds(curve), protocol.leading(curve)
    if leading is None:
        raise ValueError(f"{protocol.name} has no {curve} curve")
    axes.set_ylim(0.0, 1.02)
    axes.set_ylabel("Share of frames")
    axes.set_xlim(0.0, float(thresholds[-1]))
    if leading.of == "at" and leading.at:
        style = {"linewidth": 0.9, "linestyle": (0, (2, 2)), "zorder": 1}
        axes.axvline(leading.at, color=QUIET, **style)
    colours = colours or name_colours(scores)
    dashes = line_styles({name: colours[name] for name in scores})
    ranked = sorted(scores.items(), key=lambda item: -item[1].values[leading.name])
    lines, labels = [], []
    for rank, (name, score) in enumerate(ranked):
        # The best curve lies on top, so that it is seen where curves coincide.
        style = {"color": colours[name], "zorder": 3 + len(ranked) - rank}
        labels.append(f"{name}  {score.values[leading.name]:.3f}")
        y = score.curves[curve]
        lines += axes.plot(thresholds, y, dashes[name], linewidth=2.0, **style)
    columns = 1 if len(scores) < 4 or max(map(len, scores)) > 20 else 2
    figure.set_figheight(3.4 + 0.21 * -(-len(scores) // columns))
    title = {"title": f"tracker, {leading.heading}", "title_fontsize": 9}
    name_legend(figure, lines, labels, ncols=columns, **title)


def speed_plot(
    scores: Mapping[str, Score],
    fps: Mapping[str, float],
    *,
    colours: Colours | None = None,
) -> Figure:
    """Returns the plot of accuracy over speed: a marker per tracker, its name beside.

    Args:
      scores: Score of each tracker, all under one protocol, whose first measure, such
        as the AUC, is the height.
      fps: Frames per second, above 0, of each tracker that is drawn, at least one. The
        axis is logarithmic.
      colours: Colour of each tracker; those of `name_colours` if None.

    References:
      Liu et al., "Teacher-Students Knowledge Distillation for Siamese Trackers",
      arXiv 1907.10586, Fig. 1.
    """
    leading = next(iter(scores.values())).protocol.measures[0]
    colours = colours or name_colours(scores)
    figure = new_figure(6.0, 4.2)
    axes = figure.add_subplot()
    dress(axes, f"{leading.heading} over speed", "Speed (frames per second)")
    axes.set_xscale("log")
    axes.set_ylabel(leading.heading)
    heights = {name: scores[name].values[leading.name] for name in fps}
    for number, (name, height) in enumerate(heights.items()):
        marker = _MARKERS[number % len(_MARKERS)]
        axes.plot([fps[name]], [height], marker, markersize=8, color=colours[name])
    _limit(axes, list(fps.values()), list(heights.values()))
    _name_points(axes, fps, heights, colours)
    return figure


def _limit(axes: Axes, speeds: list[float], heights: list[float]) -> None:
    """Gives the points room for their names, and the axes round numbers."""
    low, high = min(speeds), max(speeds)
    ratio = max(high / low, 4.0) ** 0.12
    axes.set_xlim(low / ratio, high * ratio * max(high / low, 4.0) ** 0.3)
    spread = max(max(heights) - min(heights), 0.05)
    axes.set_ylim(min(heights) - 0.15 * spread, max(heights) + 0.15 * spread)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda speed, _: f"{speed:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _name_points(
    axes: Axes,
    fps: Mapping[str, float],
    heights: Mapping[str, float],
    colours: Colours,
) -> None:
    """Writes each name to the right of its point, moved up where names would meet."""
    low, high = axes.get_ylim()
    step = 0.055 * (high - low)
    taken: list[float] = []
    for name in sorted(heights, key=lambda name: heights[name]):
        height = max([heights[name], *(place + step for place in taken[-1:])])
        taken.append(height)
        axes.annotate(
            plain(name),
            xy=(fps[name], heights[name]),
            xytext=(9, (height - heights[name]) / (high - low) * 230),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=colours[name],
        )
