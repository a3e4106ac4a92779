"""Turns scores into probabilities, by the line that a calibration has fitted."""

import numpy as np

from dst_jax.track.config import Tracking
from dst_jax.typing import Array, Float

# A score in float32 tells no more of what is nearer to 0 or to 1.
_EDGE = 1e-6


def log_odds(scores: Float[Array, "*b"]) -> Float[np.ndarray, "*b"]:
    """Returns log(s / (1 - s)) of scores from 0 to 1, which is at most 13.8 either way.

    Example:
      >>> log_odds(np.array([0.0, 0.5, 0.75])).round(3).tolist()
      [-13.816, 0.0, 1.099]
    """
    kept = np.clip(np.asarray(scores, np.float64), _EDGE, 1.0 - _EDGE)
    return np.log(kept) - np.log1p(-kept)


def probabilities(
    scores: Float[Array, "*b"], config: Tracking
) -> Float[np.ndarray, "*b"] | None:
    """Returns how probable it is that boxes overlap the target by more than half.

    Args:
      scores: Scores of the boxes, see `TrackOutput`. A score of 0, that of a network
        without a finite answer, has the probability 0.
      config: Settings of the tracker that gave them.

    Returns:
      Probabilities, which rise with the scores; None if the tracker is not calibrated.
    """
    if config.calibration is None:
        return None
    slope, offset = config.calibration
    return np.where(np.asarray(scores) == 0.0, 0.0, _sigmoid(slope, offset, scores))


def score_of(probability: float, calibration: tuple[float, float]) -> float:
    """Returns the score of a probability above 0 and below 1.

    Args:
      probability: The probability.
      calibration: `Tracking.calibration`.

    Example:
      >>> round(score_of(0.5, (2.0, -1.0)), 4)
      0.6225
    """
    slope, offset = calibration
    odds = (np.log(probability) - np.log1p(-probability) - offset) / slope
    return float(0.5 + 0.5 * np.tanh(0.5 * odds))


def _sigmoid(
    slope: float, offset: float, scores: Float[Array, "*b"]
) -> Float[np.ndarray, "*b"]:
    # As a tangent it neither overflows nor divides.
    return 0.5 + 0.5 * np.tanh(0.5 * (slope * log_odds(scores) + offset))
