"""Small JSON files: whole, and named where they are bad."""

import pytest

from dst_jax.errors import InputError
from dst_jax.jsonfile import read_json, write_json


def test_what_is_written_comes_back_and_nothing_else_is_left(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": "ü"})
    assert read_json(tmp_path / "a.json") == {"a": "ü", "b": [1, 2.5]}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text().index('"a"') == 4  # keys are sorted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "a.json: not JSON"),
        (b"\xff\xfe", "a.json: not JSON"),
        (b"[1, 2]", "a.json: expected a JSON object"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(tmp_path / "a.json")


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1
