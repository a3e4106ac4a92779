"""Presets: a hand-made case of each convention in which two of them differ."""

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate import PRESETS, Truth, named_protocol, score, score_sequence
from dst_jax.evaluate.protocols import lacking, protocol_of_layout

# Ten frames of a box of 20 x 10 that stands still; its centre is (50, 40).
BOXES = np.tile([50.0, 40.0, 20.0, 10.0], (10, 1))
NAN = np.full(4, np.nan)
PERFECT = 20 / 21


def changed(frame, box):
    boxes = BOXES.copy()
    boxes[frame] = box
    return boxes


def frames(*numbers):
    return np.isin(np.arange(10), numbers)


def value(protocol, measure, predicted, truth=BOXES):
    found = score_sequence(predicted, truth, named_protocol(protocol))
    return found.values[measure]


def test_the_first_frame_is_the_truth_or_as_it_was_given():
    lost = changed(0, [250.0, 40.0, 20.0, 10.0])
    assert value("otb/got10k", "op_50", lost) == 1.0
    assert value("otb/pysot", "op_50", lost) == 0.9


def test_a_frame_of_nan_does_not_count_or_is_missed_but_precise():
    truth = changed(4, NAN)
    assert value("uav123/got10k", "op_50", BOXES, truth) == 1.0
    assert value("uav123/pysot", "op_50", BOXES, truth) == 0.9
    assert value("uav123/pytracking", "op_50", BOXES, truth) == 0.9
    far = changed(4, [250.0, 40.0, 20.0, 10.0])
    assert value("uav123/pytracking", "precision_20", far, truth) == 1.0
    assert value("otb/pytracking", "op_50", BOXES, truth) == 1.0


def test_truth_of_zeros_is_at_the_corner_or_precise_or_not_counted():
    truth = changed(4, [0.0, 0.0, 0.0, 0.0])
    assert value("otb/got10k", "precision_20", BOXES, truth) == 0.9
    assert value("otb/pysot", "precision_20", BOXES, truth) == 1.0
    assert value("otb/got10k", "success_auc", BOXES, truth) == pytest.approx(
        0.9 * PERFECT
    )
    assert value("otb/pytracking", "success_auc", BOXES, truth) == pytest.approx(
        PERFECT
    )


def test_pysot_asks_whether_the_centre_in_the_files_is_positive():
    # In files that count from 1 a centre at -.2 is at .3 by x + (w - 1) / 2.
    far = changed(4, [250.0, 40.0, 20.0, 10.0])
    boxes = changed(4, [-0.2, 40.0, 20.0, 10.0])
    protocol = named_protocol("otb/pysot")
    values = [
        score_sequence(far, Truth(boxes, origin=n), protocol).values["precision_20"]
        for n in (0, 1)
    ]
    assert values == [1.0, 0.9]


def test_a_predicted_box_without_area_fails_or_is_the_one_before_it():
    empty = changed(4, [250.0, 40.0, 0.0, 10.0])
    assert value("otb/got10k", "op_50", empty) == 0.9
    assert value("otb/pytracking", "op_50", empty) == 1.0


def test_frames_out_of_view_are_missed_or_scored_by_the_box_they_state():
    truth = Truth(BOXES, absent=frames(3, 4), covered=frames(7))
    assert value("lasot/pysot", "success_auc", BOXES, truth) == pytest.approx(
        0.7 * PERFECT
    )
    assert value("lasot/pytracking", "success_auc", BOXES, truth) == pytest.approx(
        0.7 * PERFECT
    )
    assert value("lasot/got10k", "success_auc", BOXES, truth) == pytest.approx(PERFECT)
    assert value("lasot_ext/pytracking", "success_auc", BOXES, truth) == (
        pytest.approx(PERFECT)
    )


def test_the_extension_counts_frames_as_precise_that_it_leaves_out():
    truth = Truth(BOXES, absent=frames(3, 4), covered=frames(7))
    norm = "norm_precision_20"
    assert value("lasot/pytracking", norm, BOXES, truth) == 0.7
    assert value("lasot_ext/pytracking", norm, BOXES, truth) == pytest.approx(10 / 7)


def test_normalised_precision_is_read_at_a_fifth_or_is_a_mean():
    # Half of the frames are off by .3 of the width, 6 px of 20, and by no height.
    off = BOXES + np.where(frames(*range(5, 10))[:, None], [6.0, 0.0, 0.0, 0.0], 0.0)
    assert value("lasot/pysot", "norm_precision_20", off, Truth(BOXES)) == 0.5
    # 51 thresholds, of which .3 is the 31st: 30 that half of the frames pass, 21 all.
    mean = value("lasot/got10k", "norm_precision_mean", off)
    assert mean == pytest.approx((30 * 0.5 + 21) / 51)


def test_normalised_errors_are_measured_in_the_true_width_and_height():
    # Off by 2 px of 20 and 1 px of 10: .1 and .1, so .1414 in all.
    off = BOXES + np.array([2.0, 1.0, 0.0, 0.0])
    protocol = named_protocol("lasot/pysot")
    curve = score_sequence(off, BOXES, protocol).curves["norm_precision"]
    assert curve[[14, 15]].tolist() == [0.0, 1.0]


def test_trackingnet_rounds_asks_for_at_least_and_takes_areas():
    assert value("trackingnet", "success_area", BOXES) == 1.0
    assert value("trackingnet", "precision_area", BOXES) == 1.0
    # 20.4 px wide is 20 of whole pixels, which is the truth; OTB sees 20/20.4.
    wide = BOXES + np.array([0.2, 0.0, 0.4, 0.0])
    assert value("trackingnet", "success_area", wide) == 1.0
    # Half an overlap in all frames but the first, which is given: at least 0 ... .5.
    half = BOXES + np.array([0.0, 0.0, 20.0, 0.0])
    half[:, 0] += 10.0
    # Thresholds 0 to .5 are passed by all, .55 to 1 by a tenth: by trapezoids
    # .5 + .05 (1 + .1) / 2 + .45 * .1.
    area = 0.5 + 0.05 * 1.1 / 2 + 0.45 * 0.1
    assert value("trackingnet", "success_area", half) == pytest.approx(area)
    # OTB asks for more than .5 and takes the mean: 10 thresholds all, 10 a tenth.
    assert value("otb", "success_auc", half) == pytest.approx((10 + 10 * 0.1) / 21)


def test_trackingnets_precision_is_the_area_up_to_fifty_pixels():
    # Nine frames are 20 px off, the first is given: the curve is .1 below 20 px, 1 on.
    off = BOXES + np.array([20.0, 0.0, 0.0, 0.0])
    area = (7 * 0.1 + 0.55 + 12 * 1.0) / 20
    assert value("trackingnet", "precision_area", off) == pytest.approx(area)
    # 20 px are a width: beyond the largest threshold, .5, save in the first frame.
    norm = value("trackingnet", "norm_precision_area", off)
    assert norm == pytest.approx(0.1)


def test_trackingnet_rounds_halves_to_even_in_the_files_convention():
    # x 10.5 becomes 10 and 11.5 becomes 12, width 5 stays.
    truth = np.array([[13.0, 10.0, 5.0, 4.0]] * 2)
    halves = truth + np.array([[0, 0, 0, 0], [1.0, 0, 0, 0]])
    protocol = named_protocol("trackingnet")
    found = score_sequence(halves, Truth(truth), protocol)
    # From x = 10 to 12 of a width of 5: an overlap of 3/7 = .43, passed at 0 to .4.
    curve = found.curves["success"]
    assert curve[8:10].tolist() == [1.0, 0.5]


def test_got10k_pools_frames_and_leaves_out_the_first_and_the_covered():
    size = (100, 100)
    still = Truth(BOXES, covered=frames(8, 9), size=size)
    short = Truth(BOXES[:3], size=size)
    half = BOXES + np.array([10.0, 0.0, 20.0, 0.0])  # an overlap of .5 each
    truths, results = {"a": still, "b": short}, {"a": BOXES, "b": half[:3]}
    found = score(results, truths, named_protocol("got10k"))
    # 7 frames of overlap 1 and 2 of overlap .5, which is not more than .5.
    assert found.values["average_overlap"] == pytest.approx(8 / 9)
    assert found.values["sr_50"] == pytest.approx(7 / 9)
    assert found.values["sr_75"] == pytest.approx(7 / 9)
    assert found.sequences["a"].frames == 7
    by_sequence = score(results, truths, named_protocol("otb"))
    # OTB takes the mean over sequences; the first frame of each is the truth.
    assert by_sequence.values["op_50"] == pytest.approx((1 + 1 / 3) / 2)


def test_got10k_clips_to_the_image_as_its_toolkit_does():
    # The truth ends at the image's right edge, the box 20 px beyond it: the same.
    truth = Truth(np.tile([90.0, 40.0, 20.0, 10.0], (3, 1)), size=(100, 100))
    beyond = truth.boxes + np.array([10.0, 0.0, 20.0, 0.0])
    assert value("got10k", "average_overlap", beyond, truth) == 1.0
    assert value("otb", "op_50", beyond, truth) == pytest.approx(1 / 3)
    # A box that begins at -10 is moved in and keeps its width of 20.
    corner = Truth(np.tile([10.0, 40.0, 20.0, 10.0], (3, 1)), size=(100, 100))
    before = corner.boxes - np.array([10.0, 0.0, 0.0, 0.0])
    assert value("got10k", "average_overlap", before, corner) == 1.0


def test_got10k_needs_the_size_of_the_image():
    with pytest.raises(InputError, match="whose size is unknown; add the frames"):
        value("got10k", "average_overlap", BOXES)


def test_several_runs_of_a_sequence_count_together():
    half = BOXES + np.array([10.0, 0.0, 20.0, 0.0])
    truth = Truth(BOXES, size=(100, 100))
    runs = np.stack([BOXES, half, half])
    assert value("got10k", "average_overlap", runs, truth) == pytest.approx(2 / 3)


def test_every_preset_is_named_after_its_data_set_and_kit():
    for family, kits in PRESETS.items():
        for kit, protocol in kits.items():
            assert protocol.name == f"{family}/{kit}"
            assert named_protocol(protocol.name) is protocol
            assert protocol.reproduces


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("otb", "otb/got10k"),
        ("uav123-10fps", "uav123/pytracking"),
        ("lasot", "lasot/pysot"),
        ("trackingnet", "trackingnet/trackingnet"),
        ("got10k", "got10k/got10k"),
        ("nfs-240", "nfs/got10k"),
        ("folder", "otb/got10k"),
    ],
)
def test_a_layout_is_scored_as_its_papers_do(layout, name):
    assert protocol_of_layout(layout).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lsot", r"protocol 'lsot': unknown \(did you mean lasot\?\); the protocols"),
        ("x", r"protocol 'x': unknown; the protocols are otb, dtb70, uav123, nfs, "),
        ("lasot/otb", r"'lasot/otb': unknown; for lasot there are lasot/pysot, lasot/"),
        ("", "protocol '': unknown; the protocols"),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(name, message):
    with pytest.raises(InputError, match=message):
        named_protocol(name)


def test_what_a_data_set_lacks_is_said_in_words():
    lasot = named_protocol("lasot")
    both = "marks of the frames whose target is absent or wholly covered"
    assert lacking(lasot, ()) == both
    assert lacking(lasot, ("absent", "covered")) == ""
    assert lacking(named_protocol("otb"), ()) == ""
