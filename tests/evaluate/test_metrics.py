"""Overlaps, errors and curves against hand arithmetic and exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

from dst_jax.evaluate import metrics

BOX = np.array([[50.0, 40.0, 20.0, 10.0]])


def test_a_box_overlaps_itself_wholly_and_a_distant_one_not_at_all():
    assert metrics.frame_overlaps(BOX, BOX).tolist() == [1.0]
    far = BOX + np.array([100.0, 0.0, 0.0, 0.0])
    assert metrics.frame_overlaps(BOX, far).tolist() == [0.0]


def test_overlap_of_three_frames_done_by_hand():
    truth = np.repeat(BOX, 3, axis=0)
    predicted = truth + np.array([[0, 0, 0, 0], [10, 0, 0, 0], [0, 0, -10, 0]], float)
    # the same; half of each: 100 / 300; the inner half: 100 / 200
    got = metrics.frame_overlaps(predicted, truth)
    np.testing.assert_allclose(got, [1.0, 1 / 3, 1 / 2], rtol=1e-12)


def test_boxes_that_touch_do_not_overlap():
    beside = BOX + np.array([20.0, 0.0, 0.0, 0.0])
    assert metrics.frame_overlaps(beside, BOX).tolist() == [0.0]


@pytest.mark.parametrize("size", [(0.0, 10.0), (20.0, 0.0), (-20.0, -10.0)])
def test_an_empty_box_overlaps_nothing(size):
    empty = np.array([[50.0, 40.0, *size]])
    assert metrics.frame_overlaps(empty, BOX).tolist() == [0.0]


def test_an_absent_truth_has_neither_overlap_nor_error():
    absent = np.full((1, 4), np.nan)
    assert np.isnan(metrics.frame_overlaps(BOX, absent)).all()
    assert np.isnan(metrics.centre_errors(BOX, absent)).all()


def test_the_kits_pixel_centres_are_as_far_apart_as_box_centres():
    rng = np.random.default_rng(3)
    a, b = rng.uniform(1, 99, (2, 50, 4))
    kit = [x[:, :2] - x[:, 2:] / 2 + (x[:, 2:] - 1) / 2 for x in (a, b)]
    want = np.sqrt(((kit[0] - kit[1]) ** 2).sum(axis=1))
    np.testing.assert_allclose(metrics.centre_errors(a, b), want, rtol=1e-12)


def test_ties_are_decided_as_exact_fractions_decide_them():
    # Boxes of width n of 20 overlap by n / 20, computed by three routes that
    # round differently.
    shares = [Fraction(n, 20) for n in range(21)]
    want = [sum(s > Fraction(k, 20) for s in shares) / 21 for k in range(21)]
    loose = [sum(s >= Fraction(k, 20) for s in shares) / 21 for k in range(21)]
    for values in (
        np.array([float(s) for s in shares]),
        np.arange(21) * 0.05,
        np.linspace(0.0, 1.0, 21),
    ):
        strict = metrics.success_curve(values)
        np.testing.assert_allclose(strict, want, rtol=1e-12)
        at_least = metrics.success_curve(values, strict=False)
        np.testing.assert_allclose(at_least, loose, rtol=1e-12)


def test_the_last_success_threshold_is_never_exceeded():
    assert metrics.success_curve(np.ones(4))[-1] == 0.0
    assert metrics.success_curve(np.ones(4), strict=False)[-1] == 1.0


def test_an_error_at_the_very_distance_is_precise():
    curve = metrics.precision_curve(np.array([0.0, 5.0, 20.0, 20.001, np.inf]))
    assert len(curve) == 51
    np.testing.assert_allclose(
        curve[[0, 4, 5, 19, 20, 21, 50]] * 5, [1, 1, 2, 2, 3, 4, 4]
    )


def test_a_perfect_tracker_has_twenty_twentyfirsts():
    curve = metrics.success_curve(np.ones(7))
    assert metrics.area_under(curve) == pytest.approx(20 / 21, rel=1e-12)
