"""Makes the tables of a claim from results: means, intervals, open gates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

# Draws of the bootstrap, and their seed.
DRAWS, DRAW_SEED = 10_000, 0
TEACHER, STILL = "teacher", "still"
STUDENTS = ("dull", "intelligent")
WORKING = "TSsKD working gates"
BEST = "the better NOKD student"
# Pairs of rows whose difference is reported of each student.
COMPARED = (
    ("TSKD", "NOKD"),
    ("TSsKD literal gates", "TSKD"),
    (WORKING, "TSKD"),
    (WORKING, "NOKD"),
    ("NOKD", "NOKD without bias"),
    ("TSKD", "TSKD without bias"),
)

# Measures by the heading of their column: their names in results and in a score.
MEASURES = {"AUC": ("auc", "success_auc"), "P@20": ("p20", "precision_20")}

# Results by seed and stage, and scores by seed and video.
Results = Mapping[int, Mapping[str, Any]]
Scores = dict[int, dict[str, float]]


def scores_of(
    results: Results, stage: str, tracker: str, *, measure: str = "AUC"
) -> Scores:
    """Returns a measure by seed and video of a tracker, over seeds that have it."""
    key = MEASURES[measure][0]
    return {
        seed: dict(found[stage]["trackers"][tracker][key])
        for seed, found in results.items()
        if stage in found and key in found[stage]["trackers"][tracker]
    }


def mean_of(results: Results, stage: str, tracker: str) -> float:
    """Returns a tracker's AUC, the mean over seeds of the means over videos."""
    scores = scores_of(results, stage, tracker)
    return float(np.mean([np.mean([*each.values()]) for each in scores.values()]))


def best_plain(results: Results, *, measure: str = "AUC") -> Scores:
    """Returns a measure of the NOKD student that is the better one of each seed.

    It is chosen by the same videos, which favours the student over the teacher.
    """
    both = [scores_of(results, "NOKD", name, measure=measure) for name in STUDENTS]
    return {
        seed: max(
            (one[seed] for one in both), key=lambda each: np.mean([*each.values()])
        )
        for seed in both[0]
    }


def differences(first: Scores, second: Scores) -> dict[int, np.ndarray]:
    """Returns first less second, video by video, of the seeds that both have.

    Raises:
      ValueError: If the videos of a seed are not the same.
    """
    found = {}
    for seed in sorted(first.keys() & second.keys()):
        ours, theirs = first[seed], second[seed]
        if ours.keys() != theirs.keys():
            raise ValueError(f"seed {seed}: scores are of different videos")
        found[seed] = np.array([ours[v] - theirs[v] for v in sorted(ours)], np.float64)
    return found


def interval(
    values: Sequence[np.ndarray], *, draws: int = DRAWS, seed: int = DRAW_SEED
) -> tuple[float, float]:
    """Returns the ends of the 95 % interval of the mean of seeds' means.

    A draw takes as many seeds as there are, with replacement, and of each seed taken as
    many of its videos, with replacement. The interval lies between the 2.5 and 97.5 %
    quantiles of the draws' means (a percentile bootstrap in float64).

    Args:
      values: Differences by video, one array per seed, at least one.
      draws: Number of draws.
      seed: Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    means = np.empty((draws, len(values)))
    for place, taken in enumerate(
        rng.integers(len(values), size=(len(values), draws), dtype=np.int64)
    ):
        for which, videos in enumerate(values):
            here = np.flatnonzero(taken == which)
            chosen = rng.integers(len(videos), size=(len(here), len(videos)))
            means[here, place] = np.asarray(videos, np.float64)[chosen].mean(axis=1)
    low, high = np.quantile(means.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def t_interval(means: Sequence[float]) -> tuple[float, float] | None:
    """Returns Student's 95 % interval of the mean over seeds; None with one seed."""
    if len(means) < 2:
        return None
    reach = stats.sem(means) * stats.t.ppf(0.975, len(means) - 1)
    middle = float(np.mean(means))
    return middle - float(reach), middle + float(reach)


def report(results: Results, rows: Sequence[str]) -> str:
    """Returns the tables of scores and of differences as Markdown.

    Measures that no result has are left out.

    Args:
      results: Results by seed and stage.
      rows: Rows in the order of the table.
    """
    measures = [m for m in MEASURES if scores_of(results, TEACHER, STILL, measure=m)]
    heads = "".join(f" {name} | between seeds |" for name in measures)
    lines = [
        f"| tracker | parameters |{heads} seeds | gates open | seconds |",
        f"|---|---:|{'---:|---:|' * len(measures)}---:|---:|---:|",
        *_score_lines(results, TEACHER, TEACHER, measures),
    ]
    for name in STUDENTS:
        for row in rows:
            lines += _score_lines(results, row, name, measures)
    lines += _score_lines(results, TEACHER, STILL, measures)
    for measure in measures:
        if not (compared := _difference_lines(results, measure)):
            continue
        lines += [
            "",
            f"| {measure} less {measure} | tracker | difference "
            "| 95 %, seeds and videos drawn | 95 %, Student's t over seeds | ahead "
            "| by seed |",
            "|---|---|---:|---|---|---:|---|",
            *compared,
        ]
    return "\n".join(lines)


def _score_lines(
    results: Results, stage: str, tracker: str, measures: Sequence[str]
) -> list[str]:
    found = [one[stage] for one in results.values() if stage in one]
    if not found:
        return []
    values = [each["trackers"][tracker] for each in found]
    gates = [v["gate_open"] for v in values if v.get("gate_open") is not None]
    still = tracker == STILL
    # None were taken by a teacher that was there already.
    seconds = np.median([each["seconds"]["training"] for each in found])
    cells = [
        tracker if stage == TEACHER else f"{tracker}, {stage}",
        "" if still else f"{values[0]['parameters']:,}",
        *(
            cell
            for measure in measures
            for cell in _mean_cells(scores_of(results, stage, tracker, measure=measure))
        ),
        str(len(found)),
        f"{np.mean(gates):.0%} ({min(gates):.0%} to {max(gates):.0%})" if gates else "",
        "" if still or not seconds else f"{seconds:.0f}",
    ]
    return [f"| {' | '.join(cells)} |"]


def _mean_cells(scores: Scores) -> list[str]:
    """Returns the mean over seeds, and the deviation between them."""
    if not scores:
        return ["", ""]
    means = [float(np.mean([*each.values()])) for each in scores.values()]
    spread = _fraction(float(np.std(means, ddof=1))) if len(means) > 1 else ""
    return [_fraction(float(np.mean(means))), spread]


def _difference_lines(results: Results, measure: str) -> list[str]:
    def scores(row: str, name: str) -> Scores:
        return scores_of(results, row, name, measure=measure)

    stages = sorted({stage for found in results.values() for stage in found})
    rates = [stage.removeprefix("NOKD") for stage in stages if "NOKD at " in stage]
    compared = [
        *COMPARED,
        *((f"TSKD{rate}", f"NOKD{rate}") for rate in rates),
        *((f"{WORKING}{rate}", f"TSKD{rate}") for rate in rates),
        *((stage, "TSKD") for stage in stages if " with " in stage),
    ]
    pairs = [
        (f"{row} - {other}", name, scores(row, name), scores(other, name))
        for row, other in compared
        for name in STUDENTS
    ]
    best = best_plain(results, measure=measure)
    pairs.append((f"teacher - {BEST}", "", scores(TEACHER, TEACHER), best))
    lines = []
    for what, name, first, second in pairs:
        if not (found := differences(first, second)):
            continue
        means = [float(np.mean(values)) for values in found.values()]
        student = t_interval(means)
        cells = [
            what,
            name,
            _signed(float(np.mean(means))),
            _between(interval(list(found.values()))),
            "" if student is None else _between(student),
            f"{sum(mean > 0.0 for mean in means)} of {len(means)}",
            ", ".join(map(_signed, means)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _fraction(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


def _between(ends: tuple[float, float]) -> str:
    return f"{_signed(ends[0])} to {_signed(ends[1])}"
