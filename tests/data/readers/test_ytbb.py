import pytest

from dst_jax.data.lint import Problems
from dst_jax.data.readers.ytbb import read_ytbb
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames

HEADER = (
    "youtube_id,timestamp_ms,class_id,class_name,object_id,object_presence,"
    "xmin,xmax,ymin,ymax"
)


def row(stamp, presence="present", shares="0.25,0.5,0.1,0.6", video="AAB6lO-XiKE"):
    return f"{video},{stamp},0,person,1,{presence},{shares}"


def write(root, *rows, stamps=(238000, 239000), video="AAB6lO-XiKE"):
    (root / "yt_bb_detection_train.csv").write_text("\n".join(rows) + "\n")
    write_frames(root / "frames" / video, stamps, digits=1)


def test_shares_become_pixels_and_rows_are_sorted_by_time(tmp_path):
    later = row(239000, "absent", "-1,-1,-1,-1")
    write(tmp_path, HEADER, later, row(238000))
    (found,) = read_ytbb(tmp_path)
    assert (found.name, found.video) == ("AAB6lO-XiKE-0-1", "AAB6lO-XiKE")
    assert found.category == "person"
    # Of 60x40 px: x 15 to 30, y 4 to 24.
    assert found.boxes[0].tolist() == pytest.approx([22.5, 14.0, 15.0, 20.0])
    assert found.visible.tolist() == [True, False]
    assert names(found.frames) == ["238000.jpg", "239000.jpg"]


def test_segments_are_told_apart_by_object_and_class(tmp_path):
    rows = [row(238000), row(239000).replace(",0,person,1,", ",0,person,2,")]
    write(tmp_path, *rows)
    assert [s.name[-4:] for s in read_ytbb(tmp_path)] == ["-0-1", "-0-2"]


def test_videos_that_are_gone_are_left_out_and_counted(tmp_path):
    write(tmp_path, row(238000), row(1000, video="gone"), row(2000, video="gone"))
    problems = Problems()
    assert len(read_ytbb(tmp_path, problems=problems)) == 1
    assert [f.frames for f in problems.left_out] == [2]


def test_a_frame_that_was_not_decoded_is_named(tmp_path):
    write(tmp_path, row(238000), row(240000))
    with pytest.raises(InputError, match="has no image 240000"):
        read_ytbb(tmp_path)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (row(239000, "perhaps"), r"line 2: .*is no row of detections"),
        (row("soon"), r"line 2: .*is no row of detections"),
        (row(239000, shares="0.5,0.25,0.1,0.6"), r"line 2: .*has no area"),
        (row(239000, shares="nan,0.5,0.1,0.6"), r"line 2: .*is not finite"),
        (row(239000, shares="1.5,1.7,0.1,0.6"), r"line 2: .*outside the frame"),
        (row(239000, shares="0.25,0.5"), r"line 2: .*is not 10 fields"),
        (row(239000, video="../etc"), r"line 2: .*is not 10 fields"),
    ],
)
def test_a_bad_row_is_named(tmp_path, bad, complaint):
    write(tmp_path, row(238000), bad)
    with pytest.raises(InputError, match=rf"train\.csv {complaint}"):
        read_ytbb(tmp_path)


def test_boxes_alone_have_no_pixels(tmp_path):
    write(tmp_path, row(238000))
    with pytest.raises(InputError, match="give the frames"):
        read_ytbb(tmp_path, frames_required=False)
