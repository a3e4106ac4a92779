import shutil

import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.imagenet import read_det, read_vid
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames

OBJECT = """<object>{track}<name>n02084071</name><bndbox>
<xmax>{right}</xmax><xmin>{left}</xmin><ymax>14</ymax><ymin>5</ymin></bndbox>
<occluded>1</occluded><generated>0</generated></object>"""
FILE = """<annotation><folder>x</folder><filename>000000</filename>
<size><width>60</width><height>40</height></size>
{objects}</annotation>"""


def xml(*objects):
    return FILE.format(objects="".join(objects))


def thing(track=None, *, left=10, right=29):
    tag = "" if track is None else f"<trackid>{track}</trackid>"
    return OBJECT.format(track=tag, left=left, right=right)


def write_snippet(root, *files, name="ILSVRC2015_train_00000000"):
    below = f"VID/train/ILSVRC2015_VID_train_0000/{name}"
    folder = root / "Annotations" / below
    folder.mkdir(parents=True)
    for number, text in enumerate(files):
        (folder / f"{number:06d}.xml").write_text(text)
    write_frames(root / "Data" / below, range(len(files)), digits=6, suffix=".jpeg")
    for path in (root / "Data" / below).iterdir():
        path.rename(path.with_suffix(".JPEG"))
    return folder


def test_tracks_are_followed_through_the_files(tmp_path):
    write_snippet(tmp_path, xml(thing(0), thing(1, left=0, right=59)), xml(thing(1)))
    first, second = read_vid(tmp_path)
    assert first.name == "ILSVRC2015_train_00000000-0"
    assert first.video == second.video == "ILSVRC2015_train_00000000"
    # xmin 10, xmax 29 included, ymin 5, ymax 14: continuous pixels 10 to 30, 5 to 15.
    assert first.boxes[0].tolist() == [20.0, 10.0, 20.0, 10.0]
    assert first.visible.tolist() == [True, False]
    assert second.boxes[0].tolist() == [30.0, 10.0, 60.0, 10.0]
    assert second.visible.tolist() == [True, True]
    assert (first.category, first.size) == ("n02084071", (40, 60))
    assert names(first.frames) == ["000000.JPEG", "000001.JPEG"]


def test_a_track_comes_once_in_a_file(tmp_path):
    folder = write_snippet(tmp_path, xml(thing(0), thing(0)))
    with pytest.raises(InputError, match=r"000000\.xml: object 1 has no trackid of"):
        read_vid(tmp_path)
    (folder / "000000.xml").write_text(xml(thing()))
    with pytest.raises(InputError, match=r"object 0 has no trackid of its own"):
        read_vid(tmp_path)


def test_files_and_images_come_in_pairs(tmp_path):
    folder = write_snippet(tmp_path, xml(thing(0)), xml(thing(0)))
    (folder / "000001.xml").rename(folder / "000007.xml")
    with pytest.raises(InputError, match="has no image 000007"):
        read_vid(tmp_path)
    (folder / "000007.xml").unlink()
    with pytest.raises(InputError, match=r"has no 000001\.xml for its image"):
        read_vid(tmp_path)


BAD_FILES = {
    "<annotation>": "is no XML file",
    "": "is no XML file",
    xml(thing(0)).replace("60</width>", "0</width>"): "size 0x40 px",
    xml(thing(0)).replace("60</width>", "wide</width>"): "width 'wide' is no number",
    xml(thing(0, left="x")): "xmin 'x' is no number",
    xml(thing(0, left=30)): "has no area",
    xml(thing(0, left="nan")): "is not finite",
    xml(thing(0, left=60, right=70)): "outside the frame of 60x40",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_bad_file_is_named(tmp_path, text):
    write_snippet(tmp_path, text)
    with pytest.raises(InputError, match=rf"000000\.xml.*{BAD_FILES[text]}"):
        read_vid(tmp_path)


LAUGHS = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {after} "{f"&{before};" * 10}">'
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE annotation>",
        f"<!DOCTYPE annotation [{LAUGHS}]>",
        '<!DOCTYPE annotation [<!ENTITY i SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_entities_are_refused_and_nothing_is_fetched(tmp_path, doctype):
    text = xml(thing("&i;")) if "ENTITY" in doctype else xml(thing(0))
    write_snippet(tmp_path, doctype + text)
    with pytest.raises(InputError, match="defines a document type or entities"):
        read_vid(tmp_path)


def write_image(root, name, text):
    below = root / "Annotations" / "DET" / "train"
    below.mkdir(parents=True, exist_ok=True)
    (below / f"{name}.xml").write_text(text)
    images = root / "Data" / "DET" / "train"
    write_frames(images, (0,), suffix=".jpeg")
    (images / "00000000.jpeg").rename(images / f"{name}.JPEG")


def test_every_object_of_an_image_is_a_sequence_of_one_frame(tmp_path):
    write_image(tmp_path, "a_1", xml(thing(), thing(left=0)))
    write_image(tmp_path, "a_2", xml())
    problems = Problems()
    first, second = read_det(tmp_path, problems=problems)
    assert (first.name, second.name, second.video) == ("a_1-0", "a_1-1", "a_1")
    assert second.boxes.tolist() == [[15.0, 10.0, 30.0, 10.0]]
    assert [(f.frames, f.reason) for f in problems.left_out] == [
        (1, "image without an object")
    ]


def test_an_image_that_is_missing_is_named(tmp_path):
    write_image(tmp_path, "a_1", xml(thing()))
    (tmp_path / "Data/DET/train/a_1.JPEG").unlink()
    with pytest.raises(InputError, match=r"a_1\.JPEG does not exist"):
        read_det(tmp_path)
    assert read_det(tmp_path, frames_required=False)[0].frames == ()


def test_a_snippet_without_an_object_is_left_out_and_counted(tmp_path):
    write_snippet(tmp_path, xml(thing(0)), name="a")
    write_snippet(tmp_path, xml(), xml(), name="b")
    problems = Problems()
    assert [s.name for s in read_vid(tmp_path, problems=problems)] == ["a-0"]
    notes = [(f.sequence, f.frames, f.reason) for f in problems.left_out]
    assert notes == [("b", 2, "frame of a snippet without an object")]


def test_a_snippet_without_files_of_annotations_is_named_but_for_the_test_set(tmp_path):
    write_snippet(tmp_path, xml(thing(0)), name="a")
    shutil.rmtree(write_snippet(tmp_path, xml(thing(0)), xml(thing(0)), name="b"))
    write_frames(tmp_path / "Data" / "VID" / "test" / "c", (0,), digits=6)
    problems = Problems(strict=False)
    assert [s.name for s in read_vid(tmp_path, problems=problems)] == ["a-0"]
    (fault,) = problems.faults
    assert (fault.kind, fault.sequence) == ("missing annotation", "b")
    assert "b/000000.xml" in fault.message


def test_an_image_without_a_file_of_annotations_is_counted(tmp_path):
    for name in ("a_1", "a_2"):
        write_image(tmp_path, name, xml(thing()))
    (tmp_path / "Annotations/DET/train/a_2.xml").unlink()
    problems = Problems()
    assert [s.name for s in read_det(tmp_path, problems=problems)] == ["a_1-0"]
    notes = [(f.frames, f.reason) for f in problems.left_out]
    assert notes == [(1, "image without an annotation")]
