"""The tables of a page: trackers, rows beside counterparts, sequences, attributes."""

from collections.abc import Mapping, Sequence

import numpy as np

from dst_jax.evaluate.page.comparison import Comparison, comparisons
from dst_jax.evaluate.page.content import Benchmark, Entry
from dst_jax.evaluate.page.markup import Cell, Table
from dst_jax.evaluate.page.verdict import ratio

_GATES = (
    " A gate is open where a student's loss is within h of the teacher's (eq. 22); if "
    "it is shut in all of the training, TSsKD is TSKD."
)


def tracker_table(benchmark: Benchmark) -> Table:
    """Returns the numbers of every tracker, a row each.

    Args:
      benchmark: The trackers.
    """
    gates = any(entry.gate_open is not None for entry in benchmark.entries)
    return Table(
        [_tracker_row(benchmark, entry) for entry in benchmark.entries],
        units={
            "size": "MB",
            "compression": "x",
            "multiply-adds": "million per crop",
            "speed": "frames/s",
            "gate open": "%",
        },
        formats={
            "size": ".3f",
            "compression": ".1f",
            "multiply-adds": ".1f",
            "speed": ".0f",
            "gate open": ".0f",
        },
        caption=f"By {benchmark.entries[0].score.protocol.name}."
        f"{_seeds(benchmark)}{_GATES if gates else ''}",
    )


def _tracker_row(benchmark: Benchmark, entry: Entry) -> dict[str, Cell]:
    protocol = entry.score.protocol
    several = any(len(one.networks) > 1 for one in benchmark.entries)
    row: dict[str, Cell] = {"tracker": entry.name}
    if several:
        row["seeds"] = len(entry.networks)
    for measure in protocol.measures:
        row[measure.heading] = entry.score.values.get(measure.name)
        if several and measure.name == benchmark.measure:
            row["±"] = entry.spread(measure.name)
    times = ratio(benchmark, entry)
    known: dict[str, Cell] = {
        "parameters": entry.parameters,
        "size": entry.megabytes,
        "compression": None if times is None else times[0],
        "multiply-adds": None if not entry.search_macs else entry.search_macs / 1e6,
        "speed": entry.fps,
        "gate open": None if entry.gate_open is None else 100 * entry.gate_open,
    }
    # A column is left out where nobody knows.
    every = [_known(one) for one in benchmark.entries]
    return row | {k: v for k, v in known.items() if any(k in one for one in every)}


def speed_table(benchmark: Benchmark) -> Table | None:
    """Returns the speeds of every tracker's stages; None where none was timed.

    Args:
      benchmark: The trackers.
    """
    stages = dict.fromkeys(name for one in benchmark.entries for name in one.stages)
    if not stages:
        return None
    columns = [*stages, "all videos"]
    return Table(
        [
            {"tracker": entry.name}
            | {name: entry.stages.get(name) for name in stages}
            | {"all videos": entry.fps}
            for entry in benchmark.entries
        ],
        units=dict.fromkeys(columns, "frames/s"),
        formats=dict.fromkeys(columns, ".1f"),
        caption="Trackers took turns on the first video: the network by itself, with "
        "its crops from frames in memory, from files to boxes; then all videos.",
    )


def _known(entry: Entry) -> set[str]:
    found = set()
    if entry.parameters:
        found |= {"parameters", "size", "multiply-adds"}
    if entry.teacher:
        found.add("compression")
    if entry.fps is not None:
        found.add("speed")
    if entry.gate_open is not None:
        found.add("gate open")
    return found


def _seeds(benchmark: Benchmark) -> str:
    if all(len(entry.networks) == 1 for entry in benchmark.entries):
        return ""
    return " Numbers are means over seeds, ± the sample standard deviation (n - 1)."


def comparison_table(benchmark: Benchmark) -> Table | None:
    """Returns the differences of rows and their counterparts; None if there are none.

    Args:
      benchmark: The trackers.
    """
    rows = [_comparison_row(benchmark, found) for found in comparisons(benchmark)]
    if not rows:
        return None
    return Table(
        rows,
        formats={"difference": "+.3f"},
        caption="Each way of training a student beside its counterparts. Intervals are "
        "Student's over seeds where both have several, else a bootstrap over videos, "
        "which leaves out how trainings scatter.",
    )


def _comparison_row(benchmark: Benchmark, found: Comparison) -> dict[str, Cell]:
    rows = benchmark.students[found.student]
    entry, other = rows[found.row], rows[found.other]
    interval = None
    if found.low is not None and found.high is not None:
        interval = f"{found.low:+.3f} to {found.high:+.3f}"
    row: dict[str, Cell] = {
        "student": found.student,
        "row": found.row + (" (gate shut)" if entry.gate_open == 0.0 else ""),
        benchmark.heading: entry.score.values[benchmark.measure],
        "counterpart": found.other,
        f"its {benchmark.heading}": other.score.values[benchmark.measure],
        "difference": found.mean,
        "95 % interval": interval,
        "effect": {1: "above", -1: "below", 0: "not clear"}[found.sign],
    }
    if found.seeds > 1:
        row["± over seeds"] = found.spread
        row["ahead"] = f"on {found.ahead} of {found.seeds} seeds"
    return row


def sequence_table(benchmark: Benchmark) -> Table | None:
    """Returns the most quoted number of every tracker by sequence, the worst first.

    Args:
      benchmark: The trackers.

    Returns:
      The table, or None if single sequences have no such number.
    """
    scores = {entry.name: entry.score.sequences for entry in benchmark.entries}
    sequences = next(iter(scores.values()))
    measure = benchmark.measure
    every = [part for parts in scores.values() for part in parts.values()]
    if not every or any(measure not in part.values for part in every):
        return None

    def mean(name: str) -> float:
        return float(
            np.mean([parts[name].values[measure] for parts in scores.values()])
        )

    rows: list[Mapping[str, Cell]] = [
        {
            "sequence": name,
            "frames": sequences[name].frames,
            **{
                tracker: parts[name].values[measure]
                for tracker, parts in scores.items()
            },
        }
        for name in sorted(sequences, key=mean)
    ]
    return Table(
        rows,
        caption=f"{benchmark.heading} on each sequence, the hardest first; the best "
        "tracker of a row is bold.",
        compared=[*scores],
    )


def attribute_table(benchmark: Benchmark) -> Table | None:
    """Returns the most quoted number of every tracker by attribute of the sequences.

    Args:
      benchmark: The trackers.

    Returns:
      The table, or None if the data set states no attributes.
    """
    measure = benchmark.measure
    rows: list[dict[str, Cell]] = []
    for attribute, named in sorted(benchmark.attributes.items()):
        row: dict[str, Cell] = {"attribute": attribute, "sequences": len(named)}
        for entry in benchmark.entries:
            row[entry.name] = _mean_of(entry, named, measure)
        rows.append(row)
    if not rows:
        return None
    return Table(
        rows,
        caption=f"Mean {benchmark.heading} over the sequences that have an attribute; "
        "the best tracker of a row is bold.",
        compared=list(benchmark.scores),
    )


def _mean_of(entry: Entry, names: Sequence[str], measure: str) -> float | None:
    parts = entry.score.sequences
    known = [parts[n].values[measure] for n in names if measure in parts[n].values]
    return float(np.mean(known)) if known else None
