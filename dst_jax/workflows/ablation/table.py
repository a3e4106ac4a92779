"""Makes the tables of an ablation: statistics over seeds beside the paper's results."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

from dst_jax.evaluate import OTB
from dst_jax.workflows.ablation.cells import Shown, decimals, megabytes, with_spread
from dst_jax.workflows.ablation.dlf_table import dlf_tables
from dst_jax.workflows.ablation.loretrack import loretrack_tables, network_json
from dst_jax.workflows.ablation.order import METRICS, SHUT, order_of_rows
from dst_jax.workflows.ablation.paper import TABLE_6_VALUES, paper_scores
from dst_jax.workflows.ablation.plan import (
    TEACHER,
    Line,
    Plan,
    Training,
    by_size,
    family,
)
from dst_jax.workflows.printing import say, shown

# The results of one network: parameters, megabytes, gate_open, scores and, of what was
# trained, the last values of its terms.
Outcome: TypeAlias = dict[str, Any]
Results: TypeAlias = dict[tuple[Training, int, str], Outcome]

MEASURED = (*METRICS, "op_50", "fps")
HEADINGS = ("row", "student", "n", "AUC", "P@20", "MB", "fps", "gates", "AUC", "P@20")
TITLES = {
    "Table 4": "terms of the objective, dull student",
    "Table 5": "learning without and with teacher and sharing",
    "Table 6": "students without and with teacher and sharing",
    "Fig. 6": "number of students that share",
}
READING = (
    f"Scores are those of {OTB.name}, means over n seeds, in brackets the sample "
    "standard deviation (n - 1) of the seeds. MB: parameters as float32, in 10^6 "
    "bytes. fps: frames/s end to end, decoding included. gates: share of training "
    "steps, or of examples where each has its own, in which the sharing gate (eq. 22) "
    "was open; shut: in none, so the row is TSKD. The last two columns, and the second "
    "table of Table 6, are the paper's, on OTB-100 (Table 6: VOT2019, LaSOT and "
    "TrackingNet) with networks, data and training of its own: compare the order of "
    "rows, not the numbers."
)


def ablation_json(
    plan: Plan,
    results: Results,
    references: Mapping[str, Outcome],
    datasets: Sequence[str],
) -> dict[str, Any]:
    """Returns the whole report as JSON values, without rows that have no result yet.

    Args:
      plan: The rows of the tables.
      results: Results by training, seed and student.
      references: Results of "teacher", if there is one, and of "still", a box that
        never moves.
      datasets: Names of the data sets in `results`, in the order of the report.
    """
    lines = [
        _line_json(plan, line, student, results, datasets)
        for line in plan.lines
        for student in line.students
        if _seeds(plan, line, student, results)
    ]
    _note_repeats(lines)
    return {
        "family": family(plan.experiment.students),
        "reading": READING,
        "seeds": list(plan.seeds),
        "datasets": list(datasets),
        "references": dict(references),
        "lines": lines,
        "teacher_row": plan.shows_teacher,
        "order": [
            found
            for name in datasets
            for found in order_of_rows(
                lines, name, teacher=_teacher(plan, references, name)
            )
        ],
    }


def _teacher(
    plan: Plan, references: Mapping[str, Outcome], dataset: str
) -> dict[str, Any] | None:
    """Returns the teacher as a line of Table 6, if that has it."""
    if not plan.shows_teacher:
        return None
    scores = references[TEACHER]["scores"][dataset]
    same = {
        metric: {"values": [scores[metric]] * len(plan.seeds)} for metric in METRICS
    }
    kind = family(plan.experiment.students)
    return {
        "table": "Table 6",
        "row": TEACHER,
        "seeds": list(plan.seeds),
        "scores": {dataset: same},
        "paper": paper_scores(kind, "Table 6", TEACHER),
    }


def _line_json(
    plan: Plan, line: Line, student: str, results: Results, datasets: Sequence[str]
) -> dict[str, Any]:
    seeds = _seeds(plan, line, student, results)
    outcomes = [results[line.training, seed, student] for seed in seeds]
    shares = [o["gate_open"] for o in outcomes if o["gate_open"] is not None]
    return {
        "table": line.table,
        "row": line.row,
        "student": student,
        "training": [line.training.row, *line.training.group],
        "same_training_as": None,
        "seeds": seeds,
        "parameters": outcomes[0]["parameters"],
        "megabytes": outcomes[0]["megabytes"],
        "terms": _terms(outcomes),
        "network": network_json(plan.students[student]),
        "gate_open": spread(shares) if shares else None,
        "gates": None if not shares else "open at times" if any(shares) else SHUT,
        "scores": {
            name: {
                metric: spread([o["scores"][name][metric] for o in outcomes])
                for metric in MEASURED
            }
            for name in datasets
        },
        "paper": _paper(plan, line.table, line.row, student),
    }


def _terms(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Returns the last values of terms that all outcomes have."""
    # Records of an older release have none.
    every = [outcome.get("terms", {}) for outcome in outcomes]
    names = [name for name in every[0] if all(name in one for one in every)]
    return {name: spread([one[name] for one in every]) for name in names}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Returns mean and sample standard deviation of values, and the values.

    The standard deviation of a single value is None.

    Example:
      >>> spread([1.0, 3.0])
      {'mean': 2.0, 'sd': 1.4142135623730951, 'values': [1.0, 3.0]}
    """
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd, "values": list(values)}


def _seeds(plan: Plan, line: Line, student: str, results: Results) -> list[int]:
    return [s for s in plan.seeds if (line.training, s, student) in results]


def _paper(plan: Plan, table: str, row: str, student: str) -> dict[str, float]:
    """Returns the paper's scores of a row for its dull and intelligent students."""
    students = by_size(plan.experiment.students)
    place = students.index(student) if student in students else 2
    if place > 1 or (table in ("Table 5", "Table 6") and len(students) != 2):
        return {}
    kind = family(plan.experiment.students)
    return paper_scores(kind, table, row, student=place)


def _note_repeats(lines: Sequence[dict[str, Any]]) -> None:
    """Sets in each line the name of the first line before it with equal training."""
    first: dict[tuple[str, ...], str] = {}
    for line in lines:
        key = (line["student"], *line["training"])
        if key in first and first[key] != line["row"]:
            line["same_training_as"] = first[key]
        first.setdefault(key, line["row"])


def ablation_markdown(report: Mapping[str, Any]) -> str:
    """Returns the report of `ablation_json` as a page of Markdown."""
    seeds = ", ".join(map(str, report["seeds"]))
    parts = [f"# Ablation of {report['family']}", f"Seeds {seeds}. {report['reading']}"]
    for shown_table in ablation_tables(report):
        parts += [f"## {shown_table.title.replace('|', '/')}", _pipes(shown_table)]
        parts += [" ".join(shown_table.notes)] if shown_table.notes else []
    if report["order"]:
        items = "\n".join(f"- {found['statement']}" for found in report["order"])
        parts += ["## Order of rows", items]
    return "\n\n".join(parts) + "\n"


def print_ablation(report: Mapping[str, Any], console: Console) -> None:
    """Prints the tables, 80 columns wide, and the comparisons of row order."""
    for found in ablation_tables(report):
        say(console, found.title, style="bold")
        table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
        for number, heading in enumerate(found.headings):
            justify = "left" if number < found.words else "right"
            table.add_column(heading, justify=justify, no_wrap=True)
        for row in found.rows:
            table.add_row(*map(shown, row))
        console.print(table)
        for note in found.notes:
            console.print(shown(note))
    console.print(shown(report["reading"]))
    for found in report["order"]:
        console.print(shown(found["statement"]))


def ablation_tables(report: Mapping[str, Any]) -> Iterator[Shown]:
    """Yields every table on every data set, then those of the paper's own figures.

    Args:
      report: The report, as `ablation_json` makes it.
    """
    papers: dict[str, Mapping[str, float]] = {}
    for dataset in report["datasets"]:
        for table, what in TITLES.items():
            lines = [line for line in report["lines"] if line["table"] == table]
            alone = table == "Table 6" and report["teacher_row"]
            if not lines and not alone:
                continue
            rows = [_cells(line, dataset) for line in lines]
            for name, outcome in report["references"].items():
                paper = paper_scores(report["family"], table, name)
                rows.append(_reference_cells(name, outcome, dataset, paper))
            notes = [
                f"{line['row']} ({line['student']}) is the same training as "
                f"{line['same_training_as']}."
                for line in lines
                if line["same_training_as"]
            ]
            title, headings = f"{table}: {what}, on {dataset}", HEADINGS
            if table == "Table 6":
                headings, rows = HEADINGS[:-2], [row[:-2] for row in rows]
                papers |= {line["row"]: line["paper"] for line in lines}
            yield Shown(title, headings, rows, notes)
    yield from dlf_tables(report)
    yield from loretrack_tables(report)
    of_table_6 = papers or report["teacher_row"]
    if of_table_6 and (rows := _paper_rows(report["family"], papers)):
        headings = ("row", *TABLE_6_VALUES.values())
        yield Shown("Table 6 in the paper", headings, rows, words=1)


def _paper_rows(
    kind: str, papers: Mapping[str, Mapping[str, float]]
) -> list[list[str]]:
    """Returns the paper's own figures of rows of Table 6, the teacher's first."""
    every = {TEACHER: paper_scores(kind, "Table 6", TEACHER), **papers}
    return [
        [row, *(f"{x:.0f}" if x >= 1.0 else decimals(x) for x in values.values())]
        for row, values in every.items()
        if values
    ]


def _cells(line: Mapping[str, Any], dataset: str) -> list[str]:
    scores, gates = line["scores"][dataset], line["gate_open"]
    return [
        line["row"] + (f", {SHUT}" if line["gates"] == SHUT else ""),
        line["student"],
        str(len(line["seeds"])),
        *(with_spread(scores[metric]) for metric in METRICS),
        megabytes(line["megabytes"]),
        f"{scores['fps']['mean']:.0f}",
        "" if gates is None else f"{gates['mean']:.0%}",
        *_paper_cells(line["paper"]),
    ]


def _reference_cells(
    name: str, outcome: Outcome, dataset: str, paper: Mapping[str, float]
) -> list[str]:
    scores = outcome["scores"][dataset]
    size, fps = outcome["megabytes"], scores["fps"]
    return [
        name,
        "",
        "",
        *(decimals(scores[metric]) for metric in METRICS),
        "" if size is None else megabytes(size),
        "" if fps is None else f"{fps:.0f}",
        "",
        *_paper_cells(paper),
    ]


def _paper_cells(paper: Mapping[str, float]) -> list[str]:
    return [decimals(paper[m]) if m in paper else "" for m in METRICS]


def _pipes(table: Shown) -> str:
    head = list(table.headings)
    if table.headings == HEADINGS:
        head[-2:] = [f"paper {heading}" for heading in HEADINGS[-2:]]
    marks = ["---"] * table.words + ["---:"] * (len(head) - table.words)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *table.rows))
