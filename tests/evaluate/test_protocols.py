"""Scores against the got10k toolkit, hand arithmetic, and bad input."""

import json
import pathlib

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Protocol, protocols, score, score_sequence

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "otb_got10k.json"
TRUTH = np.array([[20.0 + 2 * t, 30.0, 8.0, 10.0] for t in range(6)])
NAN = np.full(4, np.nan)


def from_file_convention(rows):
    """x,y,w,h, 1-based, to cx,cy,w,h, 0-based."""
    x, y, w, h = np.array(rows).T
    return np.stack([x - 1 + w / 2, y - 1 + h / 2, w, h], axis=1)


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def golden_score(golden):
    boxes = golden["boxes"]
    results = {n: from_file_convention(b["predicted"]) for n, b in boxes.items()}
    truths = {n: from_file_convention(b["truth"]) for n, b in boxes.items()}
    return score(results, truths, OTB)


def assert_same(ours, kit):
    np.testing.assert_allclose(ours.curves["success"], kit["success_curve"], rtol=1e-12)
    np.testing.assert_allclose(
        ours.curves["precision"], kit["precision_curve"], rtol=1e-12
    )
    assert ours.values["success_auc"] == pytest.approx(kit["success_score"], rel=1e-12)
    assert ours.values["precision_20"] == pytest.approx(
        kit["precision_score"], rel=1e-12
    )
    assert ours.values["op_50"] == pytest.approx(kit["success_rate"], rel=1e-12)


@pytest.mark.parametrize("name", ["good", "poor", "lost", "ties", "empty"])
def test_every_sequence_scores_as_the_got10k_toolkit_says(golden, golden_score, name):
    assert_same(golden_score.sequences[name], golden["report"]["seq_wise"][name])


def test_the_mean_over_sequences_is_the_got10k_toolkits(golden, golden_score):
    assert_same(golden_score, golden["report"]["overall"])


def test_a_perfect_tracker_scores_twenty_twentyfirsts():
    perfect = score_sequence(TRUTH, TRUTH, OTB)
    assert perfect.values["success_auc"] == pytest.approx(20 / 21, rel=1e-12)
    assert (
        perfect.values["precision_20"],
        perfect.values["op_50"],
        perfect.frames,
    ) == (1.0, 1.0, 6)


def test_a_tracker_that_never_moves_scores_what_the_hand_computes():
    still = score_sequence(np.repeat(TRUTH[:1], 6, axis=0), TRUTH, OTB)
    # The target moves 2 px a frame, of its 8 px width: overlaps 1, 6/10, 4/12, 2/14,
    # 0, 0 exceed 20, 12, 7, 3, 0, 0 of the 21 thresholds.
    assert still.values["success_auc"] == pytest.approx(
        (20 + 12 + 7 + 3) / 21 / 6, rel=1e-12
    )
    assert still.values["op_50"] == pytest.approx(2 / 6)
    np.testing.assert_allclose(
        still.curves["precision"][[0, 1, 2, 10]] * 6, [1, 1, 2, 6]
    )


def test_the_first_prediction_follows_the_protocol():
    wrong = TRUTH.copy()
    wrong[0] += 500.0
    ops = {
        first: score_sequence(wrong, TRUTH, Protocol("x", first_frame=first)).values[
            "op_50"
        ]
        for first in ("truth", "given", "left_out")
    }
    assert ops == {"truth": 1.0, "given": pytest.approx(5 / 6), "left_out": 1.0}
    assert wrong[0, 0] == TRUTH[0, 0] + 500.0  # the argument is untouched


EMPTY = [[9.0, 9.0, 0.0, 5.0], [9.0, 9.0, 5.0, -1.0], [0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("invalid", [NAN, *EMPTY])
def test_frames_without_a_valid_truth_are_left_out_or_missed(invalid):
    truth = TRUTH.copy()
    truth[2] = invalid
    out = Protocol("x", invalid_truth="left_out", empty_truth="left_out")
    miss = Protocol("x", invalid_truth="missed", empty_truth="missed")
    left_out = score_sequence(TRUTH, truth, out)
    missed = score_sequence(TRUTH, truth, miss)
    assert (
        left_out.frames,
        left_out.values["op_50"],
        left_out.values["precision_20"],
    ) == (5, 1.0, 1.0)
    assert missed.frames == 6
    assert missed.values["op_50"] == pytest.approx(5 / 6)
    assert missed.values["precision_20"] == pytest.approx(5 / 6)


def test_otb_leaves_nan_out_and_counts_truth_without_area_as_got10k_does():
    truth = TRUTH.copy()
    truth[2], truth[3] = NAN, [20.0, 30.0, 0.0, 0.0]
    near = TRUTH.copy()
    near[3] = [20.0, 45.0, 8.0, 10.0]  # 15 px from the centre that the truth states
    got = score_sequence(near, truth, OTB)
    assert (got.frames, got.absent, got.empty) == (5, 1, 1)
    assert got.values["success_auc"] == pytest.approx(4 / 5 * 20 / 21, rel=1e-12)
    assert got.values["op_50"] == pytest.approx(4 / 5)
    assert got.curves["precision"][[14, 15]].tolist() == [4 / 5, 1.0]


def test_a_score_counts_the_boxes_without_area_and_says_if_none_moves():
    empty = TRUTH.copy()
    empty[3:, 2] = 0.0
    got = score_sequence(empty, TRUTH, OTB)
    assert (got.empty_predicted, got.moves) == (3, True)
    still = score_sequence(np.repeat(TRUTH[:1], 6, axis=0), TRUTH, OTB)
    assert (still.empty_predicted, still.moves) == (0, False)


def test_a_sequence_counts_the_same_whatever_its_length():
    results = {"long": TRUTH, "short": TRUTH[:2] + 1000.0}
    truths = {"long": TRUTH, "short": TRUTH[:2]}
    got = score(results, truths, OTB)
    assert got.values["op_50"] == pytest.approx(
        (1 + 1 / 2) / 2
    )  # the first frame is given


def test_float32_boxes_of_whole_pixels_score_as_float64_ones(golden, golden_score):
    boxes = golden["boxes"]["ties"]
    halves = [
        from_file_convention(boxes[k]).astype("f4") for k in ("predicted", "truth")
    ]
    got = score_sequence(*halves, OTB)
    np.testing.assert_array_equal(
        got.curves["success"], golden_score.sequences["ties"].curves["success"]
    )


def test_a_nan_prediction_names_the_sequence_and_the_frame():
    predicted = TRUTH.copy()
    predicted[3, 2] = np.nan
    with pytest.raises(InputError, match=r"'Dog', frame 4 of 6: .*nan.* not finite"):
        score({"Dog": predicted}, {"Dog": TRUTH}, OTB)


@pytest.mark.parametrize("count", [0, 5])
def test_a_wrong_number_of_boxes_names_both_numbers(count):
    message = rf"'Dog': {count} predicted boxes for 6 frames"
    with pytest.raises(InputError, match=message):
        score({"Dog": TRUTH[:count]}, {"Dog": TRUTH}, OTB)


def test_missing_sequences_are_listed_with_the_nearest_spelling():
    truths = {"Dog": TRUTH, "Human4-2": TRUTH, "Jogging-1": TRUTH, "Woman": TRUTH}
    found = {"Dog": TRUTH, "human4_2": TRUTH, "Jogging.1": TRUTH}
    with pytest.raises(InputError) as caught:
        score(found, truths, OTB)
    assert str(caught.value) == (
        "the results: no result for 3 sequences Human4-2 (did you mean human4_2?), "
        "Jogging-1 (did you mean Jogging.1?), Woman; add or rename the file "
        "<sequence>.txt."
    )


def test_a_sequence_with_nothing_to_score_is_refused():
    with pytest.raises(InputError, match="none of its 6 frames can be scored"):
        score_sequence(TRUTH, np.full((6, 4), np.nan), OTB)
    with pytest.raises(InputError, match="data set is empty"):
        score({}, {}, OTB)


def test_a_protocol_describes_itself_in_json():
    described = json.loads(json.dumps(OTB.describe()))
    assert described["strict"] is True
    assert described["first_frame"] == "truth"
    assert described["op_50"].endswith("> 0.5")
    assert len(described["overlap_thresholds"]) == 21
    assert protocols.Protocol("x", strict=False).comparison == ">="
