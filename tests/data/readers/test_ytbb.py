import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.checks.verify import without_faults
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
    assert [(f.sequence, f.frames, f.reason) for f in problems.left_out] == [
        ("videos", 2, "frame of a video without a folder in frames"),
        ("AAB6lO-XiKE", 1, "image of a time without a row"),
    ]


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
def test_a_bad_row_takes_its_own_sequence_along_and_no_other(tmp_path, bad, complaint):
    write(tmp_path, row(238000), bad, row(1000, video="b"))
    write_frames(tmp_path / "frames" / "b", (1000,), digits=1)
    with pytest.raises(InputError, match=rf"train\.csv {complaint}"):
        read_ytbb(tmp_path)
    problems = Problems(strict=False)
    found = read_ytbb(tmp_path, problems=problems)
    (fault,) = problems.faults
    assert fault.sequence == f"{bad.split(',')[0]}-0-1"
    assert "b-0-1" in [s.name for s in without_faults(found, problems.faults)]


@pytest.mark.parametrize(
    "bad",
    [
        "AAB6lO-XiKE,239000,0,person",
        row(239000, shares='0.25,0.5,0.1,"0.6'),
        row(239000).replace("person", '"person'),
    ],
)
def test_a_row_that_tells_no_sequence_refuses_the_file(tmp_path, bad):
    closing = row(1000, video="b").replace("0.6", '0.6"')
    for last in (row(1000, video="b"), closing):
        write(tmp_path, row(238000), bad, last)
        with pytest.raises(InputError, match=r"train\.csv (line|is no CSV file)"):
            read_ytbb(tmp_path, problems=Problems(strict=False))


@pytest.mark.parametrize("presence", ["absent", "uncertain"])
def test_frames_of_absent_and_uncertain_objects_are_there_and_hidden(
    tmp_path, presence
):
    gone = row(239000, presence, "-1.0,-1.0,-1.0,-1.0")
    boxed = row(240000, presence)
    stamps = (238000, 239000, 240000)
    write(tmp_path, row(238000), gone, boxed, stamps=stamps)
    problems = Problems(strict=False)
    (found,) = read_ytbb(tmp_path, problems=problems)
    assert (problems.faults, problems.left_out) == ([], [])
    assert names(found.frames) == ["238000.jpg", "239000.jpg", "240000.jpg"]
    assert found.visible.tolist() == [True, False, False]
    assert [str(x) for x in found.boxes[1:, 0]] == ["nan", "nan"]


def test_videos_of_another_split_are_counted(tmp_path):
    write(tmp_path, row(238000), stamps=(238000,))
    write_frames(tmp_path / "frames" / "other", (1000, 2000), digits=1)
    (tmp_path / "frames" / "empty").mkdir()
    problems = Problems(strict=False)
    assert len(read_ytbb(tmp_path, problems=problems)) == 1
    found = [(f.sequence, f.frames, f.reason) for f in problems.left_out]
    assert found == [("other", 2, "image of a time without a row")]
    assert problems.faults == []


def test_boxes_alone_have_no_pixels(tmp_path):
    write(tmp_path, row(238000))
    with pytest.raises(InputError, match="give the frames"):
        read_ytbb(tmp_path, frames_required=False)


def test_a_table_without_rows_is_named(tmp_path):
    write(tmp_path, row(238000), row(239000))
    (tmp_path / "more.csv").write_text("youtube_id,timestamp_ms\n")
    with pytest.raises(InputError, match=r"more\.csv holds no row; restore the file"):
        read_ytbb(tmp_path)
