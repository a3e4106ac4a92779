"""Compares rows of the same students: over seeds if there are several, else videos."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from scipy import stats

from dst_jax.evaluate.difference import paired_difference
from dst_jax.evaluate.page.content import PLAIN, SHARING, Benchmark, Entry


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How far one way of training a student is ahead of another.

    Attributes:
      student: Name of the student.
      row: How it was trained.
      other: How its counterpart was trained.
      mean: Mean of the row's score less the counterpart's.
      low: Lower end of the mean's 95 % interval; None if there is none.
      high: Upper end of it.
      spread: Sample standard deviation over seeds; None if there is one seed.
      seeds: Number of seeds that both have; 1 also where seeds are unknown.
      ahead: Number of those seeds for which the row is ahead.
      videos: Number of videos.
    """

    student: str
    row: str
    other: str
    mean: float
    low: float | None
    high: float | None
    spread: float | None
    seeds: int
    ahead: int
    videos: int

    @property
    def sign(self) -> int:
        """Returns 1 or -1 where the interval lies above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0.0) - int(self.high < 0.0)


def comparisons(benchmark: Benchmark) -> list[Comparison]:
    """Returns each row of each student beside its counterparts.

    That is NOKD, or the student's first row where there is none; sharing is also
    compared with what was taught alone.

    Args:
      benchmark: The trackers, by whose most quoted measure they are compared.
    """
    found = []
    for student, rows in benchmark.students.items():
        for row, other in pairs(rows):
            pair = rows[row], rows[other]
            found.append(compare(student, *pair, measure=benchmark.measure))
    return found


def pairs(rows: Mapping[str, Entry]) -> list[tuple[str, str]]:
    """Returns the rows of one student that are compared: a row and its counterpart."""
    names = list(rows)
    plain = PLAIN if PLAIN in rows else names[0]
    found = [(row, plain) for row in names if row != plain]
    if SHARING in rows and len(found) > 1:
        found += [(SHARING, row) for row, _ in found if row != SHARING]
    return found


def compare(student: str, entry: Entry, other: Entry, *, measure: str) -> Comparison:
    """Returns how far an entry is ahead of another of the same student.

    With several seeds in common the differences are those of single seeds, and the
    interval is Student's. With one it is that of `paired_difference`, over videos.

    Args:
      student: Name of the student.
      entry: The entry.
      other: Its counterpart.
      measure: Name of the measure.
    """
    ours, theirs = (_by_seed(one, measure) for one in (entry, other))
    gaps = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    several = len(gaps) > 1
    if several:
        mean, low, high = _over_seeds(gaps)
    else:
        mean, low, high = _over_videos(entry, other, measure)
    return Comparison(
        student,
        entry.row,
        other.row,
        mean=mean,
        low=low,
        high=high,
        spread=statistics.stdev(gaps) if several else None,
        seeds=len(gaps) if several else 1,
        ahead=sum(gap > 0.0 for gap in gaps) if several else int(mean > 0.0),
        videos=len(entry.score.sequences),
    )


def _over_seeds(gaps: Sequence[float]) -> tuple[float, float, float]:
    """Returns the mean of differences and Student's 95 % interval."""
    mean = statistics.fmean(gaps)
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    reach = error * float(stats.t.ppf(0.975, len(gaps) - 1))
    return mean, mean - reach, mean + reach


def _by_seed(entry: Entry, measure: str) -> dict[int, float]:
    return {
        network.seed: network.score.values[measure]
        for network in entry.networks
        if network.seed is not None
    }


def _over_videos(
    entry: Entry, other: Entry, measure: str
) -> tuple[float, float | None, float | None]:
    """Returns the mean difference and its interval, if single videos have a score."""
    parts = [part for one in (entry, other) for part in one.score.sequences.values()]
    if not parts or any(measure not in part.values for part in parts):
        own, theirs = entry.score.values[measure], other.score.values[measure]
        return own - theirs, None, None
    found = paired_difference(entry.score, other.score, measure=measure)
    return found.mean, found.low, found.high
