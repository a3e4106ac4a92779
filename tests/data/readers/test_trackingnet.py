import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.trackingnet import read_trackingnet
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames, write_rows

ROWS = [(1.5, 2.0, 10.0, 20.0), (2, 2, 10, 20)]


def write_video(chunk, name, rows=ROWS, *, frames=2):
    write_frames(chunk / "frames" / name, range(frames), digits=1)
    write_rows(chunk / "anno" / f"{name}.txt", rows)


def test_chunks_come_in_numeric_order_with_boxes_from_zero(tmp_path):
    for number in (10, 2):
        write_video(tmp_path / f"TRAIN_{number}", f"v{number}_0")
    first, second = read_trackingnet(tmp_path)
    assert (first.name, second.name) == ("v2_0", "v10_0")
    assert first.boxes[0].tolist() == [6.5, 12.0, 10.0, 20.0]
    assert names(first.frames) == ["0.jpg", "1.jpg"]
    assert [s.name for s in read_trackingnet(tmp_path / "TRAIN_2")] == ["v2_0"]


def test_more_than_ten_frames_keep_their_order(tmp_path):
    write_video(tmp_path / "TRAIN_0", "v", [ROWS[0]] * 12, frames=12)
    (video,) = read_trackingnet(tmp_path)
    assert names(video.frames)[1:3] == ["1.jpg", "2.jpg"]


def test_the_test_chunk_has_a_box_for_its_first_frame_alone(tmp_path):
    write_video(tmp_path / "TEST", "v", ROWS[:1], frames=3)
    problems = Problems()
    (video,) = read_trackingnet(tmp_path, problems=problems)
    assert video.visible.tolist() == [True, False, False]
    assert [(f.sequence, f.frames) for f in problems.left_out] == [("v", 2)]


def test_other_chunks_must_be_annotated_throughout(tmp_path):
    write_video(tmp_path / "TRAIN_0", "v", ROWS[:1], frames=3)
    with pytest.raises(InputError, match="1 boxes for 3 frames"):
        read_trackingnet(tmp_path)


def test_frames_and_annotations_come_in_pairs(tmp_path):
    write_video(tmp_path / "TRAIN_0", "v")
    (tmp_path / "TRAIN_0" / "anno" / "v.txt").rename(tmp_path / "kept.txt")
    with pytest.raises(InputError, match=r"frames/v has no .*anno/v\.txt"):
        read_trackingnet(tmp_path)
    write_rows(tmp_path / "TRAIN_0" / "anno" / "w.txt", ROWS)
    with pytest.raises(InputError, match="frames/w does not exist"):
        read_trackingnet(tmp_path)
