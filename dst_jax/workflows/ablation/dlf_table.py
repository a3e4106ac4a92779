"""Shows the rows of DLF: networks and scores, last values of terms, the poster."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dst_jax.workflows.ablation.cells import Shown, decimals, with_spread
from dst_jax.workflows.ablation.dlf import TABLE
from dst_jax.workflows.ablation.order import METRICS

_NETWORK = ("row", "student", "n", "parameters", "rate", *METRICS.values(), "fps")
# Parameters in millions, how many times fewer than SiamDW's, and frames/s.
_POSTER = {
    "SiamDW": ("1.445", "", "53"),
    "SiamDW, student L": (".354", "4.08", "73"),
    "SiamDW, student S": (".136", "10.62", "80"),
}
_UNPUBLISHED = "OTB figures not published"


def dlf_tables(report: Mapping[str, Any]) -> Iterator[Shown]:
    """Yields the tables of DLF, if the report has its rows.

    Args:
      report: The report, as `ablation_json` makes it.
    """
    lines = [line for line in report["lines"] if line["table"] == TABLE]
    if not lines:
        return
    teacher = report["references"]["teacher"]
    notes = [
        f"{line['row']} ({line['student']}) is the same training as "
        f"{line['same_training_as']}."
        for line in lines
        if line["same_training_as"]
    ]
    for dataset in report["datasets"]:
        rows = [_reference_cells("teacher", teacher, dataset)]
        rows += [_cells(line, teacher["parameters"], dataset) for line in lines]
        rows.append(_reference_cells("still", report["references"]["still"], dataset))
        title = f"{TABLE}: features imitated point by point and pair by pair"
        yield Shown(f"{title}, on {dataset}", _NETWORK, rows, notes)
    yield _of_terms(lines)
    poster = [[name, *values, _UNPUBLISHED] for name, values in _POSTER.items()]
    headings = ("network", "M parameters", "rate", "fps", "AUC, P@20")
    yield Shown(f"{TABLE} on its poster", headings, poster, words=1)


def _of_terms(lines: Sequence[Mapping[str, Any]]) -> Shown:
    """Returns the table of what terms add to the loss at the end of training."""
    names = list(dict.fromkeys(term for line in lines for term in line["terms"]))
    rows = [
        [
            line["row"],
            line["student"],
            *(_term(line["terms"].get(name)) for name in names),
        ]
        for line in lines
    ]
    note = "Means over the seeds of the last values in the log, times their weights."
    title = f"{TABLE}: last values of the terms"
    return Shown(title, ("row", "student", *names), rows, [note])


def _term(value: Mapping[str, Any] | None) -> str:
    return "" if value is None else f"{value['mean']:.3g}"


def _cells(line: Mapping[str, Any], teacher: int, dataset: str) -> list[str]:
    scores = line["scores"][dataset]
    return [
        line["row"],
        line["student"],
        str(len(line["seeds"])),
        f"{line['parameters']:,}",
        f"{teacher / line['parameters']:.2f}",
        *(with_spread(scores[metric]) for metric in METRICS),
        f"{scores['fps']['mean']:.0f}",
    ]


def _reference_cells(name: str, outcome: Mapping[str, Any], dataset: str) -> list[str]:
    scores, size = outcome["scores"][dataset], outcome["parameters"]
    return [
        name,
        "",
        "",
        "" if size is None else f"{size:,}",
        "",
        *(decimals(scores[metric]) for metric in METRICS),
        "" if scores["fps"] is None else f"{scores['fps']:.0f}",
    ]
