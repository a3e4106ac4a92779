"""Checkpoints: a damaged one is refused, one that is cut short leaves no trace."""

import errno
import re
import shutil

import jax
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.train import (
    Checkpoints,
    Snapshot,
    TrainState,
    first_best,
    read_record,
    saved_steps,
)
from dst_jax.train.snapshot import OpenWindow, not_finite


def snapshot(step):
    """A tiny state, a function of the step; it stands for one of training."""
    rng = np.random.default_rng(step)
    weights = {"w": rng.standard_normal((32, 40)).astype(np.float32)}
    state = TrainState(
        np.asarray(step, np.int32),
        {"dull": weights},
        {"dull": {"mean": rng.standard_normal(4).astype(np.float32)}},
        {"dull": (np.zeros(2, np.float32),)},
    )
    return Snapshot(state, first_best(state), OpenWindow(step, {"loss": 0.1 * step}))


def assert_same(one, two):
    assert one.window == two.window
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def opened(folder):
    return Checkpoints(folder, config_hash="abc", card={"seed": 3})


def damage(checkpoint):
    """Flips a bit in the middle of the largest file of a checkpoint."""
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    path = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    checkpoints = opened(tmp_path / "c")
    for step in (1, 2, 3):
        checkpoints.save(snapshot(step))
    checkpoints.close()
    return tmp_path / "c"


def test_a_checkpoint_comes_back_with_its_record(folder):
    assert_same(opened(folder).restore(snapshot(0)), snapshot(3))
    assert_same(opened(folder).restore(snapshot(0), step=2), snapshot(2))
    record = read_record(folder, 3)
    assert record["config_hash"] == "abc" and record["card"] == {"seed": 3}


def test_a_step_that_is_not_there_is_named_with_those_that_are(folder):
    with pytest.raises(InputError, match=r"no checkpoint of step 1; there is 2, 3"):
        opened(folder).restore(snapshot(0), step=1)


def test_flipped_bits_are_refused_or_change_nothing(folder, tmp_path):
    """Sixty flips, every second one in the arrays, the others over all files."""
    rng = np.random.default_rng(0)
    files = sorted(p.relative_to(folder) for p in (folder / "3").rglob("*"))
    files = [name for name in files if (folder / name).is_file()]
    largest = max(files, key=lambda name: (folder / name).stat().st_size)
    refused = []
    for number in range(60):
        copy = shutil.copytree(folder, tmp_path / f"copy{number}")
        path = copy / (largest if number % 2 else files[number // 2 % len(files)])
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            found = opened(copy).restore(snapshot(0))
        except InputError as error:
            line = str(error)
            refused.append(line)
            assert "/3: this checkpoint cannot be read" in line
            assert "remove the folder to go on from step 2" in line
            shutil.rmtree(copy / "3")
            assert_same(opened(copy).restore(snapshot(0)), snapshot(2))
        else:
            assert_same(found, snapshot(3))
        shutil.rmtree(copy)
    # Orbax itself notices few of those in the arrays.
    assert sum("its arrays are not those" in line for line in refused) > 10


def test_a_run_goes_on_from_the_newest_checkpoint_that_is_whole(folder):
    damage(folder / "3")
    checkpoints = opened(folder)
    found, (line,) = checkpoints.restore_newest(snapshot(0))
    assert_same(found, snapshot(2))
    assert re.search(r"c/3: this checkpoint cannot be read \(.*; it is kept as", line)
    assert line.endswith("it is kept as damaged-3.")
    # Its step can be saved anew.
    checkpoints.save(snapshot(3))
    assert_same(opened(folder).restore(snapshot(0)), snapshot(3))
    damage(folder / "3")
    found, lines = opened(folder).restore_newest(snapshot(0))
    assert_same(found, snapshot(2))
    assert len(lines) == 1 and (folder / "damaged-3").is_dir()


def test_checkpoints_of_which_none_is_whole_begin_nothing_anew(folder):
    for step in ("2", "3"):
        damage(folder / step)
    with pytest.raises(InputError, match=r"c/2: .* remove the folder to begin anew"):
        opened(folder).restore_newest(snapshot(0))


def test_no_checkpoint_is_none(tmp_path):
    assert opened(tmp_path / "c").restore_newest(snapshot(0)) == (None, [])


def test_checkpoints_of_another_configuration_are_not_set_aside(folder):
    other = Checkpoints(folder, config_hash="other")
    with pytest.raises(InputError, match="made by another configuration"):
        other.restore_newest(snapshot(0))
    assert saved_steps(folder) == [2, 3]


def test_a_record_without_its_digest_is_refused(folder):
    path = folder / "3" / "made" / "metadata"
    path.write_text('{"config_hash": "abc"}')
    with pytest.raises(InputError, match="no digest, as those of older releases"):
        opened(folder).restore(snapshot(0))
    for content in ("{}", '"abc"', "[]", ""):
        path.write_text(content)
        with pytest.raises(InputError, match=r"c/3: this checkpoint cannot be read"):
            opened(folder).restore(snapshot(0))


def test_the_only_checkpoint_if_damaged_lets_the_run_begin_anew(folder):
    shutil.rmtree(folder / "2")
    (folder / "3" / "made" / "metadata").unlink()
    with pytest.raises(InputError, match="remove the folder to begin anew"):
        opened(folder).restore(snapshot(0))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("INTERNAL: Error writing x: [OS error: No space left on device]"),
    ],
    ids=["system", "library"],
)
def test_a_full_disk_is_named_and_earlier_checkpoints_stand(folder, monkeypatch, error):
    checkpoints = opened(folder)

    def fail(step, args):
        del args
        (folder / f"{step}.orbax-checkpoint-tmp-1" / "d").mkdir(parents=True)
        raise error

    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(OSError, match="No space left") as told:
        checkpoints.save(snapshot(4))
    assert told.value.filename == str(folder / "4")
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]
    again = opened(folder)
    assert_same(again.restore(snapshot(0)), snapshot(3))
    again.save(snapshot(4))
    assert again.latest_step() == 4


def test_what_a_killed_save_left_is_removed(folder):
    (folder / "4.orbax-checkpoint-tmp-9" / "snapshot").mkdir(parents=True)
    assert opened(folder).latest_step() == 3
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]


def test_a_number_that_is_not_finite_is_found_by_name():
    arrays = {"a": np.ones(3, np.float32), "b": {"c": np.array([1, 2], np.int32)}}
    assert not_finite(arrays) is None
    for bad in (np.nan, np.inf, -np.inf):
        arrays["b"]["d"] = np.array([0.0, bad], np.float32)
        assert not_finite(arrays) == "b/d"
