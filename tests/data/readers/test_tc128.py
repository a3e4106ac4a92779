import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.dtb70 import read_dtb70
from dst_jax.data.readers.tc128 import read_tc128
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames, write_rows

ROWS = [(1, 1, 10, 20), (5, 7, 10, 20)]


def write_sequence(root, name, *, frames, span):
    write_frames(root / name / "img", frames, digits=4)
    write_rows(root / name / f"{name}_gt.txt", ROWS)
    (root / name / f"{name}_frames.txt").write_text(span)


def test_the_annotated_frames_are_chosen_by_their_numbers(tmp_path):
    write_sequence(tmp_path, "Ball_ce", frames=range(1, 8), span="3,4\n")
    problems = Problems()
    (ball,) = read_tc128(tmp_path, problems=problems)
    assert names(ball.frames) == ["0003.jpg", "0004.jpg"]
    notes = [(f.sequence, f.frames, f.reason) for f in problems.left_out]
    assert notes == [("Ball_ce", 5, "frame outside the annotated range")]
    assert ball.boxes[0].tolist() == [5.0, 10.0, 10.0, 20.0]


@pytest.mark.parametrize(
    ("span", "complaint"),
    [
        ("3,5", "2 boxes for 3 frames"),
        ("6,9", "no frame number 8 of 6 to 9"),
        ("4,3", r"_frames\.txt is not one line first,last"),
        ("nan,3", r"_frames\.txt is not one line first,last"),
        ("3,4\n5,6", r"_frames\.txt is not one line first,last"),
        ("3", "is not 2 numbers"),
    ],
)
def test_a_range_that_does_not_fit_is_refused(tmp_path, span, complaint):
    write_sequence(tmp_path, "Ball_ce", frames=range(1, 8), span=span)
    with pytest.raises(InputError, match=complaint):
        read_tc128(tmp_path)


def test_dtb70_is_read_as_otb_under_its_own_name(tmp_path):
    write_frames(tmp_path / "Animal1" / "img", (1, 2), digits=5)
    write_rows(tmp_path / "Animal1" / "groundtruth_rect.txt", ROWS)
    (animal,) = read_dtb70(tmp_path)
    assert animal.source == f"dtb70:{tmp_path}"
    assert animal.boxes[0].tolist() == [5.0, 10.0, 10.0, 20.0]
