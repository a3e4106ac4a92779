"""Texts beside frames: how they are encoded, and how names in them are spelt."""

import json

import pytest

from dst_jax.data.readers import read_sequences
from dst_jax.errors import InputError
from tests.data.readers.test_coco import annotation, write
from tests.data.readers.test_imagenet import thing, write_snippet, xml
from tests.data.readers.trees import names, write_frames, write_rows

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
BOXES = "5,7,10,20\n" * 3


def video_of(root, content):
    write_frames(root / "a", (1, 2, 3), digits=1)
    (root / "a" / "boxes.txt").write_bytes(content)
    return f"folder:{root}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_mark_is_read_in_its_encoding(tmp_path, encoding):
    text = "# ein Häschen\n" + BOXES
    (sequence,) = read_sequences(video_of(tmp_path, text.encode(encoding)))
    assert sequence.boxes[2].tolist() == [10.0, 17.0, 10.0, 20.0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (BOXES.encode("utf-16-le"), "boxes.txt is UTF-16 without its mark; save it as"),
        (BOXES.encode("utf-16-be"), "boxes.txt is UTF-16 without its mark; save it as"),
        (
            (BOXES + "# Häschen").encode("latin-1"),
            "boxes.txt line 4: byte 0xe4 is no UTF-8; the file may be Latin-1",
        ),
        (b"\xff\xfe5", "boxes.txt begins as UTF-16 and is none; restore it"),
        (b"5,7\0,10,20\n", "boxes.txt is not a text file; restore it"),
    ],
)
def test_text_of_another_encoding_is_named(tmp_path, content, complaint):
    with pytest.raises(InputError) as raised:
        read_sequences(video_of(tmp_path, content))
    assert complaint in str(raised.value)


def test_json_and_xml_of_another_encoding_are_named(tmp_path):
    content = write(tmp_path, [annotation(1, [0, 0, 5, 5])])
    content["info"] = "Häschen"
    text = json.dumps(content, ensure_ascii=False)
    (tmp_path / "instances.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"json line 1: byte 0xe4 is no UTF-8"):
        read_sequences(f"coco:{tmp_path}")
    (tmp_path / "instances.json").write_bytes(text.encode("utf-16"))
    assert len(read_sequences(f"coco:{tmp_path}")) == 1
    folder = write_snippet(tmp_path, xml(thing(0)))
    latin = xml(thing(0)).replace("n02084071", "Häschen").encode("latin-1")
    (folder / "000000.xml").write_bytes(latin)
    with pytest.raises(InputError, match=r"xml line 3: byte 0xe4 is no UTF-8"):
        read_sequences(f"vid:{tmp_path}")
    declared = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + latin
    (folder / "000000.xml").write_bytes(declared)
    assert read_sequences(f"vid:{tmp_path}")[0].category == "Häschen"


@pytest.mark.parametrize(
    ("on_disk", "in_text"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]
)
def test_a_name_is_found_however_its_accents_are_written(tmp_path, on_disk, in_text):
    write_frames(tmp_path / "f" / "a", (1,), digits=1)
    (tmp_path / "f" / "a" / "1.jpg").rename(tmp_path / "f" / "a" / f"{on_disk}.jpg")
    (tmp_path / "f" / "a" / "boxes.txt").write_text(f"{in_text}.jpg,5,7,10,20\n")
    (sequence,) = read_sequences(f"folder:{tmp_path / 'f'}")
    assert names(sequence.frames) == [f"{on_disk}.jpg"]

    (tmp_path / "c").mkdir()
    content = write(tmp_path / "c", [annotation(1, [0, 0, 5, 5])])
    images = tmp_path / "c" / "images"
    (images / "07.png").rename(images / f"{on_disk}.png")
    content["images"][0]["file_name"] = f"{in_text}.png"
    (tmp_path / "c" / "instances.json").write_text(json.dumps(content))
    (sequence,) = read_sequences(f"coco:{tmp_path / 'c'}")
    assert names(sequence.frames) == [f"{on_disk}.png"]

    write_frames(tmp_path / "g" / on_disk, (1, 2, 3))
    write_rows(tmp_path / "g" / on_disk / "groundtruth.txt", [(5, 7, 10, 20)] * 3)
    (tmp_path / "g" / "list.txt").write_text(in_text + "\n")
    (sequence,) = read_sequences(f"got10k:{tmp_path / 'g'}")
    assert len(sequence.frames) == 3


def test_a_name_that_is_written_in_two_ways_on_disk_must_be_exact(tmp_path):
    # A letter with two accents can be written in three ways.
    ways = ("\u1ec7", "\u1eb9\u0302", "e\u0323\u0302")
    write_frames(tmp_path / "a", (1, 2), digits=1)
    for number, way in zip((1, 2), ways, strict=False):
        (tmp_path / "a" / f"{number}.jpg").rename(tmp_path / "a" / f"{way}.jpg")
    boxes = tmp_path / "a" / "boxes.txt"
    boxes.write_text(f"{ways[1]}.jpg,5,7,10,20\n")
    (sequence,) = read_sequences(f"folder:{tmp_path}")
    assert names(sequence.frames) == [f"{ways[1]}.jpg"]
    boxes.write_text(f"{ways[2]}.jpg,5,7,10,20\n")
    with pytest.raises(InputError, match=r"may be any of .*; *rename all but one"):
        read_sequences(f"folder:{tmp_path}")


def test_images_that_lines_name_need_no_clear_order(tmp_path):
    write_frames(tmp_path / "a", (1, 2), digits=4)
    write_frames(tmp_path / "a", (1,), digits=4, suffix=".png")
    boxes = tmp_path / "a" / "boxes.txt"
    boxes.write_text("5,7,10,20\n" * 3)
    with pytest.raises(InputError, match=r"0001\.jpg and 0001\.png have the same"):
        read_sequences(f"folder:{tmp_path}")
    boxes.write_text("0001.jpg,5,7,10,20\n0002.jpg,5,7,10,20\n")
    (sequence,) = read_sequences(f"folder:{tmp_path}")
    assert names(sequence.frames) == ["0001.jpg", "0002.jpg"]
