"""What is said below a table of scores."""

import numpy as np

from dst_jax.evaluate import OTB, score
from dst_jax.evaluate.notes import notes

TRUTH = np.array([[20.0 + 2 * t, 30.0, 8.0, 10.0] for t in range(6)])


def with_row(index, row):
    boxes = TRUTH.copy()
    boxes[index] = row
    return boxes


def said(results, truths):
    return notes({"mine": score(results, truths, OTB)})


def test_sound_boxes_need_no_note():
    assert said({"a": TRUTH}, {"a": TRUTH}) == ()


def test_frames_without_truth_and_without_area_are_counted_and_their_sequences_named():
    truths = {
        "Board": with_row(5, 0.0),
        "Twinnings": with_row(5, 0.0),
        "bike1": with_row(2, np.nan),
        "Dog": TRUTH,
    }
    assert said(dict.fromkeys(truths, TRUTH), truths) == (
        "2 frames of Board, Twinnings have a true box without area: they count as "
        "overlap 0.",
        "1 frame of bike1 has no true box: it does not count.",
    )


def test_only_a_few_sequences_are_named():
    truths = {f"s{n}": with_row(5, 0.0) for n in range(9)}
    (note,) = said(dict.fromkeys(truths, TRUTH), truths)
    assert note.startswith("9 frames of s0, s1, s2, s3 and 5 more have")


def test_scores_of_first_frames_alone_are_called_worthless():
    hidden = np.full_like(TRUTH, np.nan)
    hidden[0] = TRUTH[0]
    found = said({"a": TRUTH}, {"a": hidden})
    assert found[-1] == "Only first frames have a true box: these scores say nothing."


def test_boxes_without_area_or_motion_are_told_with_the_trackers_name():
    empty = with_row(slice(1, None), [5.0, 5.0, 0.0, 3.0])
    assert said({"a": empty}, {"a": TRUTH}) == (
        "mine: 5 of its boxes have no area and so overlap nothing.",
    )
    still = np.repeat(TRUTH[:1], 6, axis=0)
    assert said({"a": still}, {"a": TRUTH}) == (
        "mine: its boxes never differ from the first of a sequence.",
    )
    # One sequence in which the boxes move is enough.
    assert said({"a": still, "b": TRUTH}, {"a": TRUTH, "b": TRUTH}) == ()
