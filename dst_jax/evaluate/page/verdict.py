"""Says in words what a benchmark has shown."""

from collections.abc import Mapping

from dst_jax.evaluate.difference import paired_difference
from dst_jax.evaluate.page.comparison import Comparison, compare, pairs
from dst_jax.evaluate.page.content import PLAIN, SHARING, TAUGHT, Benchmark, Entry

# How far a teacher must be above plainly trained students to have much to teach.
LEAST_LEAD = 0.03
_ALIKE = 1.01  # of two networks' numbers of parameters, at most


def verdict(benchmark: Benchmark) -> list[str]:
    """Returns sentences on the students, the teacher, distillation and sharing.

    Of trackers of which none is known as a student they tell which is ahead.

    Args:
      benchmark: The trackers and their scores.
    """
    students = benchmark.students
    if not students:
        return _ranking(benchmark)
    lines = [_headline(benchmark, *next(iter(students.items())))]
    lines += _teacher(benchmark)
    found: list[Comparison] = []
    for name, rows in students.items():
        others = [row for row, _ in pairs(rows)]
        if not others:
            continue
        plain = pairs(rows)[0][1]
        taught = others[0]
        distilled = _compared(benchmark, name, rows, (taught, plain))
        lines.append(_distilled(benchmark, rows, distilled))
        found.append(distilled)
        if SHARING in rows:
            other = taught if taught != SHARING else plain
            shared = _compared(benchmark, name, rows, (SHARING, other))
            lines += _shared(benchmark, rows, shared)
    return [*lines, *_intervals(found)]


def ratio(benchmark: Benchmark, entry: Entry) -> tuple[float, str] | None:
    """Returns how many times smaller an entry is than the teacher, and in what.

    That is in parameters, or in multiply-adds if both have as many parameters; None if
    there is no teacher or it is not known.

    Args:
      benchmark: The trackers.
      entry: One of them.
    """
    teacher = benchmark.teacher
    if teacher is None or not (teacher.parameters and entry.parameters):
        return None
    times = teacher.parameters / entry.parameters
    if times > _ALIKE or not (teacher.search_macs and entry.search_macs):
        return times, "smaller"
    return teacher.search_macs / entry.search_macs, "fewer multiply-adds"


def shown(value: float) -> str:
    """Returns a share with three decimals, as "0.601" is written in tables."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Returns a difference with its sign and three decimals."""
    return f"{value:+.3f}"


def between(found: Comparison) -> str:
    """Returns a difference with its interval, if it has one."""
    if found.low is None or found.high is None:
        return signed(found.mean)
    return f"{signed(found.mean)} ({signed(found.low)} to {signed(found.high)})"


def _value(benchmark: Benchmark, entry: Entry) -> float:
    return entry.score.values[benchmark.measure]


def _compared(
    benchmark: Benchmark,
    student: str,
    rows: Mapping[str, Entry],
    pair: tuple[str, str],
) -> Comparison:
    entries = [rows[name] for name in pair]
    return compare(student, *entries, measure=benchmark.measure)


def _headline(benchmark: Benchmark, student: str, rows: Mapping[str, Entry]) -> str:
    """Returns the outcome of the smallest student in one line, with what is unclear."""
    compared = pairs(rows)
    row = SHARING if SHARING in rows else list(rows)[-1]
    entry = rows[row]
    parts = [f"{student} {row}: {benchmark.heading} {shown(_value(benchmark, entry))}"]
    if compared:
        plain = rows[compared[0][1]]
        gap = _value(benchmark, entry) - _value(benchmark, plain)
        found = _compared(benchmark, student, rows, (row, compared[0][1]))
        unclear = found.low is not None and found.sign == 0
        parts.append(
            f"{shown(abs(gap))} {'above' if gap >= 0 else 'below'} {plain.row}"
            f"{' (no clear effect)' if unclear else ''}"
        )
    if (times := ratio(benchmark, entry)) is not None:
        teacher = benchmark.teacher
        assert teacher is not None
        than = shown(_value(benchmark, teacher))
        parts.append(f"{times[0]:.1f} times {times[1]} than the teacher ({than})")
    return ", ".join(parts) + "."


def _teacher(benchmark: Benchmark) -> list[str]:
    teacher = benchmark.teacher
    plain = {
        name: _value(benchmark, rows[PLAIN])
        for name, rows in benchmark.students.items()
        if PLAIN in rows
    }
    if teacher is None or not plain:
        return []
    own = _value(benchmark, teacher)
    best = max(plain, key=plain.__getitem__)
    lead = own - plain[best]
    text = (
        f"The teacher's {benchmark.heading} is {shown(own)}, {signed(lead)} from the "
        f"best student without it ({best}, {shown(plain[best])})."
    )
    if lead < LEAST_LEAD:
        text += (
            f" Less than {signed(LEAST_LEAD)} is little to teach: do not judge "
            "distillation by this run."
        )
    return [text]


def _distilled(
    benchmark: Benchmark, rows: Mapping[str, Entry], found: Comparison
) -> str:
    times = ratio(benchmark, rows[found.row])
    size = "" if times is None else f", {times[0]:.1f} times {times[1]}"
    ours, theirs = (_value(benchmark, rows[one]) for one in (found.row, found.other))
    helps = {1: "distillation helps", -1: "distillation harms", 0: "no clear effect"}
    return (
        f"{found.student}{size}: {shown(ours)} with the teacher ({found.row}), "
        f"{shown(theirs)} without ({found.other}): {between(found)}"
        f"{_on_seeds(found)}: {helps[found.sign]}."
    )


def _shared(
    benchmark: Benchmark, rows: Mapping[str, Entry], found: Comparison
) -> list[str]:
    """Returns what sharing did beside teaching, or that a gate stayed shut."""
    entry = rows[SHARING]
    if entry.gate_open == 0.0:
        same = f"so that {SHARING} is {TAUGHT} here."
        return [f"{found.student}: its gate stayed shut, {same}"]
    if found.other == PLAIN:
        return []  # what was taught without sharing is unknown
    gate = "" if entry.gate_open is None else f", gate open {entry.gate_open:.0%}"
    helps = {1: "sharing helps", -1: "sharing harms", 0: "no clear effect"}
    return [
        f"{found.student}: {shown(_value(benchmark, entry))} when the students share "
        f"too ({SHARING}{gate}): {between(found)}{_on_seeds(found)} from "
        f"{found.other}: {helps[found.sign]}."
    ]


def _on_seeds(found: Comparison) -> str:
    if found.seeds < 2:
        return ""
    return f", ahead on {found.ahead} of {found.seeds} seeds"


def _intervals(found: list[Comparison]) -> list[str]:
    """Returns what the intervals are of."""
    lines = []
    seeds = {one.seeds for one in found if one.seeds > 1}
    if seeds:
        count = " or ".join(map(str, sorted(seeds)))
        lines.append(
            f"Intervals are of 95 %, Student's, over {count} seeds of training."
        )
    videos = {one.videos for one in found if one.seeds < 2 and one.low is not None}
    if videos:
        lines.append(
            f"Intervals are of 95 %, over {max(videos)} videos drawn again and again. "
            "They leave out how trainings scatter: this is one seed, and another can "
            "differ by more."
        )
    return lines


def _ranking(benchmark: Benchmark) -> list[str]:
    ranked = sorted(benchmark.entries, key=lambda e: -_value(benchmark, e))
    first = ranked[0]
    own = shown(_value(benchmark, first))
    if len(ranked) == 1:
        return [f"{first.name}: {benchmark.heading} {own}."]
    second = ranked[1]
    text = (
        f"{first.name} has the best {benchmark.heading} of {len(ranked)} trackers, "
        f"{own}; {second.name} follows with {shown(_value(benchmark, second))}"
    )
    scores = first.score, second.score
    parts = [part for one in scores for part in one.sequences.values()]
    if any(benchmark.measure not in part.values for part in parts):
        return [f"{text}."]
    found = paired_difference(*scores, measure=benchmark.measure)
    if found.low is None or found.high is None:
        return [f"{text}."]
    clear = "a clear lead" if found.sign > 0 else "no clear lead"
    return [
        f"{text}: {signed(found.mean)} ({signed(found.low)} to {signed(found.high)}), "
        f"{clear}. The interval is of 95 %, over {found.videos} videos drawn again and "
        "again."
    ]
