"""Fits scores to how often boxes are right, and says how well that holds.

What is fitted is a line between log odds (Platt, "Probabilistic outputs for support
vector machines", 1999), rather than steps (isotonic regression): frames of one video
are alike, so that a validation set holds few independent examples, of which two numbers
can be learned and fifty cannot. A line also keeps the order of any two scores.
"""

from typing import NamedTuple

import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Bool, Float, Int

_STEPS, _HALVINGS, _CLOSE = 100, 40, 1e-10
_ALIKE = 1e-9  # numbers that differ by a smaller share of themselves are one


class Reliability(NamedTuple):
    """How often boxes were right where they were said to be so with a probability.

    Attributes:
      edges: Borders of the bins, from 0 to 1.
      frames: Number of frames of each bin.
      said: Their mean probability; NaN in an empty bin, as the next.
      right: Their share that was right.
      error: Mean of |said - right| over frames, the expected calibration error.
      brier: Mean squared difference between probability and 1 for right, 0 for wrong.
      brier_constant: The same for the one probability that is best for all frames.
    """

    edges: Float[np.ndarray, " e"]
    frames: Int[np.ndarray, " n"]
    said: Float[np.ndarray, " n"]
    right: Float[np.ndarray, " n"]
    error: float
    brier: float
    brier_constant: float


def fit_logistic(
    x: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]
) -> tuple[float, float]:
    r"""Returns slope and offset of the most likely logistic line.

    .. math:: \max_{a,b} \sum_i t_i \log p_i + (1 - t_i) \log (1 - p_i), \quad
        p_i = \sigma(a x_i + b)

    The targets are Platt's, (n_+ + 1) / (n_+ + 2) for what is right and 1 / (n_- + 2)
    for what is wrong, so that the line is finite where a score parts the two wholly.

    Args:
      x: A finite number per frame, such as the log odds of its score.
      right: Whether its box is right.

    Raises:
      InputError: If all or none are right, if all numbers are the same, or if a higher
        one goes with worse boxes.
    """
    positive, count = int(right.sum()), len(right)
    if not 0 < positive < count:
        which = "every box overlaps" if positive else "no box overlaps"
        raise InputError(
            f"{which} its target by more than half in {count} frames; boxes of both "
            "kinds are needed: give more videos, or others."
        )
    targets = np.where(
        right, (positive + 1) / (positive + 2), 1 / (count - positive + 2)
    )
    # With a common scale, one tolerance fits all.
    middle, spread = float(x.mean()), float(x.std())
    if spread <= _ALIKE * max(abs(middle), 1.0):
        raise InputError(
            "the score is the same in all frames of these videos, so that it tells "
            "nothing; train the tracker longer, or give other videos."
        )
    line = _newton((x - middle) / spread, targets)
    slope, offset = float(line[0]) / spread, float(line[1])
    if slope <= 0.0:
        raise InputError(
            "a higher score does not go with better boxes in these videos, so that it "
            "tells nothing; train the tracker longer, or give other videos."
        )
    return slope, offset - slope * middle


def _newton(
    x: Float[np.ndarray, " n"], targets: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " 2"]:
    """Returns the minimum of a convex loss of two numbers."""
    rows, line = np.stack([x, np.ones_like(x)], axis=1), np.zeros(2)

    def loss(line: np.ndarray) -> float:
        z = rows @ line
        return float((np.logaddexp(0.0, z) - targets * z).mean())

    for _ in range(_STEPS):
        likely = 0.5 + 0.5 * np.tanh(0.5 * (rows @ line))
        slope = rows.T @ (likely - targets) / len(x)
        curve = (rows.T * (likely * (1.0 - likely))) @ rows / len(x)
        # Far out the loss is flat: a little curvature keeps the step finite.
        step = np.linalg.solve(curve + 1e-12 * np.eye(2), slope)
        before = loss(line)
        for halving in range(_HALVINGS):
            tried = line - step * 0.5**halving
            if loss(tried) <= before:
                line = tried
                break
        if np.abs(step).max() < _CLOSE:
            break
    return line


def lost_threshold(
    scores: Float[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    *,
    false_share: float,
) -> float:
    """Returns the highest score below which at most a share of right boxes lies.

    Args:
      scores: A score per frame.
      right: Whether its box is right; some are.
      false_share: The share of right boxes that may be called lost, from 0 to 1.

    Example:
      >>> scores = np.array([0.1, 0.5, 0.6, 0.7, 0.9])
      >>> right = np.array([False, True, True, True, True])
      >>> lost_threshold(scores, right, false_share=0.25)
      0.6
    """
    good = np.sort(scores[right])
    # A quarter of 12 is 3, whatever its rounding is.
    allowed = int(np.floor(false_share * len(good) + 1e-9))
    return float(good[min(allowed, len(good) - 1)])


def reliability(
    probabilities: Float[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    *,
    bins: int = 10,
) -> Reliability:
    """Returns how often boxes were right, by the probability that was said of them.

    Args:
      probabilities: From 0 to 1, one per frame, at least one.
      right: Whether the box was right.
      bins: Number of bins of equal width; a border belongs to the bin above it.
    """
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    frames = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, probabilities, minlength=bins) / frames
        shares = np.bincount(place, right.astype(float), minlength=bins) / frames
    used = frames > 0
    gaps = np.abs(said - shares)[used]
    share = float(right.mean())
    return Reliability(
        edges=np.linspace(0.0, 1.0, bins + 1),
        frames=frames,
        said=said,
        right=shares,
        error=float((gaps * frames[used]).sum() / len(right)),
        brier=float(np.square(probabilities - right).mean()),
        brier_constant=share * (1.0 - share),
    )
