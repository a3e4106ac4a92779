"""Tables and plot of scripts/compare_policies.py, from the results of its seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from claim_table import t_interval
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dst_jax.evaluate.style import PALETTE, QUIET, dress, new_figure

# Samplers by the names that tables and plots give them.
SAMPLERS: Mapping[str, Literal["policy", "uniform"]] = {
    "REINFORCE": "policy",
    "random": "uniform",
}
UNIFORM_WIDTH = "uniform width"
LAST = "REINFORCE, last step"
# Of a judged network: its scores in the setting of the search.
CANDIDATE = "as candidate"
PANELS = {
    "reward": "Reward R, eq. 6",
    "accuracy": "Accuracy, eq. 7",
    "compression": "Compression C",
}
_COLOURS = {"REINFORCE": PALETTE[1], "random": PALETTE[0], UNIFORM_WIDTH: QUIET}
# Steps over which the plot averages: single steps have few candidates.
SMOOTHED = 5

# Results by seed: of each sampler numbers by step and candidate, and what was judged.
Results = Mapping[int, Mapping[str, Any]]


def step_means(values: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Returns the mean of each step's candidates that have a value, NaN for none."""
    found = [[v for v in step if v is not None] for step in values]
    return np.array([np.mean(step) if step else np.nan for step in found])


def quarters(values: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Returns the means over the first and the last quarter of the steps."""
    means = step_means(values)
    quarter = max(len(means) // 4, 1)
    return float(np.nanmean(means[:quarter])), float(np.nanmean(means[-quarter:]))


def smoothed(means: np.ndarray, steps: int = SMOOTHED) -> np.ndarray:
    """Returns the mean of each step with those before it, `steps` at most."""
    starts = [max(end - steps, 0) for end in range(1, len(means) + 1)]
    return np.array([np.nanmean(means[s : e + 1]) for e, s in enumerate(starts)])


def search_table(results: Results) -> str:
    """Returns a table of the rewards that the searches saw, a row for each."""
    lines = [
        "| seed | sampler | mean reward | first, last quarter | best reward |",
        "|---|---|---|---|---|",
    ]
    for seed, found in sorted(results.items()):
        for name in SAMPLERS:
            if name not in found:
                continue
            rewards = found[name]["reward"]
            first, last = quarters(rewards)
            mean, best = np.mean(rewards), np.max(rewards)
            numbers = f"{mean:.3f} | {first:.3f}, {last:.3f} | {best:.3f}"
            lines.append(f"| {seed} | {name} | {numbers} |")
    return "\n".join(lines)


def judged_table(results: Results) -> str:
    """Returns a table of the networks that were trained anew, a row for each."""
    lines = [
        "| seed | network | widths; kernels | parameters | MMACs | accuracy | reward |",
        "|---|---|---|---|---|---|---|",
    ]
    for seed, found in sorted(results.items()):
        for name, one in found.get("judged", {}).items():
            shape = "; ".join(
                ", ".join(map(str, one[field])) for field in ("widths", "kernels")
            )
            size = f"{one['parameters']:,} | {one['search_macs'] / 1e6:.2f}"
            mean = {field: np.mean(one[field]) for field in ("accuracy", "reward")}
            scores = f"{mean['accuracy']:.3f} | {mean['reward']:.3f}"
            lines.append(f"| {seed} | {name} | {shape} | {size} | {scores} |")
    return "\n".join(lines)


def _last_quarter(values: Sequence[Sequence[float | None]]) -> float:
    return quarters(values)[1]


def _rise(values: Sequence[Sequence[float | None]]) -> float:
    first, last = quarters(values)
    return last - first


# What of both searches' rewards is compared.
_OF_SEARCHES: Mapping[str, Callable[[Any], Any]] = {
    "mean reward": np.mean,
    "last quarter": _last_quarter,
    "last quarter less first": _rise,
    "best reward": np.max,
}


def difference_table(results: Results) -> str:
    """Returns a table of REINFORCE less random search and less a uniform width.

    Its intervals are Student's 95 % intervals of the mean over seeds.
    """
    ours, theirs = SAMPLERS
    lines = [
        "| rewards | difference | 95 % | ahead | by seed |",
        "|---|---|---|---|---|",
    ]
    seeds = [found for _, found in sorted(results.items())]
    both = [found for found in seeds if ours in found and theirs in found]
    for name, measure in _OF_SEARCHES.items():
        values = [
            float(measure(found[ours]["reward"]) - measure(found[theirs]["reward"]))
            for found in both
        ]
        lines += _difference_line(f"{ours} - {theirs}, {name}", values)
    anew = [
        {name: float(np.mean(one["reward"])) for name, one in found["judged"].items()}
        for found in seeds
        if "judged" in found
    ]
    for first in (ours, LAST):
        for second in (theirs, UNIFORM_WIDTH):
            values = [means[first] - means[second] for means in anew]
            lines += _difference_line(f"{first} - {second}, trained anew", values)
    return "\n".join(lines)


def _difference_line(name: str, values: Sequence[float]) -> list[str]:
    if not values:
        return []
    ends = t_interval(values)
    reach = f"{ends[0]:+.3f} to {ends[1]:+.3f}" if ends else ""
    ahead = f"{sum(value > 0 for value in values)} of {len(values)}"
    by_seed = ", ".join(f"{value:+.3f}" for value in values)
    return [f"| {name} | {np.mean(values):+.3f} | {reach} | {ahead} | {by_seed} |"]


def policies_plot(results: Results) -> Figure:
    """Returns a figure after the paper's Fig. 4: means over seeds and their spread.

    Each sampler has a line, the mean over seeds of running means of steps, and a band
    from the lowest to the highest seed. The dashed line is a uniform width of the size
    that REINFORCE has found, trained and scored as a candidate of the search.
    """
    figure = new_figure(9.6, 3.1)
    for number, (field, title) in enumerate(PANELS.items()):
        axes = figure.add_subplot(1, len(PANELS), number + 1)
        dress(axes, title, "step")
        for name in SAMPLERS:
            curves = [
                smoothed(step_means(found[name][field]))
                for found in results.values()
                if name in found
            ]
            if not curves:
                continue
            steps, colour = np.arange(1, len(curves[0]) + 1), _COLOURS[name]
            low, high = np.min(curves, axis=0), np.max(curves, axis=0)
            axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(steps, np.mean(curves, axis=0), color=colour, label=name)
        even = [
            found["judged"][UNIFORM_WIDTH][CANDIDATE][field]
            for found in results.values()
            if "judged" in found
        ]
        if even:
            mean, colour = float(np.mean(even)), _COLOURS[UNIFORM_WIDTH]
            axes.axhline(mean, linestyle="--", color=colour, label=UNIFORM_WIDTH)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.margins(x=0.02)
    # Compression leaves most room: random search stays below the other lines.
    figure.axes[-1].legend(frameon=False, fontsize=9, loc="lower right")
    return figure
