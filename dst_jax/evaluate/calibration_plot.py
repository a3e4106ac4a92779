"""Plots how often boxes were right against the probability that was said of them."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from dst_jax.evaluate.calibration import Reliability
from dst_jax.evaluate.style import PALETTE, QUIET, dress, name_legend, new_figure

_MARKERS = "osD^"


def reliability_plot(reliabilities: Mapping[str, Reliability]) -> Figure:
    """Returns the plot of the share of right boxes over their probability.

    Probabilities that hold lie on the dashed line. Below, bars show how many of the
    frames have each. The legend holds the mean distance from the line.

    Args:
      reliabilities: What was found, by data set, at least one and at most four.
    """
    figure = new_figure(4.6, 5.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
    dress(above, "Boxes that overlap by more than half", "")
    dress(below, "", "Probability said of them")
    above.set_ylabel("Share of frames")
    below.set_ylabel("Frames")
    above.set(xlim=(0.0, 1.0), ylim=(0.0, 1.02))
    above.plot([0.0, 1.0], [0.0, 1.0], "--", color=QUIET, linewidth=0.9)
    lines, labels = [], []
    for number, (name, found) in enumerate(reliabilities.items()):
        colour, used = PALETTE[number], found.frames > 0
        style = f"{_MARKERS[number]}-"
        line = above.plot(found.said[used], found.right[used], style, color=colour)
        lines += line
        labels.append(f"{name}  {found.error:.3f}")
        width = np.diff(found.edges) / len(reliabilities)
        shares = found.frames / found.frames.sum()
        left = found.edges[:-1] + number * width
        below.bar(left, shares, width, align="edge", color=colour, linewidth=0)
    heading = {"title": "data set, calibration error", "title_fontsize": 9}
    name_legend(figure, lines, labels, ncols=1, **heading)
    return figure
