import pytest

from dst_jax.data.readers import read_sequences, read_with_report
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames


def write_video(folder, text, *, frames=3):
    write_frames(folder, range(1, frames + 1), digits=4)
    (folder / "boxes.txt").write_text(text)


def read(root):
    return read_sequences(f"folder:{root}")


@pytest.mark.parametrize("separator", [",", ", ", " ", "\t", ";"])
def test_one_line_per_frame(tmp_path, separator):
    lines = ["# my cat", "0,0,10,20", "absent", "", "5,7,10,20"]
    text = "\r\n".join(line.replace(",", separator) for line in lines)
    write_video(tmp_path / "cat", text)
    (cat,) = read(tmp_path)
    assert (cat.name, cat.video) == ("cat", "cat")
    assert cat.boxes[0].tolist() == [5.0, 10.0, 10.0, 20.0]
    assert cat.visible.tolist() == [True, False, True]


def test_a_single_video_needs_no_folder_around_it(tmp_path):
    write_video(tmp_path / "cat", "0,0,10,20\n" * 3)
    assert [s.name for s in read(tmp_path / "cat")] == ["cat"]


def test_named_images_need_not_be_all_and_may_show_several_targets(tmp_path):
    text = "0003.jpg,5,7,10,20,cat\n0001.jpg,0,0,10,20,cat\n0001.jpg,9,9,5,5,dog\n"
    write_video(tmp_path / "pets", text)
    (cat, dog), report = read_with_report(f"folder:{tmp_path}")
    notes = [(f.sequence, f.frames, f.reason) for f in report.findings]
    assert notes == [("pets", 1, "image that boxes.txt does not name")]
    assert (cat.name, dog.name) == ("pets-cat", "pets-dog")
    assert cat.video == dog.video == "pets"
    # In the order of the frames, not of the lines.
    assert names(cat.frames) == ["0001.jpg", "0003.jpg"]
    assert cat.boxes[1].tolist() == [10.0, 17.0, 10.0, 20.0]
    assert names(dog.frames) == ["0001.jpg"]


def test_named_images_may_be_absent_ones(tmp_path):
    write_video(tmp_path / "cat", "0001.jpg,0,0,10,20\n0002.jpg,absent\n")
    (cat,) = read(tmp_path)
    assert cat.visible.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0,0,10,20\n", r"boxes\.txt has 1 boxes for 3 frames"),
        ("", r"boxes\.txt is empty"),
        ("# nothing yet\n", r"boxes\.txt is empty"),
        ("0,0,10,20\n0,0,10\n0,0,1,1\n", "line 2: '0,0,10' is not x,y,w,h or absent"),
        ("0,0,10,20\nnone\n0,0,1,1\n", "line 2: 'none' is not x,y,w,h or absent"),
        ("0,0,1,1\n# note\n0,0,0,9\n0,0,1,1\n", "line 3: box 0,0,0,9 has no area"),
        ("0,0,1,1\n70,0,9,9\n0,0,1,1\n", "outside the frame of 60x40"),
        (
            "0001.jpg,0,0,1,1\n0001.jpg,0,0,2,2\n",
            "line 2: 0001.jpg has a box in",
        ),
        ("0001.jpg,0,0,1,1\n0009.jpg,0,0,2,2\n", "line 2: there is no image 0009.jpg"),
        ("0001.jpg,0,0,1,1,a,b\n", "line 1: .* is not IMAGE,x,y,w,h"),
        ("absent,0001.jpg\n", "is not x,y,w,h or absent"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, text, complaint):
    write_video(tmp_path / "cat", text)
    with pytest.raises(InputError, match=complaint) as caught:
        read(tmp_path)
    assert "cat/boxes.txt" in str(caught.value)


def test_a_folder_without_boxes_is_named(tmp_path):
    write_frames(tmp_path / "cat", (1, 2))
    with pytest.raises(InputError, match=r"cat has no boxes\.txt"):
        read(tmp_path)


def test_a_folder_without_images_is_no_video(tmp_path):
    write_video(tmp_path / "cat", "0,0,10,20\n" * 3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("0,0,1,1")
    assert [s.name for s in read(tmp_path)] == ["cat"]
    write_frames(tmp_path / "notes" / "dog" / "img", (1, 2))
    with pytest.raises(InputError, match=r"notes has no boxes\.txt"):
        read(tmp_path)
