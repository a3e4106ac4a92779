"""A run may stop at any of its steps, and does the same whenever it is repeated."""

import shutil

import numpy as np
import pytest

from dst_jax.train import LoopConfig, Snapshot, fit
from tests import objectives
from tests.train import setting
from tests.train.test_loop import STUDENTS, assert_same, make_run, spread, start

pytestmark = [pytest.mark.optax, pytest.mark.slow]

STEPS = 40
# Reports, validations and checkpoints fall on different steps.
LOOP = LoopConfig(log_every=7, validate_every=6, checkpoint_every=1)
# What a report says of time differs from run to run.
TIMED = ("pairs_per_s", "data_wait_share", "data_wait_s")


@pytest.fixture(scope="module")
def step():
    return setting.make_step(STUDENTS, config=objectives.row(setting.CONFIG, "TSKD"))


def reported(rows):
    """The last report of losses, without its times."""
    last = {}
    for number, values in rows:
        last.setdefault(number, {}).update(values)
    return {
        number: {name: v for name, v in values.items() if name not in TIMED}
        for number, values in last.items()
    }


def test_a_run_that_goes_on_from_any_of_its_steps_ends_alike(step, tmp_path):
    rows = []

    def keep(kept):
        number = int(kept.state.step)
        shutil.copytree(tmp_path / "whole" / str(number), tmp_path / "at" / str(number))

    (tmp_path / "at").mkdir()
    run = make_run(
        *(step, tmp_path / "whole"),
        total=STEPS,
        report=lambda *row: rows.append(row),
        validate=spread,
        saved=keep,
    )
    whole = fit(start(), run, LOOP)
    expected = reported(rows)
    assert sorted(expected) == sorted({*range(7, 41, 7), *range(6, 41, 6), 40})
    for number in range(1, STEPS):
        folder, again = tmp_path / f"from-{number}", []
        folder.mkdir()
        shutil.copytree(tmp_path / "at" / str(number), folder / str(number))
        later = make_run(
            *(step, folder),
            first=number,
            total=STEPS,
            report=lambda *row, told=again: told.append(row),
            validate=spread,
        )
        assert later.checkpoints
        restored = later.checkpoints.restore(start())
        assert restored
        done = fit(restored, later._replace(checkpoints=None), LOOP)
        assert_same(whole, done)
        after = {n: v for n, v in expected.items() if n > number}
        assert reported(again) == after, number
        shutil.rmtree(folder)


def test_a_thousand_steps_are_the_same_when_they_are_repeated(step, tmp_path):
    found = []
    for name in ("once", "again"):
        losses = []
        run = make_run(
            *(step, tmp_path / name),
            total=1_000,
            checkpoints=None,
            report=lambda _, values, told=losses: told.append(values["loss"]),
        )
        done = fit(start(), run, LoopConfig(log_every=1))
        found.append((done, np.array(losses)))
    (one, one_losses), (two, two_losses) = found
    assert isinstance(one, Snapshot) and len(one_losses) == 1_000
    assert_same(one, two)
    np.testing.assert_array_equal(one_losses, two_losses)
