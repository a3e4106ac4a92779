"""Broken annotation files and images: a sequence, a fault or an InputError, always."""

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import warnings
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.data.checks.lint import Problems
from dst_jax.data.checks.verify import verify
from dst_jax.data.readers import READERS, read_with_report
from dst_jax.errors import InputError
from tests.data.readers.test_davis import two_objects, write_palette
from tests.data.readers.test_imagenet import thing, write_image, write_snippet, xml
from tests.data.readers.trees import write_frames, write_rows

NAMES = ("ant", "bee", "cow")
ROWS = [(1, 1, 10, 20), (5, 7, 10, 20), (6, 8, 10, 20)]
TEXTS = "\n".join(",".join(map(str, row)) for row in ROWS) + "\n"
NAMED = "".join(f"{i:08d}.jpg,1,1,10,20,cat\n" for i in (1, 2, 3))
VATIC = "".join(f'0 1 1 10 20 {i} 0 0 0 "a b"\n' for i in range(3))
POLYGONS = "1,1,11,1,11,21,1,21\n" * 3
META = "[METAINFO]\nurl: https://v/{}\nresolution: (60, 40)\n"
GOT10K = {
    "{}/groundtruth.txt": TEXTS,
    "{}/absence.label": "0\n0\n0\n",
    "{}/cover.label": "8\n8\n8\n",
    "{}/meta_info.ini": META,
}
LASOT = {"cat/{}/groundtruth.txt": TEXTS, "cat/{}/out_of_view.txt": "0,0,0"}
# For every sequence its folder of three frames, and its annotations with their texts.
TREES = {
    "folder": ("{}", {"{}/boxes.txt": TEXTS}),
    "otb": ("{}/img", {"{}/groundtruth_rect.txt": TEXTS}),
    "dtb70": ("{}/img", {"{}/groundtruth_rect.txt": TEXTS}),
    "got10k": ("{}", GOT10K),
    "lasot": ("cat/{}/img", LASOT),
    "trackingnet": ("TRAIN_0/frames/{}", {"TRAIN_0/anno/{}.txt": TEXTS}),
    "uav123": ("data_seq/UAV123/{}", {"anno/UAV123/{}.txt": TEXTS}),
    "uav123-10fps": ("data_seq/UAV123_10fps/{}", {"anno/UAV123_10fps/{}.txt": TEXTS}),
    "nfs": ("{0}/30/{0}", {"{0}/30/{0}.txt": VATIC}),
    "nfs-240": ("{0}/240/{0}", {"{0}/240/{0}.txt": VATIC}),
    "tc128": ("{}/img", {"{0}/{0}_gt.txt": TEXTS, "{0}/{0}_frames.txt": "1,3\n"}),
    "vot": ("{}", {"{}/groundtruth.txt": POLYGONS}),
    "ytbb": ("frames/{}", {}),
}
SHARED = {
    "got10k": ("list.txt", "{}\n"),
    "vot": ("list.txt", "{}\n"),
    "ytbb": (
        "yt.csv",
        "".join(f"{{}},{i},0,person,0,present,0.1,0.5,0.1,0.5\n" for i in (1, 2, 3)),
    ),
}


def write_coco(root):
    write_frames(root / "images", (1, 2, 3), digits=1)
    parts = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "dog"}]}
    for number, name in enumerate(NAMES, 1):
        (root / "images" / f"{number}.jpg").rename(root / "images" / f"{name}.jpg")
        image = {"id": number, "file_name": f"{name}.jpg", "width": 60, "height": 40}
        box = {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9]}
        parts["images"].append(image)
        parts["annotations"].append(box)
    # A record a line, so that a line that is gone leaves JSON.
    text = json.dumps(parts).replace("}, {", "},\n{")
    (root / "instances.json").write_text(text)


def write_davis(root, name):
    write_frames(root / "JPEGImages" / name, (0, 1), digits=5)
    for number in (0, 1):
        path = root / "Annotations" / name / f"{number:05d}.png"
        write_palette(path, two_objects(second=False))


def write_layout(root, layout):
    """A sound data set of three sequences."""
    if layout == "coco":
        write_coco(root)
    for name in NAMES:
        if layout == "vid":
            write_snippet(root, xml(thing(0)), xml(thing(0)), name=name)
        elif layout == "det":
            write_image(root, name, xml(thing()))
        elif layout == "davis":
            write_davis(root, name)
        elif layout in TREES:
            folder, files = TREES[layout]
            digits = 1 if layout == "ytbb" else 8
            write_frames(root / folder.format(name), (1, 2, 3), digits=digits)
            for file, text in files.items():
                path = root / file.format(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.format(name))
    if layout == "folder":
        (root / "bee" / "boxes.txt").write_text(NAMED)
    if layout in SHARED:
        file, text = SHARED[layout]
        (root / file).write_text("".join(text.replace("{}", name) for name in NAMES))


@dataclasses.dataclass(frozen=True)
class Sound:
    """A sound data set: its folder and, below it, files of annotations and frames."""

    root: pathlib.Path
    files: tuple[str, ...]
    frames: frozenset[str]


def frames_below(root, sequences):
    return {os.path.relpath(path, root) for s in sequences for path in s.frames}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound data sets by layout."""

    @functools.cache
    def make(layout):
        root = tmp_path_factory.mktemp(layout)
        write_layout(root, layout)
        found = read_with_report(f"{layout}:{root}")[0]
        assert len(found) == len(NAMES)
        frames = frames_below(root, found)
        files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
        return Sound(root, tuple(sorted(files - frames)), frozenset(frames))

    return make


def owner_of(file):
    """The name of the sequence that a file is of, None of one that all share."""
    return next((name for name in NAMES if name in file), None)


def is_of(label, name):
    """Whether a sequence, as faults and notes call it, is of a video."""
    return label == name or label.startswith(f"{name}-")


def check_outcome(layout, root, whole, file):
    """Every frame there was is one still, or its sequence is named with a reason.

    Args:
      layout: Of the data set.
      root: The data set, of which `file` has been damaged.
      whole: The sound data set.
      file: Below `root`.
    """
    owner = owner_of(file)
    problems = Problems(strict=False)
    try:
        found, report = read_with_report(f"{layout}:{root}", problems=problems)
    except InputError as error:
        assert owner is None, "one sequence's file takes the whole set along"
        gone = not (root / file).exists()
        expected = f"*{pathlib.Path(file).suffix}" if gone else file
        assert str(root) in str(error)
        assert file in str(error) or expected in str(error)
        assert "\n" not in str(error)
        return
    for fault in problems.faults:
        assert fault.kind and fault.sequence and str(root) in fault.message
        assert "\n" not in fault.message
    for sequence in found:
        assert len(sequence.frames) == len(sequence) > 0
    lost = Counter(owner_of(f) for f in whole.frames - frames_below(root, found))
    named = {name: noted(name, problems, report) for name in NAMES}
    for name in set(NAMES) - {owner} if owner else ():
        assert lost[name] == named[name] == 0, f"{name} suffers from {file}"
    silent = sum(max(lost[name] - named[name], 0) for name in NAMES)
    assert silent <= nameless(problems, report), f"frames are lost: {lost}, {named}"


def noted(name, problems, report):
    """Frames of a video that faults and notes give a reason for."""
    if any(
        fault.frame is None and is_of(fault.sequence, name) for fault in problems.faults
    ):
        return 99
    return sum(f.frames for f in report.findings if is_of(f.sequence, name))


def nameless(problems, report):
    """Frames that are counted without the name of their video, as of single images."""
    labels = [fault.sequence for fault in problems.faults if fault.frame is None]
    labels += [f.sequence for f in report.findings for _ in range(f.frames)]
    return sum(not any(is_of(label, name) for name in NAMES) for label in labels)


# What real files go wrong with, besides bytes at random.
TOKENS = [b"nan", b"-1", b"1e999", b"inf", b"", b"\n", b"\r", b",", b'"', b"<", b"{"]
TOKENS += [b"\x00", b"\xff", b"0,0,0,0\n", b"9" * 400, b"[", b"null", b"true", b"&x;"]


@st.composite
def damage(draw):
    """A change of bytes: a part or a line cut out, repeated or replaced, or several."""
    steps = st.tuples(
        st.sampled_from(["cut", "keep", "repeat", "insert", "line"]),
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
        lines = data.splitlines(keepends=True)
        line = int(place * len(lines))
        data = {
            "line": b"".join(lines[:line] + lines[line + 1 :]),
            "cut": data[:at] + rest,
            "keep": data[:at],
            "repeat": data[:at] + piece + piece + rest,
            "insert": data[:at] + token + rest,
        }[how]
    return data


@pytest.mark.parametrize("layout", READERS)
def test_a_sound_data_set_of_every_layout_has_no_fault(sound, layout):
    whole = sound(layout)
    report = verify(f"{layout}:{whole.root}", every_frame=True)
    assert report.faults == report.left_out == ()
    assert (report.sequences, report.frames) == (len(NAMES), len(whole.frames))


@pytest.mark.parametrize("layout", READERS)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=damage(), which=st.integers(0, 99))
def test_damaged_annotations_never_crash_and_lose_no_frame_in_silence(
    sound, layout, steps, which
):
    whole = sound(layout)
    file = whole.files[which % len(whole.files)]
    path = whole.root / file
    data = path.read_bytes()
    try:
        path.write_bytes(damaged(data, steps))
        check_outcome(layout, whole.root, whole, file)
    finally:
        path.write_bytes(data)


@pytest.mark.parametrize("layout", READERS)
def test_a_line_less_in_any_annotation_is_never_silent(sound, layout):
    whole = sound(layout)
    for file in whole.files:
        path = whole.root / file
        data = path.read_bytes()
        lines = data.splitlines(keepends=True)
        try:
            for number in range(len(lines)):
                path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
                check_outcome(layout, whole.root, whole, file)
        finally:
            path.write_bytes(data)


def remove(root, file):
    """Removes a file and the folders that hold nothing else."""
    (root / file).unlink()
    for folder in (root / file).parents[: len(pathlib.Path(file).parts) - 1]:
        if not any(folder.iterdir()):
            folder.rmdir()


@pytest.mark.parametrize(
    ("layout", "listed"),
    [*((layout, True) for layout in READERS), ("got10k", False), ("vot", False)],
)
def test_annotations_that_are_gone_are_never_silent(sound, layout, listed, tmp_path):
    whole = sound(layout)
    of_sequence = ([f for f in whole.files if name in f] for name in NAMES)
    for number, files in enumerate([*([f] for f in whole.files), *of_sequence]):
        copy = tmp_path / str(number)
        shutil.copytree(whole.root, copy)
        for file in {*files} if listed else {*files, "list.txt"}:
            remove(copy, file)
        if files:
            check_outcome(layout, copy, whole, files[0])


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
