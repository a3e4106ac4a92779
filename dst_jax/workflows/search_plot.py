"""Plots reward, accuracy and compression over the steps of a search."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dst_jax.evaluate.style import PALETTE, QUIET, dress, new_figure
from dst_jax.search import Trial

PANELS = {
    "reward": "Reward R, eq. 6",
    "accuracy": "Accuracy, eq. 7",
    "compression": "Compression C",
}


def search_plot(trials: Sequence[Trial]) -> Figure:
    """Returns a figure with candidates as points and means of steps as lines.

    It follows the paper's Fig. 4. Candidates without a network have no points for
    accuracy and compression; their reward is -1.
    """
    figure = new_figure(9.6, 2.9)
    for number, (field, title) in enumerate(PANELS.items()):
        axes = figure.add_subplot(1, len(PANELS), number + 1)
        dress(axes, title, "step")
        shown = [t for t in trials if field == "reward" or t.spec is not None]
        steps = np.array([t.step + 1 for t in shown])
        values = np.array([getattr(t, field) for t in shown])
        colour = PALETTE[number]
        axes.scatter(steps, values, s=12, color=colour, alpha=0.35, linewidths=0)
        if len(shown):
            numbers = np.unique(steps)
            means = [values[steps == step].mean() for step in numbers]
            axes.plot(numbers, means, color=colour, linewidth=1.8)
        if field == "reward":
            best = np.maximum.accumulate(values)
            axes.plot(
                steps, best, "--", color=QUIET, linewidth=1.2, label="best so far"
            )
            axes.legend(frameon=False, fontsize=9)
            axes.set_ylim(bottom=max(values.min(), -1.05) - 0.02)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.margins(x=0.02)
    return figure
