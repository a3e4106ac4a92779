"""Annotations of any content, in every layout: sequences, or one line."""

import functools
import shutil
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.data.readers import READERS, read_sequences
from dst_jax.errors import InputError
from tests.data.readers.test_broken_files import (
    TREES,
    damage,
    damaged,
    frames_below,
    write_layout,
)

FIELD = st.one_of(
    st.floats().map(str),
    st.integers().map(str),
    st.text(max_size=6),
    st.sampled_from(["nan", "1e999", "-1", "9" * 400, "\0", "../..", "absent", "m0"]),
)
LINE = st.lists(FIELD, max_size=11)
LINES = st.tuples(st.sampled_from([",", " ", "\t"]), st.lists(LINE, max_size=4))


def as_bytes(drawn):
    separator, lines = drawn
    text = "\n".join(separator.join(line) for line in lines)
    return text.encode("utf-8", "surrogatepass")


CONTENT = st.one_of(st.binary(max_size=200), LINES.map(as_bytes))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder and the annotation files of a sound data set, by layout."""

    @functools.cache
    def make(layout):
        root = tmp_path_factory.mktemp(layout)
        write_layout(root, layout)
        frames = frames_below(root, read_sequences(f"{layout}:{root}"))
        files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
        return root, sorted(files - frames)

    return make


def check(layout, root):
    """Reading gives sequences whose visible boxes are sound, or one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = read_sequences(f"{layout}:{root}")
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000
            return
    for sequence in found:
        boxes = sequence.boxes[sequence.visible]
        assert np.isfinite(boxes).all() and (boxes[:, 2:] > 0.0).all()


@pytest.mark.parametrize("layout", READERS)
@settings(
    max_examples=40,
    deadline=3000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.one_of(CONTENT, damage()), which=st.integers(0, 99))
def test_any_annotation_is_read_or_refused_in_one_line(made, layout, content, which):
    root, files = made(layout)
    path = root / files[which % len(files)]
    sound = path.read_bytes()
    try:
        broken = content if isinstance(content, bytes) else damaged(sound, content)
        path.write_bytes(broken)
        check(layout, root)
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize("layout", ["got10k", "vot"])
@pytest.mark.parametrize("name", ["9" * 400, "a\0b", "..", "/", "\x1b[2J"])
def test_a_list_may_name_anything(made, tmp_path, layout, name):
    root, _ = made(layout)
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "copy" / "list.txt").write_text(f"ant\n{name}\n")
    with pytest.raises(InputError):
        read_sequences(f"{layout}:{tmp_path / 'copy'}")


HUGE = [b"1,2,3,4\n" * 9_000_000, b"1," * 8_000_000, b'"' * 2_000_000]
TEXTS = ("otb", "got10k", "lasot", "trackingnet", "uav123", "tc128", "nfs", "vot")


@pytest.mark.parametrize("layout", TEXTS)
@pytest.mark.parametrize("content", HUGE, ids=["lines", "fields", "quotes"])
def test_huge_annotations_are_refused_at_once(made, tmp_path, layout, content):
    root, _ = made(layout)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    boxes = next(iter(TREES[layout][1])).format("ant")
    (copy / boxes).write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"too much for|too many for|is no rectangle"):
        read_sequences(f"{layout}:{copy}")
    assert time.perf_counter() - start < 3.0
