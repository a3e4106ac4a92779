"""Compares two trackers video by video, with an interval."""

import dataclasses

import numpy as np
from scipy import stats

from dst_jax.errors import InputError
from dst_jax.evaluate.score import Score

# Draws of the bootstrap, and their seed.
_DRAWS, _SEED = 10_000, 0


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one tracker is ahead of another on the same videos.

    Attributes:
      mean: Mean over videos of the first tracker's value less the second's.
      low: Lower end of the mean's 95 % interval; None of a single video.
      high: Upper end of the mean's 95 % interval; None of a single video.
      videos: Number of videos.
    """

    mean: float
    low: float | None
    high: float | None
    videos: int

    @property
    def sign(self) -> int:
        """Returns 1 or -1 where the interval lies above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0.0) - int(self.high < 0.0)


def paired_difference(
    first: Score, second: Score, *, measure: str = "success_auc"
) -> Difference:
    """Returns how far the first tracker is ahead of the second.

    The interval lies between the 2.5 and 97.5 % quantiles of the means of 10,000 draws
    of as many videos, with replacement. It says how the videos scatter. How trainings
    scatter, only several seeds can say.

    Args:
      first: Score of one tracker.
      second: Score of another one on the same videos.
      measure: Name of a measure of the protocol.

    Raises:
      InputError: If a score lacks the measure.
      ValueError: If the videos are not the same.
    """
    for given in (first, second):
        if measure not in given.values:
            known = ", ".join(given.values)
            raise InputError(f"measure {measure!r}: must be one of {known}.")
    if first.sequences.keys() != second.sequences.keys():
        raise ValueError("the scores are of different videos")
    values = np.array(
        [
            one.values[measure] - second.sequences[name].values[measure]
            for name, one in first.sequences.items()
        ],
        np.float64,
    )
    mean, videos = float(np.mean(values)), len(values)
    if videos < 2:
        return Difference(mean, None, None, videos)
    rng = np.random.default_rng(_SEED)
    drawn = stats.bootstrap(
        (values,), np.mean, n_resamples=_DRAWS, method="percentile", rng=rng
    ).confidence_interval
    return Difference(mean, float(drawn.low), float(drawn.high), videos)
