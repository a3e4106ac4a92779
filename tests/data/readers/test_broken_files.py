"""Broken annotation files and images: a sequence, a fault or an InputError, always."""

import functools
import pathlib
import shutil
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.data.lint import Problems
from dst_jax.data.readers import READERS, read_with_report
from dst_jax.data.verify import verify
from dst_jax.errors import InputError
from tests.data.readers.test_davis import two_objects, write_palette
from tests.data.readers.test_imagenet import thing, write_image, write_snippet, xml
from tests.data.readers.trees import write_frames, write_rows

ROWS = [(1, 1, 10, 20), (5, 7, 10, 20), (6, 8, 10, 20)]
TEXTS = "\n".join(",".join(map(str, row)) for row in ROWS) + "\n"
COCO = """{"images":
[{"id": 1, "file_name": "00000001.jpg", "width": 60, "height": 40}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 10, 20]}],
"categories": [{"id": 1, "name": "dog"}]}"""
GOT10K = {
    "list.txt": "a\n",
    "a/groundtruth.txt": TEXTS,
    "a/absence.label": "0\n0\n0\n",
    "a/cover.label": "8\n8\n8\n",
    "a/meta_info.ini": "[METAINFO]\nurl: https://v/a\nresolution: (60, 40)\n",
}
LASOT = {"cat/cat-1/groundtruth.txt": TEXTS, "cat/cat-1/out_of_view.txt": "0,0,0"}
VATIC = "".join(f'0 1 1 10 20 {i} 0 0 0 "a b"\n' for i in range(3))
VOT = {"a/groundtruth.txt": "1,1,11,1,11,21,1,21\n" * 3, "list.txt": "a\n"}
YTBB = "".join(
    f"v,{i},0,person,0,present,0.1,0.5,0.1,0.5\n" for i in ("0001", "0002", "0003")
)
NAMED = "".join(f"{i:08d}.jpg,1,1,10,20,cat\n" for i in (1, 2, 3))
# Folders of three frames, and files of annotations with their texts.
TREES = {
    "folder": (["a", "b"], {"a/boxes.txt": TEXTS, "b/boxes.txt": NAMED}),
    "otb": (["a/img"], {"a/groundtruth_rect.txt": TEXTS}),
    "dtb70": (["a/img"], {"a/groundtruth_rect.txt": TEXTS}),
    "got10k": (["a"], GOT10K),
    "lasot": (["cat/cat-1/img"], LASOT),
    "trackingnet": (["TRAIN_0/frames/v"], {"TRAIN_0/anno/v.txt": TEXTS}),
    "uav123": (["data_seq/UAV123/bike1"], {"anno/UAV123/bike1.txt": TEXTS}),
    "uav123-10fps": (
        ["data_seq/UAV123_10fps/bike1"],
        {"anno/UAV123_10fps/bike1.txt": TEXTS},
    ),
    "nfs": (["a/30/a"], {"a/30/a.txt": VATIC}),
    "nfs-240": (["a/240/a"], {"a/240/a.txt": VATIC}),
    "tc128": (["a/img"], {"a/a_gt.txt": TEXTS, "a/a_frames.txt": "1,3\n"}),
    "vot": (["a"], VOT),
    "ytbb": (["frames/v"], {"yt.csv": YTBB}),
    "coco": (["images"], {"instances.json": COCO}),
}


def write_layout(root, layout):
    """A sound data set of a sequence or two; the names of its annotation files."""
    if layout == "vid":
        folder = write_snippet(root, xml(thing(0)), xml(thing(0)))
        return sorted(str(path.relative_to(root)) for path in folder.iterdir())
    if layout == "det":
        write_image(root, "a_1", xml(thing()))
        return ["Annotations/DET/train/a_1.xml"]
    if layout == "davis":
        write_frames(root / "JPEGImages" / "a", (0,), digits=5)
        write_palette(
            root / "Annotations" / "a" / "00000.png", two_objects(second=False)
        )
        return ["Annotations/a/00000.png"]
    folders, files = TREES[layout]
    for folder in folders:
        write_frames(root / folder, (1, 2, 3), digits=1 if layout == "ytbb" else 8)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return sorted(files)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound data sets by layout: folder, files of annotations, number of sequences."""

    @functools.cache
    def make(layout):
        root = tmp_path_factory.mktemp(layout)
        files = write_layout(root, layout)
        return root, files, len(read_with_report(f"{layout}:{root}")[0])

    return make


def check_outcome(source, expected):
    """Each sequence that there was still is one, a fault, or left out for a reason."""
    problems = Problems(strict=False)
    try:
        found, report = read_with_report(source, problems=problems)
    except InputError as error:
        assert "\n" not in str(error)
        assert any(name in str(error) for name in ("/", ":"))
        return
    for fault in problems.faults:
        assert fault.kind and fault.message
    accounted = len(found) + len(problems.faults) + len(report.findings)
    assert accounted >= expected, f"{expected - accounted} sequences are lost"
    for sequence in found:
        assert len(sequence.frames) == len(sequence) > 0


# What real files go wrong with, besides bytes at random.
TOKENS = [b"nan", b"-1", b"1e999", b"inf", b"", b"\n", b"\r", b",", b'"', b"<", b"{"]
TOKENS += [b"\x00", b"\xff", b"0,0,0,0\n", b"9" * 400, b"[", b"null", b"true", b"&x;"]


@st.composite
def damage(draw):
    """A change of bytes: a part cut out, repeated or replaced, perhaps twice."""
    steps = st.tuples(
        st.sampled_from(["cut", "keep", "repeat", "insert"]),
        st.floats(0, 1),
        st.integers(0, 24),
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6)),
    )
    return draw(st.lists(steps, min_size=1, max_size=3))


def damaged(data, steps):
    for how, place, length, token in steps:
        at = int(place * len(data))
        rest = data[at + length :]
        piece = data[at : at + length]
        data = {
            "cut": data[:at] + rest,
            "keep": data[:at],
            "repeat": data[:at] + piece + piece + rest,
            "insert": data[:at] + token + rest,
        }[how]
    return data


@pytest.mark.parametrize("layout", READERS)
def test_a_sound_data_set_of_every_layout_has_no_fault(sound, layout):
    root, _, count = sound(layout)
    report = verify(f"{layout}:{root}", every_frame=True)
    assert report.faults == ()
    assert report.sequences == count >= 1


@pytest.mark.parametrize("layout", READERS)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=damage(), which=st.integers(0, 9))
def test_damaged_annotations_never_crash_and_are_never_lost(
    sound, layout, steps, which
):
    root, files, count = sound(layout)
    file = root / files[which % len(files)]
    whole = file.read_bytes()
    try:
        file.write_bytes(damaged(whole, steps))
        check_outcome(f"{layout}:{root}", count)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("layout", READERS)
def test_a_file_of_annotations_that_is_gone_is_never_lost(sound, layout, tmp_path):
    root, files, count = sound(layout)
    for name in files:
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(root, copy)
        (copy / name).unlink()
        check_outcome(f"{layout}:{copy}", count)


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=damage(), suffix=st.sampled_from([".jpg", ".png", ".bmp", ".webp"]))
def test_damaged_images_are_read_or_named(tmp_path_factory, steps, suffix):
    root = tmp_path_factory.mktemp("images")
    write_frames(root / "a", range(1, 4), suffix=suffix)
    write_rows(root / "a" / "groundtruth.txt", ROWS)
    file = pathlib.Path(root / "a" / f"00000002{suffix}")
    file.write_bytes(damaged(file.read_bytes(), steps))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = verify(f"got10k:{root}", every_frame=True)
    assert report.sequences == 1
    for fault in report.faults:
        assert (fault.sequence, fault.frame) == ("a", 1)
        assert file.name in fault.message
    shutil.rmtree(root)
