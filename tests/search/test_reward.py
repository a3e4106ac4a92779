"""Rewards and the accuracy of proposals, against plain loops."""

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.search import (
    compression,
    mean_reward,
    proposal_overlap,
    reward,
)


def overlap(a, b):
    """IoU of two centre boxes, by hand."""
    low = [max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)]
    high = [min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) for i in (0, 1)]
    sides = [max(high[i] - low[i], 0) for i in (0, 1)]
    inter = sides[0] * sides[1]
    return inter / (a[2] * a[3] + b[2] * b[3] - inter)


def test_accuracy_is_the_mean_overlap_of_the_best_proposals():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(20, 40, (2, 24, 4)).astype(np.float32)
    scores = rng.normal(size=(2, 24)).astype(np.float32)
    truth = np.float32([[30, 33, 24, 30], [28, 31, 35, 22]])
    found = proposal_overlap(boxes, scores, truth, proposals=5)
    for number in range(2):
        best = np.argsort(scores[number])[::-1][:5]
        want = [overlap(boxes[number][place], truth[number]) for place in best]
        np.testing.assert_allclose(found[number], np.mean(want), rtol=1e-5)
    # More than there are: all 24.
    many = proposal_overlap(boxes, scores, truth, proposals=99)
    every = proposal_overlap(boxes, scores, truth, proposals=24)
    np.testing.assert_array_equal(many, every)


def test_a_perfect_proposal_scores_one():
    boxes = np.float32([[[50, 50, 20, 30], [46, 54, 20, 30]]])
    found = proposal_overlap(boxes, np.float32([[0, 1]]), boxes[:, 1], proposals=1)
    np.testing.assert_allclose(found, [1.0])


def test_rewards_balance_accuracy_and_compression():
    teacher, student = named("siamfc-alexnet"), named("siamfc-half")
    saved = compression(student, teacher)
    assert saved == 1 - 593_696 / 2_336_320
    assert reward(0.5, 0.8, saved) == pytest.approx(saved * (2 - saved) * 0.625)
    assert reward(0.8, 0.8, 1.0) == 1.0
    assert reward(0.8, 0.8, 0.0) == 0.0
    assert mean_reward([0.5, -1.0, 0.8]) == pytest.approx(0.1)
