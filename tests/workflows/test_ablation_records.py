"""Results that an ablation has kept: read as written, or refused."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax.errors import InputError
from dst_jax.workflows.ablation.record import read_outcome, read_run, write_record

SCORES = {
    "targets": "abc",
    "success_auc": 0.5,
    "precision_20": 0.75,
    "op_50": 0.25,
    "fps": 120.0,
}
OUTCOME = {
    "parameters": 128,
    "megabytes": 0.000512,
    "gate_open": None,
    "scores": {"otb:x": SCORES},
}
RUN = {
    "row": "TS",
    "group": ["dull", "intelligent"],
    "seed": 0,
    "seconds": 1.5,
    "versions": {"jax": "0.1"},
    "students": {"dull": OUTCOME},
}
KINDS = [(read_run, RUN), (read_outcome, OUTCOME)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(("read", "values"), KINDS)
def test_a_record_comes_back_also_without_a_digest(tmp_path, read, values):
    path = tmp_path / "a.json"
    write_record(path, values)
    assert read(path) == values
    path.write_text(json.dumps(values))
    assert read(path) == values


def edited(values, place, value):
    """A copy with one inner value replaced."""
    copy = inner = json.loads(json.dumps(values))
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return copy


def places(values, before=()):
    for name, value in values.items():
        yield (*before, name)
        if isinstance(value, dict) and name != "versions":
            yield from places(value, (*before, name))


@pytest.mark.parametrize(("read", "values"), KINDS)
def test_a_value_that_was_edited_is_refused(tmp_path, read, values):
    path = tmp_path / "a.json"
    write_record(path, values)
    whole = json.loads(path.read_text())
    for place in places(values):
        path.write_text(json.dumps(edited(whole, place, 3)))
        with pytest.raises(InputError, match=r"a.json is damaged \(it was changed"):
            read(path)


@settings(max_examples=200, deadline=1000)
@given(data=st.data())
def test_any_value_in_a_record_without_digest_is_one_of_its_kind_or_refused(
    tmp_path_factory, data
):
    read, values = data.draw(st.sampled_from(KINDS))
    place, value = data.draw(st.sampled_from(list(places(values)))), data.draw(JSON)
    path = tmp_path_factory.mktemp("fuzz") / "a.json"
    path.write_text(json.dumps(edited(values, place, value)))
    try:
        found = read(path)
    except InputError as error:
        assert "a.json" in str(error) and "\n" not in str(error)
    else:
        kinds = {"row": str, "seed": int, "parameters": int, "targets": str}
        assert isinstance(found, dict)
        if place[-1] in kinds:
            assert type(value) is kinds[place[-1]]


@pytest.mark.parametrize(("read", "values"), KINDS)
def test_of_100_bit_flips_none_is_believed(tmp_path, read, values):
    path, rng = tmp_path / "a.json", random.Random(0)
    write_record(path, values)
    content = bytearray(path.read_bytes())
    for _ in range(100):
        place, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
        content[place] ^= bit
        path.write_bytes(content)
        content[place] ^= bit
        try:
            assert read(path) == values
        except InputError as error:
            assert "a.json" in str(error)


@pytest.mark.parametrize("text", ["{}", "[]", '"x"', "", "[" * 99_999, "1" * 9_999])
def test_what_is_no_record_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    for read, _ in KINDS:
        with pytest.raises(InputError, match=r"a\.json") as said:
            read(tmp_path / "a.json")
        assert "\n" not in str(said.value)
