"""Which checkpoints stay."""

import pytest

from dst_jax.errors import InputError
from dst_jax.train import Checkpoints, Keep, LoopConfig, read_record, saved_steps
from tests.train.test_checkpoint import snapshot

# Validated at every second checkpoint; ties of "deep" go to the earlier.
LOSSES = {
    2: {"dull": 0.9, "deep": 0.5},
    4: {},
    6: {"dull": 0.3, "deep": 0.2},
    8: {},
    10: {"dull": 0.4, "deep": 0.2},
    12: {},
}


@pytest.mark.parametrize(
    "keep, steps",
    [
        (Keep(), [10, 12]),
        (Keep(last=4), [6, 8, 10, 12]),
        (Keep(last=1, every=4), [4, 8, 12]),
        (Keep(last=1, best=True), [6, 12]),
        (Keep(last=1, every=10, best=True), [6, 10, 12]),
    ],
)
def test_checkpoints_on_disk_are_those_of_the_policy(tmp_path, keep, steps):
    """As many as were ever to stay, and also over a restart in between."""
    for part in ([2, 4, 6], [8, 10, 12]):
        checkpoints = Checkpoints(tmp_path, config_hash="abc", keep=keep)
        for step in part:
            checkpoints.save(snapshot(step), losses=LOSSES[step])
        checkpoints.close()
    assert saved_steps(tmp_path) == steps
    assert read_record(tmp_path, steps[-1])["losses"] == {}


def test_each_student_has_a_best_checkpoint():
    losses = {2: {"dull": 0.1, "deep": 0.9}, 4: {"dull": 0.5, "deep": 0.8}, 6: {}}
    assert Keep(last=1, best=True).chosen(losses) == {2, 4, 6}


def test_a_checkpoint_whose_record_is_damaged_is_nobodys_best(tmp_path):
    keep = Keep(last=1, best=True)
    checkpoints = Checkpoints(tmp_path, config_hash="abc", keep=keep)
    checkpoints.save(snapshot(2), losses={"dull": 0.1})
    checkpoints.close()
    (tmp_path / "2" / "made" / "metadata").write_text("{")
    checkpoints = Checkpoints(tmp_path, config_hash="abc", keep=keep)
    checkpoints.save(snapshot(4), losses={"dull": 0.2})
    checkpoints.close()
    assert saved_steps(tmp_path) == [4]


def test_the_most_checkpoints_are_those_that_stay_and_one_in_the_making():
    assert Keep().most(100, students=2) == 3
    # 30, 60 and 90, the best of two students, the last, and the next.
    assert Keep(last=1, every=30, best=True).most(100, students=2) == 7


def test_regular_checkpoints_are_counted_in_epochs_or_steps():
    assert LoopConfig(keep_every=3).keep(steps_per_epoch=50) == Keep(every=150)
    every = LoopConfig(keep_every=3, checkpoint_every=20, keep_last=5, keep_best=True)
    assert every.keep(steps_per_epoch=50) == Keep(last=5, every=60, best=True)


@pytest.mark.parametrize(
    "values",
    [{"keep_last": 0}, {"keep_last": 1001}, {"keep_every": -1}, {"keep_every": 10**7}],
)
def test_settings_that_keep_nothing_or_too_much_are_named(values):
    (field,) = values
    with pytest.raises(InputError, match=rf"LoopConfig\.{field}="):
        LoopConfig(**values)
