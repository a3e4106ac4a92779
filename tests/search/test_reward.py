"""Rewards and the accuracy of proposals, against plain loops."""

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.decode import from_json, to_json
from dst_jax.errors import InputError
from dst_jax.search import (
    SearchConfig,
    compression,
    mean_reward,
    proposal_overlap,
    reward,
)
from tests import networks


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


def test_compression_may_count_the_multiply_adds_of_a_search_image():
    # Maps of 31, 13, 13 and 9 cells a side; the second stage has two groups.
    def macs(first, second, third):
        stages = 31**2 * 27 * first + 13**2 * 9 * (first // 2) * second
        return stages + 13**2 * second * third + 9**2 * 5**2 * third

    assert macs(6, 8, 6) == 212_448
    saved = compression(networks.STUDENTS["dull"], networks.TEACHER, size="macs")
    assert saved == 1 - macs(2, 4, 4) / macs(6, 8, 6)
    assert saved != compression(networks.STUDENTS["dull"], networks.TEACHER)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_nothing_or_everything_fits_is_refused(share):
    with pytest.raises(InputError, match=r"largest=.*above 0, at most 1"):
        SearchConfig(largest=share)


def test_what_size_counts_is_written_only_where_it_is_not_the_papers():
    assert SearchConfig().size == "parameters" and "size" not in to_json(SearchConfig())
    written = to_json(SearchConfig(size="macs"))
    assert written["size"] == "macs"
    assert from_json(SearchConfig, written, "search") == SearchConfig(size="macs")
    with pytest.raises(InputError, match=r"size='bytes'.*parameters.*macs"):
        from_json(SearchConfig, {"size": "bytes"}, "search")
