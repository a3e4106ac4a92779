"""A score becomes a probability by a line between log odds."""

import math

import numpy as np
import pytest

from dst_jax.track import OSTrackTracking, Session, SiamFCTracking, probabilities
from dst_jax.track.confidence import log_odds, score_of
from tests.track import scenes

LINE = (0.8, -1.5)


def by_hand(score):
    z = LINE[0] * math.log(score / (1.0 - score)) + LINE[1]
    return 1.0 / (1.0 + math.exp(-z))


def test_a_probability_is_the_logistic_of_a_line_in_the_scores_log_odds():
    scores = np.float32([0.01, 0.3, 0.5, 0.93, 0.9999])
    expected = [by_hand(float(score)) for score in scores]
    found = probabilities(scores, SiamFCTracking(calibration=LINE))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # The family plays no part.
    np.testing.assert_array_equal(
        found, probabilities(scores, OSTrackTracking(calibration=LINE))
    )


def test_without_a_calibration_there_is_no_probability():
    assert probabilities(np.float32([0.5]), SiamFCTracking(lost_below=0.2)) is None


def test_scores_of_no_answer_and_at_the_ends_have_finite_probabilities():
    steep = SiamFCTracking(calibration=(1000.0, 0.0))
    with np.errstate(all="raise"):
        found = probabilities(np.float32([0.0, 1.0]), steep)
    assert found.tolist() == [0.0, 1.0]
    # 0 is no low score but no answer: 1e-6 alone would have .00003 here.
    assert probabilities(np.float32([0.0]), SiamFCTracking(calibration=LINE)) == 0.0
    assert log_odds(np.float32([0.0])) == pytest.approx(math.log(1e-6), abs=1e-5)


@pytest.mark.parametrize("probability", [0.01, 0.5, 0.97])
def test_the_score_of_a_probability_is_the_one_that_has_it(probability):
    assert by_hand(score_of(probability, LINE)) == pytest.approx(probability)


def test_a_session_says_the_probability_of_its_box():
    frames, boxes = scenes.video(2, velocity=(1.0, 0.0))
    results = []
    for calibration in (None, LINE):
        session = Session(scenes.tracker(calibration=calibration))
        session.init(frames[0], boxes[0] - np.float32([10, 10, 0, 0]))
        results.append(session.update(frames[1]))
    plain, calibrated = results
    assert plain.probability is None
    assert calibrated.probability == pytest.approx(by_hand(calibrated.score), abs=1e-6)
    assert calibrated.score == plain.score and calibrated.state is None
    np.testing.assert_array_equal(calibrated.box, plain.box)
