"""Pipes and folders where files belong: found, and never waited for."""

import contextlib
import os
import signal

import pytest

from dst_jax.data.checks.verify import verify
from tests.data.readers.test_davis import two_objects, write_palette
from tests.data.readers.test_imagenet import thing, write_snippet, xml
from tests.data.readers.trees import write_frames, write_rows


@contextlib.contextmanager
def at_most(seconds):
    """Fails the test if what is within waits for longer."""

    def stop(*_):
        pytest.fail(f"still waiting after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def faults_of(source):
    with at_most(20):
        return verify(source).faults


def write_targets(root):
    """Two GOT-10k targets of equal first frames, whose size no file tells."""
    for name in "ab":
        write_frames(root / name, (1, 2, 3))
        write_rows(root / name / "groundtruth.txt", [(0, 0, 10, 20)] * 3)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "unreadable frame"),
        (os.mkdir, "unreadable frame"),
        (lambda path: path.symlink_to("gone"), "missing frame"),
    ],
)
def test_a_frame_that_is_no_file_is_named(tmp_path, make, kind, number):
    write_targets(tmp_path)
    for name in "ab":
        path = tmp_path / name / f"{number:08d}.jpg"
        path.unlink()
        make(path)
    found = [(f.kind, f.sequence, f.frame) for f in faults_of(f"got10k:{tmp_path}")]
    assert found[:2] == [(kind, "a", number - 1), (kind, "b", number - 1)]


@pytest.mark.parametrize("file", ["groundtruth.txt", "absence.label", "meta_info.ini"])
def test_an_annotation_that_is_a_pipe_is_named(tmp_path, file):
    write_targets(tmp_path)
    (tmp_path / "a" / file).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "a" / file)
    (fault,) = faults_of(f"got10k:{tmp_path}")
    assert (fault.kind, fault.sequence) == ("unreadable annotation", "a")
    assert f"{file} is no file; restore it." in fault.message


def test_pipes_among_masks_and_xml_files_are_named(tmp_path):
    write_frames(tmp_path / "davis" / "JPEGImages" / "a", (0, 1), digits=5)
    masks = tmp_path / "davis" / "Annotations" / "a"
    write_palette(masks / "00000.png", two_objects(second=False))
    os.mkfifo(masks / "00001.png")
    snippet = write_snippet(tmp_path / "vid", xml(thing(0)), xml(thing(0)))
    (snippet / "000001.xml").unlink()
    os.mkfifo(snippet / "000001.xml")
    for layout, name in (("davis", "00001.png"), ("vid", "000001.xml")):
        message = faults_of(f"{layout}:{tmp_path / layout}")[0].message
        assert f"{name} is no file; restore it." in message


@pytest.mark.parametrize(
    ("layout", "file"),
    [("got10k", "list.txt"), ("coco", "instances.json"), ("ytbb", "a.csv")],
)
def test_a_pipe_that_all_share_refuses_the_data_set(tmp_path, layout, file):
    os.mkfifo(tmp_path / file)
    fault = faults_of(f"{layout}:{tmp_path}")[0]
    assert fault.kind == "unreadable data set"
    assert f"{file} is no file; restore it." in fault.message
