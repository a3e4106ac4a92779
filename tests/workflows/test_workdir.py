"""The folder of a run: one configuration, whatever happened to its files."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax.errors import InputError
from dst_jax.experiment import config_hash
from dst_jax.train import Checkpoints
from dst_jax.workflows.workdir import open_workdir
from tests.train.test_checkpoint import snapshot

CONFIG = {
    "experiment": {
        "optim": {"epochs": 2.0},
        "seed": 0,
        "terms": {"ts": {"class": "a"}},
    },
    "teacher": None,
    "data": "abc",
}
OTHER = {**CONFIG, "data": "other"}


def contents(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: path.read_bytes() for path in files if path.name != ".lock"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A workdir with a checkpoint and metrics."""
    folder = tmp_path_factory.mktemp("run") / "w"
    with open_workdir(folder, CONFIG):
        (folder / "metrics.jsonl").write_text('{"step": 1}\n')
        checkpoints = Checkpoints(
            folder / "checkpoints", config_hash=config_hash(CONFIG)
        )
        checkpoints.save(snapshot(1))
        checkpoints.close()
    return folder


def test_a_lost_configuration_comes_back_from_the_checkpoints(begun, tmp_path):
    folder = shutil.copytree(begun, tmp_path / "w")
    (folder / "config.json").unlink()
    before = contents(folder)
    with (
        pytest.raises(InputError, match=r"config.json is missing, and the checkpoints"),
        open_workdir(folder, OTHER),
    ):
        pass
    assert contents(folder) == before
    with open_workdir(folder, CONFIG):
        pass
    assert contents(folder).items() > before.items()
    assert json.loads((folder / "config.json").read_text()) == CONFIG


@pytest.mark.parametrize("work", ["ledger.jsonl", "rows", "bundles"])
def test_work_that_nothing_identifies_is_not_touched(tmp_path, work):
    (tmp_path / work).mkdir()
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    before = contents(tmp_path)
    with (
        pytest.raises(InputError, match=rf"which configuration {work} is of; put it"),
        open_workdir(tmp_path, CONFIG),
    ):
        pass
    assert contents(tmp_path) == before


def test_a_configuration_without_end_is_shown_in_part(begun, tmp_path):
    folder = shutil.copytree(begun, tmp_path / "w")
    (folder / "config.json").write_text(json.dumps({"data": "x" * 10**6}))
    with pytest.raises(InputError, match="data: 'abc', was 'xxx") as told:
        open_workdir(folder, CONFIG).__enter__()
    assert len(str(told.value)) < 1000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["experiment", "terms", "class", "data", "a.b", ""]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(values=VALUES)
def test_any_stored_configuration_is_ours_or_refused_in_one_line(begun, values):
    stored = begun / "config.json"
    good = stored.read_bytes()
    stored.write_text(json.dumps(values))
    try:
        with pytest.raises(InputError) as told:
            open_workdir(begun, CONFIG).__enter__()
    finally:
        stored.write_bytes(good)
    assert "\n" not in str(told.value)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_stored_configuration_is_refused_or_nothing(
    begun, position, bit
):
    stored = begun / "config.json"
    good = stored.read_bytes()
    broken = bytearray(good)
    broken[position % len(broken)] ^= 1 << bit
    stored.write_bytes(broken)
    try:
        with open_workdir(begun, CONFIG):
            assert json.loads(stored.read_text()) == CONFIG
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        stored.write_bytes(good)
