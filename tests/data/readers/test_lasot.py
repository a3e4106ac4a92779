import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.lasot import read_lasot
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames, write_rows

ROWS = [(1, 1, 10, 20), (0, 0, 0, 0), (5, 7, 10, 20), (9, 9, 10, 10)]


def write_target(folder, rows=ROWS, *, frames=4, occluded="0,0,1,0", gone="0,1,0,0"):
    write_frames(folder / "img", range(1, frames + 1))
    write_rows(folder / "groundtruth.txt", rows)
    (folder / "full_occlusion.txt").write_text(occluded)
    (folder / "out_of_view.txt").write_text(gone)
    (folder / "nlp.txt").write_text("white airplane landing on ground")


def test_boxes_are_one_based_and_flags_hide_or_take_away(tmp_path):
    write_target(tmp_path / "airplane" / "airplane-1")
    (target,) = read_lasot(tmp_path)
    assert (target.name, target.category) == ("airplane-1", "airplane")
    assert target.boxes[0].tolist() == [5.0, 10.0, 10.0, 20.0]
    # Frame 1 is out of view, frame 2 fully occluded, where the box is known.
    assert target.visible.tolist() == [True, False, False, True]
    assert target.boxes[2].tolist() == [9.0, 16.0, 10.0, 20.0]
    assert str(target.boxes[1, 0]) == "nan"
    assert names(target.frames)[0] == "00000001.jpg"


def test_sequences_lie_in_folders_of_classes_or_at_the_top(tmp_path):
    write_target(tmp_path / "space-craft" / "space-craft-2")
    write_target(tmp_path / "cat-20")
    found = {s.name: s.category for s in read_lasot(tmp_path)}
    assert found == {"cat-20": "cat", "space-craft-2": "space-craft"}


def test_flags_may_be_missing_and_a_zero_box_still_is_no_target(tmp_path):
    write_target(tmp_path / "cat-1")
    (tmp_path / "cat-1" / "out_of_view.txt").unlink()
    (tmp_path / "cat-1" / "full_occlusion.txt").unlink()
    (target,) = read_lasot(tmp_path)
    assert target.visible.tolist() == [True, False, True, True]


def test_one_frame_after_the_last_box_is_left_out_and_counted(tmp_path):
    write_target(tmp_path / "bus-4", frames=5)
    problems = Problems()
    (target,) = read_lasot(tmp_path, problems=problems)
    assert len(target.frames) == 4
    found = [(f.sequence, f.frames, f.reason) for f in problems.left_out]
    assert found == [("bus-4", 1, "frame after the last box")]


@pytest.mark.parametrize("frames", [3, 6])
def test_other_differences_of_counts_are_refused(tmp_path, frames):
    write_target(tmp_path / "paddle-1", frames=frames)
    with pytest.raises(InputError, match=f"4 boxes for {frames} frames"):
        read_lasot(tmp_path)
    assert len(read_lasot(tmp_path, frames_required=False)[0]) == 4


def test_flags_must_be_as_many_as_boxes(tmp_path):
    write_target(tmp_path / "cat-1", gone="0,1,0")
    with pytest.raises(InputError, match=r"out_of_view\.txt has 3 labels for 4 boxes"):
        read_lasot(tmp_path)
    (tmp_path / "cat-1" / "out_of_view.txt").write_text("0,x,0,0")
    with pytest.raises(InputError, match=r"out_of_view\.txt holds more than numbers"):
        read_lasot(tmp_path)


def test_a_box_with_one_side_alone_is_no_absence(tmp_path):
    write_target(tmp_path / "cat-1", [*ROWS[:3], (9, 9, 0, 10)])
    with pytest.raises(InputError, match=r"line 4: box 9,9,0,10 has no area"):
        read_lasot(tmp_path)
