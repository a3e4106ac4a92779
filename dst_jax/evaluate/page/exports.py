r"""The numbers of a page for other programs: CSV, LaTeX and JSON.

Example:
  >>> print(latex_text("50 % of a_b"))
  50 \% of a\_b
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from dst_jax.errors import printable
from dst_jax.evaluate.page.comparison import comparisons
from dst_jax.evaluate.page.content import Benchmark, Entry
from dst_jax.evaluate.page.verdict import verdict
from dst_jax.evaluate.report import scores_json

_COLUMNS = ("dataset", "protocol", "tracker", "network", "student", "row", "seed")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def page_csv(benchmarks: Sequence[Benchmark]) -> str:
    """Returns every number as CSV: a line per network, and one for each sequence.

    The sequence of a network's means is empty.

    Args:
      benchmarks: The benchmarks of the page.
    """
    measures = dict.fromkeys(
        measure.name
        for benchmark in benchmarks
        for measure in benchmark.entries[0].score.protocol.measures
    )
    out = io.StringIO()
    names = [
        *_COLUMNS,
        "sequence",
        *measures,
        "frames",
        "fps",
        "gate_open",
        "parameters",
        *_stages(benchmarks),
    ]
    table = csv.DictWriter(out, names, restval="", lineterminator="\n")
    table.writeheader()
    for benchmark in benchmarks:
        for entry in benchmark.entries:
            table.writerows(_lines(benchmark, entry))
    return out.getvalue()


def _lines(benchmark: Benchmark, entry: Entry) -> list[dict[str, Any]]:
    lines = []
    for network in entry.networks:
        score = network.score
        own = {
            "dataset": printable(benchmark.dataset),
            "protocol": score.protocol.name,
            "tracker": printable(entry.name),
            "network": printable(network.name),
            "student": printable(entry.student),
            "row": printable(entry.row),
            "seed": network.seed,
        }
        more = {
            "fps": network.fps,
            "gate_open": network.gate_open,
            "parameters": entry.parameters,
            **{f"fps, {name}": fps for name, fps in network.stages.items()},
        }
        lines.append({**own, **score.values, **more})
        for name, part in score.sequences.items():
            named = {"sequence": printable(name), "frames": part.frames}
            lines.append({**own, **named, **part.values})
    return lines


def _stages(benchmarks: Sequence[Benchmark]) -> list[str]:
    """Returns the columns of the speeds of stages."""
    entries = (entry for benchmark in benchmarks for entry in benchmark.entries)
    networks = (network for entry in entries for network in entry.networks)
    return list(
        dict.fromkeys(f"fps, {name}" for one in networks for name in one.stages)
    )


def page_latex(benchmarks: Sequence[Benchmark]) -> str:
    """Returns a `tabular` of the trackers' numbers for each benchmark.

    Args:
      benchmarks: The benchmarks of the page.
    """
    return "\n\n".join(map(_tabular, benchmarks)) + "\n"


def _tabular(benchmark: Benchmark) -> str:
    protocol = benchmark.entries[0].score.protocol
    headings = ["tracker", *(measure.heading for measure in protocol.measures)]
    sizes = any(entry.parameters for entry in benchmark.entries)
    speeds = bool(benchmark.speeds)
    headings += ["parameters"] * sizes + ["frames/s"] * speeds
    lines = []
    for entry in benchmark.entries:
        cells = [latex_text(entry.name)]
        for measure in protocol.measures:
            value, spread = entry.score.values[measure.name], entry.spread(measure.name)
            more = "" if spread is None else rf" $\pm$ {spread:.3f}"
            cells.append(f"{value:.3f}{more}")
        if sizes:
            cells.append(f"{entry.parameters:,}" if entry.parameters else "--")
        if speeds:
            cells.append("--" if entry.fps is None else f"{entry.fps:.0f}")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join(
        [
            f"% {printable(benchmark.dataset)} by {protocol.name}",
            rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"\hline",
            " & ".join(map(latex_text, headings)) + r" \\",
            r"\hline",
            *lines,
            r"\hline",
            r"\end{tabular}",
        ]
    )


def latex_text(text: str) -> str:
    """Returns plain text as LaTeX sets it letter by letter."""
    return "".join(_LATEX.get(letter, letter) for letter in printable(text))


def page_json(
    benchmarks: Sequence[Benchmark], provenance: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the content of a page as JSON values.

    Args:
      benchmarks: The benchmarks of the page.
      provenance: What the page was made of.

    Returns:
      `provenance`, and `benchmarks`: for each what `scores_json` returns, `verdict`,
      `differences`, and under `networks` the seeds, speeds and gates of each tracker.
    """
    return {
        "provenance": dict(provenance),
        "benchmarks": [_benchmark_json(benchmark) for benchmark in benchmarks],
    }


def _benchmark_json(benchmark: Benchmark) -> dict[str, Any]:
    scores = scores_json(
        benchmark.scores, dataset=benchmark.dataset, fps=benchmark.speeds
    )
    return {
        **scores,
        "verdict": verdict(benchmark),
        "differences": [dataclasses.asdict(one) for one in comparisons(benchmark)],
        "networks": {
            entry.name: [
                {
                    "name": network.name,
                    "student": entry.student,
                    "row": entry.row,
                    "seed": network.seed,
                    "fps": network.fps,
                    "stages": dict(network.stages),
                    "gate_open": network.gate_open,
                    "parameters": entry.parameters,
                    **network.score.values,
                }
                for network in entry.networks
            ]
            for entry in benchmark.entries
        },
    }
