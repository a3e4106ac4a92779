"""Rewards and the accuracy of proposals, against plain loops."""

import jax
import numpy as np
import pytest

from dst_jax import search
from dst_jax.arch import named
from dst_jax.search import compression, mean_reward, reward

proposal_overlap = jax.jit(
    search.proposal_overlap, static_argnames=("stride", "search_px", "proposals")
)
region_overlap = jax.jit(search.region_overlap, static_argnames="proposals")


def overlap(a, b):
    """IoU of two centre boxes, by hand."""
    low = [max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)]
    high = [min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) for i in (0, 1)]
    sides = [max(high[i] - low[i], 0) for i in (0, 1)]
    inter = sides[0] * sides[1]
    return inter / (a[2] * a[3] + b[2] * b[3] - inter)


def test_proposals_are_the_targets_boxes_at_the_best_cells():
    rng = np.random.default_rng(0)
    response = rng.normal(size=(3, 5, 5)).astype(np.float32)
    size = rng.uniform(20, 60, (3, 2)).astype(np.float32)
    truth = np.float32([[50, 55, 40, 30], [60, 40, 20, 50], [52, 52, 33, 44]])
    found = proposal_overlap(
        response, size, truth, stride=8.0, search_px=103, proposals=4
    )
    for number in range(3):
        cells = np.argsort(response[number].ravel())[::-1][:4]
        want = []
        for cell in cells:
            row, column = divmod(int(cell), 5)
            # The middle cell lies at the middle of the crop.
            centre = 51.5 + 8 * (column - 2), 51.5 + 8 * (row - 2)
            want.append(overlap((*centre, *size[number]), truth[number]))
        np.testing.assert_allclose(found[number], np.mean(want), rtol=1e-5)


def test_a_perfect_response_scores_one_with_one_proposal():
    response = np.zeros((1, 5, 5), np.float32)
    response[0, 3, 1] = 1.0
    truth = np.float32([[50 - 4, 50 + 4, 20, 30]])
    found = proposal_overlap(
        response, truth[:, 2:], truth, stride=4.0, search_px=100, proposals=1
    )
    np.testing.assert_allclose(found, [1.0])


def test_more_proposals_than_cells_are_all_cells():
    response = np.zeros((1, 3, 3), np.float32)
    truth = np.float32([[50, 50, 10, 10]])
    arguments = {"stride": 100.0, "search_px": 100}
    found = proposal_overlap(response, truth[:, 2:], truth, **arguments, proposals=99)
    np.testing.assert_allclose(found, [1 / 9], rtol=1e-6)


def test_regions_are_the_boxes_of_the_anchors_of_highest_target_score():
    rng = np.random.default_rng(0)
    response = rng.normal(size=(2, 3, 4, 2, 2)).astype(np.float32)
    offsets = rng.normal(0, 0.3, (2, 3, 4, 2, 4)).astype(np.float32)
    anchors = rng.uniform(20, 40, (3, 4, 2, 4)).astype(np.float32)
    truth = np.float32([[30, 33, 24, 30], [28, 31, 35, 22]])
    found = region_overlap(response, offsets, anchors, truth, proposals=5)
    for number in range(2):
        odds = np.exp(response[number].astype(np.float64))
        score = odds[..., 1] / odds.sum(axis=-1)
        want = []
        for flat in np.argsort(score.ravel())[::-1][:5]:
            place = np.unravel_index(flat, (3, 4, 2))
            (x, y, w, h), (dx, dy, dw, dh) = anchors[place], offsets[number][place]
            box = x + dx * w, y + dy * h, w * np.exp(dw), h * np.exp(dh)
            want.append(overlap(box, truth[number]))
        np.testing.assert_allclose(found[number], np.mean(want), rtol=1e-5)
    # More than there are: all 24.
    many = region_overlap(response, offsets, anchors, truth, proposals=99)
    every = region_overlap(response, offsets, anchors, truth, proposals=24)
    np.testing.assert_array_equal(many, every)


def test_rewards_balance_accuracy_and_compression():
    teacher, student = named("siamfc-alexnet"), named("siamfc-half")
    saved = compression(student, teacher)
    assert saved == 1 - 593_696 / 2_336_320
    assert reward(0.5, 0.8, saved) == pytest.approx(saved * (2 - saved) * 0.625)
    assert reward(0.8, 0.8, 1.0) == 1.0
    assert reward(0.8, 0.8, 0.0) == 0.0
    assert mean_reward([0.5, -1.0, 0.8]) == pytest.approx(0.1)
