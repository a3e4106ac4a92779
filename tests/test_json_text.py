"""JSON is taken or refused in one line, whatever bytes a file holds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax import files
from dst_jax.errors import InputError
from dst_jax.json_text import parse_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES)
def test_what_python_writes_is_read_as_it_was(values):
    assert parse_json(json.dumps(values)) == values
    assert parse_json(json.dumps(values, ensure_ascii=False).encode()) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000 + "]" * 200_000, "nested over 64 deep"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested over 64 deep"),
        ('{"steps": ' + "9" * 5000 + "}", "not JSON (Exceeds the limit"),
        ('{"a": {"steps": 1' + "0" * 400 + "}}", "a.steps=1000"),
        ('{"steps": 18446744073709551616}', "steps=18446744073709551616: must have at"),
        ('{"a": [0, {"steps": 1e999}]}', "a[1].steps=inf: must be a finite number"),
        ('{"a": NaN}', "a=nan: must be a finite number"),
        ('{"a": -Infinity}', "a=-inf: must be a finite number"),
        ("NaN", "nan: must be a finite number"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' comes twice"),
        ('{"name": "\\ud800"}', r"name='\ud800': is no text"),
        ('{"\\ud800": 1}', r"'\ud800': is no text"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ('{"a": 1', "not JSON"),
        ("", "not JSON"),
    ],
    ids=range(16),
)
def test_what_no_file_of_ours_holds_is_named(text, message):
    with pytest.raises(InputError) as error:
        parse_json(text)
    assert message in str(error.value) and len(str(error.value)) < 300


def test_bytes_of_file_names_are_text():
    name = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    assert parse_json(json.dumps([name])) == [name]


def test_a_file_that_is_far_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(10**11)  # takes no space on the disk
    with pytest.raises(InputError, match=r"a\.json: over 8 MB of JSON"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"a": "' + 200 * "x" + '"}')
    with pytest.raises(InputError, match=r"b\.json: over 0\.0001 MB"):
        files.read_json(tmp_path / "b.json", most_bytes=100)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123eE.-+nulltrfasINY \\ud'))
def test_any_text_is_a_value_or_one_line(text):
    try:
        parse_json(text)
    except InputError as error:
        assert "\n" not in str(error)
