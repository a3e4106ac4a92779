"""Overlaps, centre errors and the curves made of them, in NumPy and float64.

Comparing a computed overlap with a threshold is delicate: boxes of whole pixels often
overlap by exactly a half or three twentieths, and `3 * 0.05 > 0.15` in floating point.
Two habits keep such ties right. Thresholds are correctly rounded fractions k / 20,
rather than sums or multiples of 0.05, and values within `TIE` of a threshold count as
equal to it. Two unequal overlaps of whole-pixel boxes below a megapixel differ from a
threshold by 5e-8 or more, so no real difference is lost.
"""

import numpy as np

from dst_jax import boxes as boxes_
from dst_jax.typing import Float

TIE = 1e-9
"""Values this near a threshold, in IoU or in pixels, are equal to it."""

OVERLAP_THRESHOLDS: tuple[float, ...] = tuple(k / 20 for k in range(21))
"""0, .05, ... 1: the 21 thresholds of the success plot."""

ERROR_THRESHOLDS_PX: tuple[float, ...] = tuple(float(px) for px in range(51))
"""0, 1, ... 50 px: the 51 thresholds of the precision plot."""


def frame_overlaps(
    predicted: Float[np.ndarray, "t 4"], truth: Float[np.ndarray, "t 4"]
) -> Float[np.ndarray, " t"]:
    """Returns the intersection over union in every frame.

    Args:
      predicted: Boxes (cx, cy, w, h). An empty one (w or h not positive) has IoU 0.
      truth: Boxes (cx, cy, w, h) in the same frame of reference.

    Returns:
      float64 values in [0, 1]; NaN where the truth is NaN.

    Example:
      >>> a = np.array([[5.0, 5.0, 10.0, 10.0]])
      >>> frame_overlaps(a, a + np.array([5.0, 0.0, 0.0, 0.0])).round(3).tolist()
      [0.333]
    """
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    with np.errstate(over="ignore"):  # of an absurdly large box, which overlaps 0
        overlaps = np.clip(boxes_.iou(predicted, truth), 0.0, 1.0)
    return np.where(np.isnan(truth).any(axis=-1), np.nan, overlaps)


def centre_errors(
    predicted: Float[np.ndarray, "t 4"], truth: Float[np.ndarray, "t 4"]
) -> Float[np.ndarray, " t"]:
    """Returns the distance between the centres in every frame, in pixels.

    The kits put a centre at x + (w - 1) / 2, which is half a pixel off ours for both
    boxes, so the distance is the same.

    Args:
      predicted: Boxes (cx, cy, w, h).
      truth: Boxes (cx, cy, w, h) in the same frame of reference.

    Returns:
      float64 pixels, at least 0; NaN where a centre is NaN.

    Example:
      >>> a = np.array([[5.0, 5.0, 10.0, 10.0]])
      >>> centre_errors(a, a + np.array([3.0, 4.0, 7.0, 0.0])).tolist()
      [5.0]
    """
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    with np.errstate(over="ignore"):
        return np.hypot(*(predicted[:, :2] - truth[:, :2]).T)


def success_curve(
    overlaps: Float[np.ndarray, " t"],
    *,
    thresholds: tuple[float, ...] = OVERLAP_THRESHOLDS,
    strict: bool = True,
) -> Float[np.ndarray, " n"]:
    """Returns the share of frames whose overlap exceeds each threshold.

    Args:
      overlaps: IoU per frame, at least one frame, without NaN.
      thresholds: Thresholds of the IoU, in [0, 1].
      strict: Whether the overlap must be more than the threshold, so that no tracker,
        however good, succeeds at 1; otherwise the threshold itself is enough.

    Returns:
      One share in [0, 1] per threshold.

    Example:
      >>> overlaps, thresholds = np.array([0.5, 0.7]), (0.0, 0.5, 1.0)
      >>> success_curve(overlaps, thresholds=thresholds).tolist()
      [1.0, 0.5, 0.0]
      >>> success_curve(overlaps, thresholds=thresholds, strict=False).tolist()
      [1.0, 1.0, 0.0]

    References:
      Wu et al., "Online Object Tracking: A Benchmark", CVPR 2013, section 4.
    """
    margin = TIE if strict else -TIE
    passed = overlaps[:, None] > np.asarray(thresholds)[None, :] + margin
    return passed.mean(axis=0)


def precision_curve(
    errors: Float[np.ndarray, " t"],
    *,
    thresholds: tuple[float, ...] = ERROR_THRESHOLDS_PX,
) -> Float[np.ndarray, " n"]:
    """Returns the share of frames whose centre is within each distance.

    Args:
      errors: Centre errors in pixels, at least one frame, without NaN.
      thresholds: Distances in pixels; a frame at exactly the distance counts.

    Returns:
      One share in [0, 1] per threshold.

    Example:
      >>> precision_curve(np.array([3.0, 20.5]), thresholds=(0.0, 3.0, 20.0)).tolist()
      [0.0, 0.5, 0.5]

    References:
      Wu et al., "Online Object Tracking: A Benchmark", CVPR 2013, section 4.
    """
    passed = errors[:, None] <= np.asarray(thresholds)[None, :] + TIE
    return passed.mean(axis=0)


def area_under(curve: Float[np.ndarray, " n"]) -> float:
    """Returns the mean of a curve's values, the benchmark's "area under the curve".

    With the strict comparison a perfect tracker has 20/21 = .952, since no overlap
    exceeds 1.

    Example:
      >>> round(area_under(success_curve(np.ones(3))), 3)
      0.952
    """
    return float(np.mean(curve))


def trapezoid(curve: Float[np.ndarray, " n"]) -> float:
    """Returns the area below a curve over evenly spaced thresholds, scaled to [0, 1].

    Example:
      >>> trapezoid(np.array([1.0, 1.0, 0.0]))
      0.75
    """
    return float((curve[1:] + curve[:-1]).mean() / 2)
