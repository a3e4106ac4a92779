"""The logistic fit against scipy's optimiser, and reliability against loops."""

import math

import numpy as np
import pytest
import scipy.optimize

from dst_jax.errors import InputError
from dst_jax.evaluate.calibration import fit_logistic, lost_threshold, reliability


def drawn(count, *, slope, offset, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(2.0, 3.0, count)
    right = rng.random(count) < 1.0 / (1.0 + np.exp(-(slope * x + offset)))
    return x, right


def platts_loss(line, x, right):
    """The negative log likelihood of Platt's targets, frame by frame."""
    positive, negative = int(right.sum()), int((~right).sum())
    total = 0.0
    for value, good in zip(x.tolist(), right.tolist(), strict=True):
        target = (positive + 1) / (positive + 2) if good else 1 / (negative + 2)
        z = line[0] * value + line[1]
        # log sigma(z) and log(1 - sigma(z)) without overflow.
        low = -math.log1p(math.exp(-abs(z))) + min(z, 0.0)
        high = -math.log1p(math.exp(-abs(z))) + min(-z, 0.0)
        total -= target * low + (1.0 - target) * high
    return total


@pytest.mark.parametrize("scale", [1.0, 1e-3, 500.0])
def test_the_fit_is_where_scipys_search_without_slopes_ends(scale):
    x, right = drawn(150, slope=0.7, offset=-1.1)
    slope, offset = fit_logistic(scale * x, right)
    found = scipy.optimize.minimize(
        platts_loss,
        (0.1, 0.0),
        args=(x, right),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4_000},
    )
    np.testing.assert_allclose([slope * scale, offset], found.x, rtol=1e-5)


def test_a_line_that_made_the_frames_comes_back():
    line = fit_logistic(*drawn(200_000, slope=0.7, offset=-1.1))
    np.testing.assert_allclose(line, (0.7, -1.1), atol=0.02)


def test_scores_that_part_right_from_wrong_wholly_have_a_finite_line():
    x = np.array([-2.0, -1.0, 1.0, 2.0])
    slope, offset = fit_logistic(x, x > 0)
    # Platt's targets are 3/4 and 1/4 then: symmetric, and their mean log odds small.
    assert offset == pytest.approx(0.0, abs=1e-9)
    # The condition of a minimum: sum of (p - t) x is 0.
    p = 1.0 / (1.0 + np.exp(-slope * x))
    assert ((p - np.where(x > 0, 0.75, 0.25)) * x).sum() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("right", "message"),
    [
        ([True] * 4, "every box overlaps its target by more than half in 4 frames"),
        ([False] * 4, "no box overlaps its target by more than half in 4 frames"),
        ([True, True, False, False], "a higher score does not go with better boxes"),
        ([True, False, False, True], "a higher score does not go with better boxes"),
    ],
)
def test_what_cannot_be_fitted_is_refused(right, message):
    with pytest.raises(InputError, match=message):
        fit_logistic(np.array([-2.0, -1.0, 1.0, 2.0]), np.array(right))


def test_scores_that_differ_by_rounding_alone_tell_nothing():
    x = np.array([13.8, 13.8, 13.8, np.nextafter(13.8, 20.0)])
    with pytest.raises(InputError, match="the score is the same in all frames"):
        fit_logistic(x, np.array([False, False, False, True]))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.07, 0.5, 1.0])
def test_the_threshold_is_the_highest_with_few_right_boxes_below(share):
    rng = np.random.default_rng(4)
    scores, right = rng.random(300).round(2), rng.random(300) < 0.6
    threshold = lost_threshold(scores, right, false_share=share)
    good = scores[right].tolist()
    below = sum(score < threshold for score in good)
    assert below <= share * len(good) + 1e-9
    higher = [score for score in sorted(set(good)) if score > threshold]
    if higher:
        assert sum(score < higher[0] for score in good) > share * len(good)


def test_reliability_is_that_of_a_loop_over_frames():
    probabilities, right = (
        np.array([0.0, 0.05, 0.3, 0.32, 0.39, 1.0]),
        np.zeros(6, bool),
    )
    right[[3, 5]] = True
    found = reliability(probabilities, right)
    assert found.frames.tolist() == [2, 0, 0, 3, 0, 0, 0, 0, 0, 1]
    # Bin by bin: said .025, .3367, 1; right 0, 1/3, 1.
    np.testing.assert_allclose(found.said[[0, 3, 9]], [0.025, 1.01 / 3, 1.0])
    np.testing.assert_allclose(found.right[[0, 3, 9]], [0.0, 1 / 3, 1.0])
    assert np.isnan(found.said[1]) and np.isnan(found.right[1])
    assert found.error == pytest.approx((2 * 0.025 + 3 * 0.01 / 3 + 0) / 6)
    squares = 0.0 + 0.05**2 + 0.3**2 + 0.68**2 + 0.39**2 + 0.0
    assert found.brier == pytest.approx(squares / 6)
    assert found.brier_constant == pytest.approx((1 / 3) * (2 / 3))
