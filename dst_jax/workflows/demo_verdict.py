"""Says in words what a demonstration has shown."""

from collections.abc import Mapping, Sequence

from dst_jax.evaluate import Difference, Score, paired_difference

# How far a teacher must be above plainly trained students to have much to teach.
LEAST_LEAD = 0.03
TEACHER = "teacher"
PLAIN, TAUGHT, SHARING = "NOKD", "TSKD", "TSsKD"
FEATURES, TOKENS = "DLF", "LoReTrack"
_AUC = "success_auc"


def verdict(
    scores: Mapping[str, Score],
    students: Sequence[str],
    rows: Sequence[str],
    *,
    ratios: Mapping[str, float],
    gates: Mapping[str, float | None],
) -> list[str]:
    """Returns sentences on the teacher, on distillation and on sharing.

    Args:
      scores: Scores of "teacher" and of "STUDENT ROW".
      students: Names of the students.
      rows: Rows in which they were trained: `PLAIN`, one with a teacher, and perhaps
        `SHARING`.
      ratios: The teacher's number of parameters over each student's; of multiply-adds
        for `TOKENS`, whose students have its parameters.
      gates: Share of open gates in the last row, by student.
    """
    lines = [_teacher(scores, students)]
    for name in students:
        by_row = {row: scores[f"{name} {row}"] for row in rows}
        lines.append(_distilled(name, by_row, rows[1], ratios[name]))
        if SHARING in rows:
            lines.append(_shared(name, by_row, gates[name]))
    videos = len(scores[TEACHER].sequences)
    lines.append(
        f"Intervals are of 95 %, over {videos} videos drawn again and again. They "
        "leave out how trainings scatter: this is one seed, and another can differ by "
        "more."
    )
    return lines


def differences(
    scores: Mapping[str, Score], students: Sequence[str], rows: Sequence[str]
) -> dict[str, Difference]:
    """Returns paired differences in AUC by "STUDENT ROW - STUDENT ROW"."""
    plain, taught, *sharing = rows
    compared = [(taught, plain)]
    compared += [(row, other) for row in sharing for other in (taught, plain)]
    pairs = [
        (f"{name} {row}", f"{name} {other}")
        for name in students
        for row, other in compared
    ]
    return {f"{a} - {b}": paired_difference(scores[a], scores[b]) for a, b in pairs}


def _teacher(scores: Mapping[str, Score], students: Sequence[str]) -> str:
    own = scores[TEACHER].values[_AUC]
    plain = {name: scores[f"{name} {PLAIN}"].values[_AUC] for name in students}
    best = max(plain, key=plain.__getitem__)
    lead = own - plain[best]
    text = (
        f"The teacher's AUC is {shown(own)}, {signed(lead)} from the best student "
        f"without it ({best}, {shown(plain[best])})."
    )
    if lead >= LEAST_LEAD:
        return text
    return (
        f"{text} Less than {signed(LEAST_LEAD)} is little to teach: do not judge "
        "distillation by this run."
    )


def _distilled(name: str, rows: Mapping[str, Score], taught: str, ratio: float) -> str:
    found = paired_difference(rows[taught], rows[PLAIN])
    less = "fewer multiply-adds" if taught == TOKENS else "smaller"
    result = {1: "distillation helps", -1: "distillation harms", 0: "no clear effect"}
    return (
        f"{name}, {ratio:.1f} times {less}: {shown(rows[taught].values[_AUC])} with "
        f"the teacher ({taught}), {shown(rows[PLAIN].values[_AUC])} without ({PLAIN}): "
        f"{_difference(found)}: {result[found.sign]}."
    )


def _shared(name: str, rows: Mapping[str, Score], gate: float | None) -> str:
    if not gate:
        return f"{name}: its gate stayed shut, so that {SHARING} is {TAUGHT} here."
    found = paired_difference(rows[SHARING], rows[TAUGHT])
    result = {1: "sharing helps", -1: "sharing harms", 0: "no clear effect"}
    return (
        f"{name}: {shown(rows[SHARING].values[_AUC])} when the students share too "
        f"({SHARING}, gate open {gate:.0%}): {_difference(found)} from {TAUGHT}: "
        f"{result[found.sign]}."
    )


def _difference(found: Difference) -> str:
    if found.low is None or found.high is None:
        return signed(found.mean)
    return f"{signed(found.mean)} ({signed(found.low)} to {signed(found.high)})"


def shown(value: float) -> str:
    """Returns a share with three decimals, as "0.601" is written in tables."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Returns a difference with its sign and three decimals."""
    return f"{value:+.3f}"
