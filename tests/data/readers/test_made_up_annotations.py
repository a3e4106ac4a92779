"""Annotations made up at length: sequences, or one line, soon and in little memory."""

import json
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers import read_with_report
from dst_jax.errors import InputError
from tests.data.readers.test_coco import annotation, write
from tests.data.readers.test_imagenet import thing, write_image, write_snippet, xml
from tests.data.readers.trees import write_frames

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([2**31, 2**63, 2**64, 10**400, -(10**30), 7]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["7", "07.png", "\ud800", "a\0b", "../07.png", "x" * 5000, ""]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["id", "bbox", "name"]), inner, max_size=3),
    ),
    max_leaves=6,
)
PLACES = st.one_of(
    st.tuples(st.just("images"), st.sampled_from(["id", "file_name", "width", ""])),
    st.tuples(
        st.just("annotations"),
        st.sampled_from(["id", "image_id", "category_id", "bbox", "iscrowd", ""]),
    ),
    st.tuples(st.just("categories"), st.sampled_from(["id", "name", ""])),
    st.sampled_from([("images", None), ("annotations", None), ("categories", None)]),
)


def outcome(source, *, seconds=10.0, megabytes=100.0):
    """Reads a set, strictly and not; every answer is a value or one line."""
    began = time.monotonic()
    tracemalloc.start()
    try:
        for problems in (Problems(), Problems(strict=False)):
            try:
                found, _ = read_with_report(source, problems=problems)
            except InputError as error:
                assert "\n" not in str(error) and len(str(error)) < 8000
                continue
            for sequence in found:
                assert len(sequence.boxes) == len(sequence.frames) > 0
            for fault in problems.faults:
                assert "\n" not in fault.message
        assert tracemalloc.get_traced_memory()[1] < 1e6 * megabytes
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < seconds


@SETTINGS
@given(changes=st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=3))
def test_any_json_in_place_of_a_coco_field_is_a_value_or_one_line(tmp_path, changes):
    boxes = [annotation(1, [0, 0, 5, 5]), annotation(2, [5, 5, 9, 9])]
    content = write(tmp_path, boxes)
    for (part, field), value in changes:
        records = content[part]
        if field is None:
            content[part] = value
        elif field == "" and isinstance(records, list) and records:
            records[0] = value
        elif isinstance(records, list) and records and isinstance(records[0], dict):
            records[0][field] = value
    (tmp_path / "instances.json").write_text(json.dumps(content))
    outcome(f"coco:{tmp_path}")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"images":' * 100_000,
        '{"images": [], "annotations": [' + "9" * 5000 + "]}",
        '{"images": [{"id": 1, "file_name": "07.png", "width": 1e999, "height": 40}],'
        '"annotations": []}',
        '{"images": [NaN], "annotations": [Infinity]}',
        "",
        "null",
    ],
)
def test_json_beyond_all_bounds_is_one_line(tmp_path, text):
    write(tmp_path, [])
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(InputError):
        read_with_report(f"coco:{tmp_path}")
    outcome(f"coco:{tmp_path}")


TAGS = ["object", "bndbox", "size", "trackid", "name", "xmin", "xmax", "x", "width"]
TEXTS = st.one_of(
    st.sampled_from(["0", "-1", "1e999", "nan", "9" * 5000, "", " ", "&#10;", "١٢"]),
    st.integers().map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="<&"), max_size=6),
)
TREES = st.recursive(
    TEXTS,
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
        st.sampled_from(TAGS),
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@SETTINGS
@given(
    tree=TREES,
    where=st.sampled_from(["<size>", "<object>", "<bndbox>", "</annotation>"]),
)
def test_any_xml_among_an_image_s_is_a_value_or_one_line(tmp_path_factory, tree, where):
    root = tmp_path_factory.mktemp("x")
    write_image(root, "ant", xml(thing()))
    folder = write_snippet(root, xml(thing(0)), xml(thing(0)))
    text = xml(thing(0)).replace(where, tree + where, 1)
    (folder / "000001.xml").write_text(text)
    outcome(f"vid:{root}")
    for file in (root / "Annotations" / "DET").rglob("*.xml"):
        file.write_text(text)
    outcome(f"det:{root}")


ENTITIES = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE a [<!ENTITY e0 "ha">{ENTITIES}]><a>&e9;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<a>" * 200_000,
        "<a>" * 50_000 + "</a>" * 50_000,
        "<annotation>" + "<object/>" * 20_000 + "</annotation>",
        "<a " + " ".join(f'b{i}="c"' for i in range(50_000)) + "/>",
    ],
)
def test_xml_bombs_are_one_line(tmp_path, text):
    folder = write_snippet(tmp_path, xml(thing(0)))
    (folder / "000000.xml").write_text(text)
    with pytest.raises(InputError, match=r"000000\.xml"):
        read_with_report(f"vid:{tmp_path}")
    outcome(f"vid:{tmp_path}")


LINES = st.one_of(
    st.sampled_from(
        ["1,1,9,9", "0001.jpg,1,1,9,9", "absent", "0001.jpg,absent,b", "1,1,9,9,t", "#"]
    ),
    st.lists(
        st.one_of(TEXTS, st.sampled_from(["absent", "0002.jpg", "inf"])), max_size=7
    ).map(",".join),
)


@SETTINGS
@given(lines=st.lists(LINES, max_size=5), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_lines_of_boxes_are_a_value_or_one_line(tmp_path, lines, end):
    if not (tmp_path / "a").exists():
        write_frames(tmp_path / "a", (1, 2, 3), digits=4)
    (tmp_path / "a" / "boxes.txt").write_bytes(end.join(lines).encode())
    outcome(f"folder:{tmp_path}")
