import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.nfs import read_nfs
from dst_jax.errors import InputError
from tests.data.readers.trees import write_frames


def line(number, *, lost=0, occluded=0, left=10):
    return f'0 {left} 5 30 25 {number} {lost} {occluded} 0 "person head"'


def write_sequence(root, lines, *, frames, fps=30, name="ball_1"):
    folder = root / name / str(fps)
    write_frames(folder / name, range(1, frames + 1), digits=5)
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_corners_become_boxes_and_flags_count(tmp_path):
    lines = [line(0), line(1, occluded=1), line(2, lost=1)]
    write_sequence(tmp_path, lines, frames=3)
    (ball,) = read_nfs(tmp_path)
    # xmin 10, ymin 5, xmax 30, ymax 25.
    assert ball.boxes[0].tolist() == [20.0, 15.0, 20.0, 20.0]
    assert ball.visible.tolist() == [True, False, False]
    assert ball.boxes[1].tolist() == [20.0, 15.0, 20.0, 20.0]
    assert (ball.name, ball.category) == ("ball_1", "person head")


def test_the_rates_have_folders_of_their_own(tmp_path):
    write_sequence(tmp_path, [line(0)] * 2, frames=2)
    write_sequence(tmp_path, [line(0)] * 16, frames=16, fps=240)
    assert [len(s) for s in read_nfs(tmp_path)] == [2]
    (fast,) = read_nfs(tmp_path, fps=240)
    assert (len(fast), fast.source) == (16, f"nfs-240:{tmp_path}")


def test_boxes_at_the_higher_rate_are_thinned(tmp_path):
    lines = [line(i, left=10 + i) for i in range(17)]
    write_sequence(tmp_path, lines, frames=2)
    problems = Problems()
    (ball,) = read_nfs(tmp_path, problems=problems)
    # Boxes 0, 8 and 16; the third has no frame.
    assert [b[0] - 0.5 * b[2] for b in ball.boxes.tolist()] == [10.0, 18.0]
    assert [(f.frames, f.reason) for f in problems.left_out] == [
        (14, "box of the 240 fps video between two frames"),
        (1, "last frame or box without the other"),
    ]


def test_frames_without_boxes_are_named(tmp_path):
    write_sequence(tmp_path, [line(0)], frames=1)
    write_frames(tmp_path / "cup" / "30" / "cup", (1, 2), digits=5)
    (tmp_path / "empty" / "30").mkdir(parents=True)
    problems = Problems(strict=False)
    assert [s.name for s in read_nfs(tmp_path, problems=problems)] == ["ball_1"]
    found = [(f.kind, f.sequence) for f in problems.faults]
    assert found == [("missing annotation", "cup")]


def test_larger_differences_are_refused(tmp_path):
    write_sequence(tmp_path, [line(i) for i in range(4)], frames=2)
    with pytest.raises(InputError, match="4 boxes for 2 frames"):
        read_nfs(tmp_path)


@pytest.mark.parametrize(
    "bad", ['0 1 2 3 4 "x"', '0 1 2 3 4 5 0 0 0 "x', "", "x " * 10]
)
def test_a_line_of_another_form_is_named(tmp_path, bad):
    write_sequence(tmp_path, [line(0), bad, line(2)], frames=3)
    with pytest.raises(InputError, match=r"ball_1\.txt line 2: .*is not nine numbers"):
        read_nfs(tmp_path)
