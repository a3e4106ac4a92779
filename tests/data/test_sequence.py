import numpy as np
import pytest

from dst_jax.data.sequence import Sequence, split_by_video
from dst_jax.errors import InputError


def make(name, *, video=None, source="", length=3):
    boxes = np.tile(np.float32([10, 10, 4, 4]), (length, 1))
    visible = np.ones(length, bool)
    return Sequence(name, video or name, (), boxes, visible, source=source)


def names(sequences):
    return sorted(s.name for s in sequences)


def test_two_targets_of_one_video_stay_on_one_side():
    sequences = [make(f"{v}-{k}", video=str(v)) for v in range(9) for k in (1, 2)]
    for seed in range(20):
        train, held_out = split_by_video(sequences, share=0.3, seed=seed)
        assert not {s.video for s in train} & {s.video for s in held_out}
        assert len(held_out) == 6  # round(.3 * 9) = 3 videos of two targets each
        assert names(train + held_out) == names(sequences)


def test_split_depends_on_the_seed_and_not_on_the_order_of_the_list():
    sequences = [make(str(i), source="ab"[i % 2]) for i in range(40)]
    first = split_by_video(sequences, share=0.25, seed=3)
    again = split_by_video(sequences[::-1], share=0.25, seed=3)
    other = split_by_video(sequences, share=0.25, seed=4)
    assert names(first[1]) == names(again[1])
    assert names(first[1]) != names(other[1])


def test_each_source_gives_its_share():
    sequences = [make(f"i{i}", source="images") for i in range(100)]
    sequences += [make(f"v{i}", source="videos") for i in range(10)]
    _, held_out = split_by_video(sequences, share=0.2, seed=0)
    assert [s.source for s in held_out].count("images") == 20
    assert [s.source for s in held_out].count("videos") == 2


def test_a_tiny_share_still_holds_out_one_video_and_a_large_one_keeps_one():
    two = [make("a"), make("b")]
    for share in (0.01, 0.99):
        train, held_out = split_by_video(two, share=share, seed=0)
        assert (len(train), len(held_out)) == (1, 1)
    apart = [make("a", source="x"), make("b", source="y")]
    assert len(split_by_video(apart, share=0.5, seed=0)[1]) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(share):
    with pytest.raises(InputError, match="share"):
        split_by_video([make("a"), make("b")], share=share, seed=0)


def test_one_video_cannot_be_split():
    with pytest.raises(InputError, match="at least two videos"):
        split_by_video([make("a", video="v"), make("b", video="v")], share=0.5, seed=0)


def test_frames_and_boxes_must_agree():
    boxes, visible = np.ones((2, 4), np.float32), np.ones(2, bool)
    with pytest.raises(InputError, match="3 frames and 2 boxes"):
        Sequence("a", "a", ("1", "2", "3"), boxes, visible)
    with pytest.raises(InputError, match="no boxes"):
        Sequence("a", "a", (), boxes[:0], visible[:0])


def test_a_visible_target_needs_a_box():
    boxes = np.full((2, 4), np.nan, np.float32)
    with pytest.raises(InputError, match="visible where its box is NaN"):
        Sequence("a", "a", (), boxes, np.ones(2, bool))


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        make("a").boxes[0] = 0.0
