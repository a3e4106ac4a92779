"""The loop: interruption and resumption, best weights, what is reported."""

import dataclasses
import itertools
import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.train import (
    Checkpoints,
    Constants,
    Interrupted,
    LoopConfig,
    MetricWriter,
    Run,
    Snapshot,
    first_best,
    fit,
    read_metrics,
)
from tests import networks, objectives
from tests.train import setting

pytestmark = pytest.mark.optax

STUDENTS = {"dull": setting.STUDENTS["dull"]}
LOOP = LoopConfig(log_every=1, validate_every=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def step():
    with jax.numpy_dtype_promotion("standard"):
        return setting.make_step(
            STUDENTS, config=objectives.row(setting.CONFIG, "TSKD")
        )


def validate(variables):
    """A stand-in that likes the middle of the run best."""
    kernel = variables["dull"]["params"]["backbone"]["conv1"]["conv"]["kernel"]
    validate.calls += 1
    del kernel
    return {"val/dull/gt": abs(validate.calls - 2.0)}


def start():
    state = setting.fresh_state(STUDENTS)
    return Snapshot(state, first_best(state))


def make_run(step, folder, *, first=0, total=6, report=None, tick=None, **changes):
    checkpoints = Checkpoints(folder, config_hash="abc")
    run = Run(
        step=step,
        constants=Constants(networks.teacher_variables()),
        batches=(setting.make_batch(i) for i in itertools.count(first)),
        validate=None,
        checkpoints=checkpoints,
        report=report or (lambda step, values: None),
        tick=tick or (lambda step, values: None),
        total_steps=total,
        steps_per_epoch=10,
        batch=4,
    )
    return run._replace(**changes)


def assert_same(one, two):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    for a, b in leaves:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(step, tmp_path):
    whole = fit(start(), make_run(step, tmp_path / "whole"), LOOP)
    fit(start(), make_run(step, tmp_path / "parts", total=4), LOOP)
    again = make_run(step, tmp_path / "parts", first=4)
    restored = again.checkpoints.restore(start())
    assert int(restored.state.step) == 4
    assert_same(whole, fit(restored, again, LOOP))


def spread(variables):
    """A validation that is a function of the weights alone."""
    kernel = variables["dull"]["params"]["backbone"]["conv1"]["conv"]["kernel"]
    return {"val/dull/gt": float(np.asarray(kernel).std())}


def test_a_signal_saves_the_step_in_flight_and_stops(step, tmp_path):
    def tick(number, _):
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run = make_run(step, tmp_path / "c", tick=tick, validate=spread)
    with pytest.raises(Interrupted, match="step 3 of 6"):
        fit(start(), run, LOOP)
    later = make_run(step, tmp_path / "c", first=3, validate=spread)
    restored = later.checkpoints.restore(start())
    assert int(restored.state.step) == 3
    # Best weights too: step 3 is no step at which an uninterrupted run validates.
    whole = fit(start(), make_run(step, tmp_path / "whole", validate=spread), LOOP)
    assert_same(whole, fit(restored, later, LOOP))


def test_the_best_weights_are_those_of_the_lowest_validation_loss(step, tmp_path):
    validate.calls = 0
    seen = {}
    done = fit(
        start(),
        make_run(
            step,
            tmp_path / "c",
            validate=validate,
            report=lambda number, values: seen.setdefault(number, {}).update(values),
        ),
        LOOP,
    )
    assert [seen[n]["val/dull/gt"] for n in (2, 4, 6)] == [1.0, 0.0, 1.0]
    best = fit(start(), make_run(step, tmp_path / "four", total=4), LOOP)
    assert_same(done.best.variables["dull"]["params"], best.state.params["dull"])
    assert float(done.best.loss["dull"]) == 0.0


def test_reports_hold_loss_terms_rates_and_waiting(step, tmp_path):
    rows = []
    run = make_run(step, tmp_path / "c", total=2, report=lambda *row: rows.append(row))
    fit(start(), run, LOOP)
    assert [number for number, _ in rows] == [1, 2]
    names = {"loss", "loss/dull/ts", "loss/dull/ah", "loss/dull/str", "gt/dull"}
    names |= {"gt/teacher", "gradient_norm/dull", "pairs_per_s", "data_wait_share"}
    names |= {"data_wait_s"}
    assert set(rows[0][1]) == names
    assert 0.0 <= rows[1][1]["data_wait_share"] <= 1.0


def test_the_time_waited_for_data_is_told(step, tmp_path):
    def slow():
        for number in itertools.count():
            time.sleep(0.2 if number else 0.0)
            yield setting.make_batch(number)

    rows = []
    run = make_run(
        step,
        tmp_path / "c",
        total=3,
        batches=slow(),
        report=lambda _, values: rows.append(values),
    )
    fit(start(), run, LOOP)
    # Of each row one step; the sleep is its wait, and part of the step's whole time.
    assert min(row["data_wait_s"] for row in rows[1:]) >= 0.2
    for row in rows:
        whole = run.batch / row["pairs_per_s"]
        assert row["data_wait_share"] == pytest.approx(row["data_wait_s"] / whole)


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(step, tmp_path):
    spoilt = start()
    params = jax.tree.map(lambda x: x * np.nan, spoilt.state.params)
    run = make_run(step, tmp_path / "c")
    with pytest.raises(
        InputError, match=r"at step 1; nothing was saved yet.*learning_rate"
    ):
        fit(Snapshot(spoilt.state._replace(params=params), spoilt.best), run, LOOP)
    assert run.checkpoints.latest_step() is None


def test_checkpoints_of_another_configuration_are_refused(step, tmp_path):
    fit(start(), make_run(step, tmp_path / "c", total=2), LOOP)
    other = Checkpoints(tmp_path / "c", config_hash="other")
    with pytest.raises(InputError, match="another configuration"):
        other.restore(start())


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(step, tmp_path):
    import shutil

    fit(start(), make_run(step, tmp_path / "c", total=4), LOOP)
    broken = tmp_path / "c" / "4"
    for path in broken.rglob("*"):
        if path.is_file() and path.stat().st_size > 200:
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"c/4.*cannot be read.*remove"):
        Checkpoints(tmp_path / "c", config_hash="abc").restore(start())
    shutil.rmtree(broken)
    older = Checkpoints(tmp_path / "c", config_hash="abc").restore(start())
    assert int(older.state.step) == 2


def test_the_log_forgets_steps_that_are_taken_again(tmp_path):
    writer = MetricWriter(tmp_path)
    for number in (1, 2, 3):
        writer.write(number, {"loss": float(number)})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # a crash in the middle of a line
    writer = MetricWriter(tmp_path, step=2)
    writer.write(3, {"loss": 30.0})
    writer.close()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["loss"] for row in rows] == [1.0, 2.0, 30.0]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("field", ["log_every", "validate_every", "checkpoint_every"])
def test_unfit_loop_settings_are_named(field):
    with pytest.raises(InputError, match=field):
        dataclasses.replace(LOOP, **{field: -1})
