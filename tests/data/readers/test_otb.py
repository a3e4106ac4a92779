import cv2
import numpy as np
import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.otb import read_otb
from dst_jax.errors import InputError
from tests.data.readers.trees import write_frames, write_rows


def write_sequence(root, name, rows, *, frames=None, separator=",", file=None):
    folder = root / name
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for i in range(len(rows) if frames is None else frames):
        cv2.imwrite(str(folder / "img" / f"{i + 1:04d}.png"), np.zeros((40, 60), "u1"))
    text = "\n".join(separator.join(str(v) for v in row) for row in rows) + "\n"
    (folder / (file or "groundtruth_rect.txt")).write_text(text)


GOOD = [(1, 1, 10, 20), (5, 7, 10, 20)]


@pytest.mark.parametrize("separator", [",", "\t", " ", ", "])
def test_boxes_are_one_based_on_disk_and_centres_here(tmp_path, separator):
    write_sequence(tmp_path, "Toy", GOOD, separator=separator)
    (toy,) = read_otb(tmp_path)
    assert toy.boxes.tolist() == [[5.0, 10.0, 10.0, 20.0], [9.0, 16.0, 10.0, 20.0]]
    assert toy.boxes.dtype == np.float32
    assert toy.visible.all()
    assert toy.size == (40, 60)
    assert [f[-8:] for f in toy.frames] == ["0001.png", "0002.png"]
    assert (toy.name, toy.video, toy.source) == ("Toy", "Toy", f"otb:{tmp_path}")


def test_targets_of_one_folder_and_of_numbered_folders_share_a_video(tmp_path):
    for target in (1, 2):
        write_sequence(tmp_path, "Jog", GOOD, file=f"groundtruth_rect.{target}.txt")
        write_sequence(tmp_path, f"Skate-{target}", GOOD)
    found = [(s.name, s.video) for s in read_otb(tmp_path)]
    assert found == [
        ("Jog-1", "Jog"),
        ("Jog-2", "Jog"),
        ("Skate-1", "Skate"),
        ("Skate-2", "Skate"),
    ]


# First and last frame that the benchmark evaluates, and how many those are, as public
# kits list them (Tiger1 with its first five left out).
RANGES = {
    "David": (300, 770, 471),
    "Diving": (1, 215, 215),
    "Football1": (1, 74, 74),
    "Freeman3": (1, 460, 460),
    "Freeman4": (1, 283, 283),
    "Tiger1": (6, 354, 349),
}


def write_empty(root, name, *, frames, boxes):
    """Files of no content: the range is chosen by names and counts alone."""
    write_rows(root / name / "groundtruth_rect.txt", [(1, 1, 9, 9)] * boxes)
    write_frames(root / name / "img", (1,), digits=4)
    for number in range(2, frames + 1):
        (root / name / "img" / f"{number:04d}.jpg").touch()


@pytest.mark.parametrize("name", RANGES)
def test_a_documented_range_selects_the_annotated_frames(tmp_path, name):
    first, last, boxes = RANGES[name]
    write_empty(tmp_path, name, frames=last + 9, boxes=boxes)
    problems = Problems(strict=False)
    (found,) = read_otb(tmp_path, problems=problems)
    assert not problems.faults
    assert len(found.frames) == len(found) == boxes
    assert found.frames[0].endswith(f"{first:04d}.jpg")
    assert found.frames[-1].endswith(f"{last:04d}.jpg")
    (note,) = problems.left_out
    assert (note.sequence, note.frames) == (name, last + 9 - boxes)


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_for_its_number_of_boxes_alone(tmp_path, name):
    _, last, boxes = RANGES[name]
    write_empty(tmp_path, name, frames=last + 9, boxes=boxes - 1)
    with pytest.raises(InputError, match=f"{boxes - 1} boxes for {last + 9} frames"):
        read_otb(tmp_path)
    write_empty(tmp_path, name, frames=last + 9, boxes=last + 9)
    assert len(read_otb(tmp_path)[0].frames) == last + 9


def test_any_other_difference_of_counts_is_refused(tmp_path):
    write_sequence(tmp_path, "Toy", GOOD, frames=3)
    with pytest.raises(InputError, match="2 boxes for 3 frames"):
        read_otb(tmp_path)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ((5, 5, 0, 9), "line 2: box 5,5,0,9 has no area"),
        ((5, 5, 9, -1), "has no area"),
        (("NaN", 5, 9, 9), "is not finite"),
        ((61, 5, 9, 9), "outside the frame of 60x40"),
        ((-9, 5, 10, 9), "outside the frame"),
        ((5, 5, 9), "line 2: '5,5,9' is not 4 numbers"),
        ((5, 5, 9, "x"), "is not 4 numbers"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, complaint):
    write_sequence(tmp_path, "Toy", [GOOD[0], row])
    with pytest.raises(InputError, match=complaint) as caught:
        read_otb(tmp_path)
    assert "Toy/groundtruth_rect.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_box_that_touches_the_frame_is_accepted(tmp_path):
    write_sequence(tmp_path, "Toy", [(60, 40, 9, 9), (-8, 1, 10, 9)])
    assert len(read_otb(tmp_path)) == 1


def test_boxes_alone_can_be_read(tmp_path):
    (tmp_path / "Toy").mkdir()
    (tmp_path / "Toy" / "groundtruth_rect.txt").write_text("1,1,10,20\r\n5,7,10,20\r\n")
    with pytest.raises(InputError, match="img does not exist"):
        read_otb(tmp_path)
    (toy,) = read_otb(tmp_path, frames_required=False)
    assert toy.frames == ()
    assert len(toy) == 2


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_otb(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no OTB sequence"):
        read_otb(tmp_path)
    write_frames(tmp_path / "Toy" / "img", (1, 2))
    with pytest.raises(InputError, match=r"no groundtruth_rect\.txt"):
        read_otb(tmp_path)
    for frame in (tmp_path / "Toy" / "img").iterdir():
        frame.unlink()
    with pytest.raises(InputError, match="holds no OTB sequence"):
        read_otb(tmp_path)
    (tmp_path / "Toy" / "groundtruth_rect.txt").write_text("1,1,2,2\n")
    with pytest.raises(InputError, match="holds no images"):
        read_otb(tmp_path)


def test_the_real_targets_are_read(real_data):
    found = {s.name: s for s in read_otb(real_data / "otb")}
    assert len(found) == 13
    assert found["Jogging-1"].video == found["Jogging-2"].video == "Jogging"
    # 205 151 17 50 in the file, 1-based.
    assert found["Crossing"].boxes[0].tolist() == [212.5, 175.0, 17.0, 50.0]
    assert found["Girl"].size == (96, 128)
    assert len(read_otb(real_data / "otb", frames_required=False)) == 13
