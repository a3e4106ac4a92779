"""The loop: interruption and resumption, best weights, what is reported."""

import contextlib
import dataclasses
import itertools
import os
import signal
import threading
import time

import jax
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.train import (
    Checkpoints,
    Constants,
    Deadline,
    Interrupted,
    Keep,
    LoopConfig,
    MetricWriter,
    Run,
    Snapshot,
    TimeUp,
    first_best,
    fit,
    read_metrics,
    saved_steps,
)
from tests import networks, objectives
from tests.train import setting

pytestmark = pytest.mark.optax

STUDENTS = {"dull": setting.STUDENTS["dull"]}
LOOP = LoopConfig(log_every=1, validate_every=2, checkpoint_every=2)
WAITING = dataclasses.replace(LOOP, save_in_background=False)


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


@pytest.mark.parametrize("loop", [LOOP, WAITING], ids=["background", "waiting"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(step, tmp_path, loop):
    whole = fit(start(), make_run(step, tmp_path / "whole"), WAITING)
    fit(start(), make_run(step, tmp_path / "parts", total=4), loop)
    again = make_run(step, tmp_path / "parts", first=4)
    restored = again.checkpoints.restore(start())
    assert int(restored.state.step) == 4
    assert_same(whole, fit(restored, again, loop))


def slow_saves(run, monkeypatch, *, seconds=0.0, error=None):
    """The run, whose checkpoints take so long, or fail, after that of step 2."""
    save, begun = run.checkpoints.save, []

    def slow(snapshot, *, losses):
        begun.append(int(snapshot.state.step))
        if begun[-1] > 2 and error:
            raise error
        time.sleep(seconds)
        save(snapshot, losses=losses)

    monkeypatch.setattr(run.checkpoints, "save", slow)
    return run, begun


def test_steps_go_on_while_a_checkpoint_of_the_step_is_written(
    step, tmp_path, monkeypatch
):
    ends, let = {}, threading.Event()

    def tick(number, _):
        ends[number] = run.checkpoints.latest_step()
        if number == 4:
            let.set()

    run = make_run(step, tmp_path / "c", tick=tick, total=5)
    save = run.checkpoints.save
    monkeypatch.setattr(
        run.checkpoints, "save", lambda *of, **by: let.wait(60.0) and save(*of, **by)
    )
    loop = dataclasses.replace(LOOP, checkpoint_every=3, log_every=5)
    whole = fit(start(), make_run(step, tmp_path / "whole", total=3), WAITING)
    fit(start(), run, loop)
    # At steps 3 and 4 nothing was whole yet, and then it is what step 3 left.
    assert ends[3] is None and ends[4] is None
    assert run.checkpoints.latest_step() == 5
    assert_same(run.checkpoints.restore(start(), step=3).state, whole.state)


def test_a_save_that_fails_in_the_background_ends_the_run_at_once(
    step, tmp_path, monkeypatch
):
    told, saved = [], []
    run = make_run(
        step,
        tmp_path / "c",
        total=1000,
        tick=lambda number, _: (told.append(number), time.sleep(0.01)),
        saved=lambda snapshot: saved.append(int(snapshot.state.step)),
    )
    full = OSError(28, "No space left on device", "c/4")
    run, _ = slow_saves(run, monkeypatch, error=full)
    loop = dataclasses.replace(LOOP, validate_every=1000, checkpoint_every=30)
    with pytest.raises(OSError, match="No space left"):
        fit(start(), run, loop)
    # No bundle of a step without its checkpoint, and not first at the next save.
    assert 30 <= told[-1] < 60 and saved == []


def test_a_save_that_fails_last_is_told_at_the_end(step, tmp_path, monkeypatch):
    run = make_run(step, tmp_path / "c", total=4)
    full = OSError(28, "No space left on device", "c/4")
    run, begun = slow_saves(run, monkeypatch, error=full)
    with pytest.raises(OSError, match="No space left"):
        fit(start(), run, LOOP)
    assert begun == [2, 4]


def test_a_signal_waits_for_the_checkpoint_and_what_goes_with_it(
    step, tmp_path, monkeypatch
):
    saved = []

    def tick(number, _):
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run = make_run(
        step,
        tmp_path / "c",
        tick=tick,
        saved=lambda snapshot: saved.append(int(snapshot.state.step)),
    )
    run, _ = slow_saves(run, monkeypatch, seconds=0.5)
    with pytest.raises(Interrupted, match="step 3 of 6"):
        fit(start(), run, LOOP)
    assert saved == [2, 3] and run.checkpoints.latest_step() == 3


def test_a_signal_whose_checkpoint_fails_is_told_as_that(step, tmp_path, monkeypatch):
    def tick(number, _):
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run = make_run(step, tmp_path / "c", tick=tick)
    full = OSError(28, "No space left on device", "c/3")
    run, _ = slow_saves(run, monkeypatch, error=full)
    with pytest.raises(OSError, match="No space left"):
        fit(start(), run, LOOP)


def test_divergence_names_the_checkpoint_that_was_being_written(
    step, tmp_path, monkeypatch
):
    run = make_run(spoil(step, 3), tmp_path / "c", validate=None)
    run, _ = slow_saves(run, monkeypatch, seconds=1.0)
    loop = dataclasses.replace(LOOP, checkpoint_every=2)
    message = r"at step 4; all numbers of the checkpoint of step 2 are finite"
    with pytest.raises(InputError, match=message):
        fit(start(), run, loop)


def test_the_checkpoint_of_the_lowest_validation_loss_stays(step, tmp_path):
    validate.calls = 0  # the second validation, at step 4, is the best
    run = make_run(step, tmp_path / "c", total=8, validate=validate)
    keep = Keep(last=1, best=True)
    kept = Checkpoints(tmp_path / "c", config_hash="abc", keep=keep)
    fit(start(), run._replace(checkpoints=kept), LOOP)
    assert saved_steps(tmp_path / "c") == [4, 8]


def spread(variables):
    """A validation that is a function of the weights alone."""
    kernel = variables["dull"]["params"]["backbone"]["conv1"]["conv"]["kernel"]
    return {"val/dull/gt": float(np.asarray(kernel).std())}


def test_a_signal_saves_the_step_in_flight_and_stops(step, tmp_path):
    def tick(number, _):
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run = make_run(step, tmp_path / "c", tick=tick, validate=spread)
    with pytest.raises(Interrupted, match="step 3 of 6") as stopped:
        fit(start(), run, LOOP)
    assert stopped.value.exit_code == 143  # 128 and the number of SIGTERM
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
    names |= {"data_wait_s", "steps", "str_x/dull", "str_z/dull"}
    names |= {"share/dull/ts", "share/dull/ah", "share/dull/str"}
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


@pytest.mark.parametrize("every", [3, 4])
def test_a_resumed_run_reports_what_an_uninterrupted_one_does(step, tmp_path, every):
    """Interrupted at step 2, within the first window and at no report."""
    loop = LoopConfig(log_every=every, validate_every=2, checkpoint_every=2)

    def lines(folder, *totals):
        folder.mkdir()
        snapshot, first = start(), 0
        for total in totals:
            writer = MetricWriter(folder, step=first)
            run = make_run(step, folder / "c", first=first, validate=spread)
            stop = None if total == 6 else total

            def tick(number, _, stop=stop):
                if number == stop:
                    os.kill(os.getpid(), signal.SIGTERM)

            run = run._replace(report=writer.write, tick=tick)
            with contextlib.suppress(Interrupted), contextlib.closing(writer):
                fit(snapshot, run, loop)
            snapshot = run.checkpoints.restore(start())
            first = int(snapshot.state.step)
        timing = {"pairs_per_s", "data_wait_share", "data_wait_s"}
        return [
            {key: value for key, value in row.items() if key not in timing}
            for row in read_metrics(folder / "metrics.jsonl")
        ]

    whole = lines(tmp_path / "whole", 6)
    # The signal is served after the step that follows it.
    assert lines(tmp_path / "parts", 1, 4, 6) == whole
    assert [row["steps"] for row in whole if "loss" in row] == (
        [3, 3] if every == 3 else [4, 2]
    )


def spoil(step, at):
    """The step, whose weights are NaN and whose loss is fine after step `at`."""

    def spoilt(state, constants, batch):
        state, metrics = step(state, constants, batch)
        if int(state.step) == at:
            nan = jax.tree.map(lambda x: x * np.float32(np.nan), state.params)
            state = state._replace(params=nan)
        return state, metrics

    return spoilt


@pytest.mark.parametrize("at", [3, 4])
def test_a_run_that_diverges_between_reports_saves_nothing_bad(step, tmp_path, at):
    loop = LoopConfig(log_every=20, validate_every=5, checkpoint_every=2)
    run = make_run(spoil(step, at), tmp_path / "c", validate=spread)
    message = r"at step 4; all numbers of the checkpoint of step 2 are finite"
    with pytest.raises(InputError, match=message):
        fit(start(), run, loop)
    assert run.checkpoints.latest_step() == 2
    kept = run.checkpoints.restore(start())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.state))


def lose(step, at):
    """The step, whose gradient is infinite in step `at` and whose loss is NaN later."""

    def lost(state, constants, batch):
        state, metrics = step(state, constants, batch)
        if int(state.step) == at:
            norms = {name: np.float32(np.inf) for name in metrics.gradient_norm}
            metrics = metrics._replace(gradient_norm=norms)
        if int(state.step) > at:
            metrics = metrics._replace(loss=np.float32(np.nan))
        return state, metrics

    return lost


@pytest.mark.parametrize("every", [(6, 20), (20, 5)], ids=["report", "checkpoint"])
def test_the_step_that_is_not_finite_first_is_named(step, tmp_path, every):
    """It is noticed at the next report, step 6, or checkpoint, step 5."""
    log, checkpoint = every
    loop = LoopConfig(log_every=log, validate_every=9, checkpoint_every=checkpoint)
    run = make_run(lose(step, 3), tmp_path / "c")
    message = r"^gradient_norm/dull is inf at step 3; nothing was saved yet"
    with pytest.raises(InputError, match=message):
        fit(start(), run, loop)


def test_a_validation_that_is_not_finite_is_divergence(step, tmp_path):
    def validate(variables):
        del variables
        return {"val/dull/gt": float("nan")}

    rows = []
    run = make_run(
        step, tmp_path / "c", validate=validate, report=lambda *row: rows.append(row)
    )
    with pytest.raises(InputError, match=r"val/dull/gt is nan at step 2; nothing was"):
        fit(start(), run, LOOP)
    assert [next(iter(values)) for _, values in rows] == ["loss", "loss"]


def test_a_deadline_ends_a_run_in_time_and_saves_it(step, tmp_path):
    run = make_run(step, tmp_path / "c", deadline=Deadline(0.0))
    with pytest.raises(TimeUp, match=r"step 1 of 6, which is saved") as told:
        fit(start(), run, LOOP)
    assert told.value.exit_code == 75 and run.checkpoints.latest_step() == 1
    run = make_run(step, tmp_path / "d", deadline=Deadline(3600.0))
    assert int(fit(start(), run, LOOP).state.step) == 6


def test_a_deadline_leaves_time_for_what_comes_next(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("dst_jax.train.deadline.time.monotonic", lambda: now[0])
    deadline = Deadline(60.0)
    deadline.took("step", 1.0)
    deadline.took("checkpoint", 5.0)
    deadline.took("checkpoint", 4.0)  # 4.5 count, for it may vary
    # One step, a checkpoint with as much again, and eight seconds: 18 in all.
    now[0] = 141.9
    assert not deadline.is_near("step", "checkpoint")
    now[0] = 142.1
    assert deadline.is_near("step", "checkpoint")
    # A validation that never took place may take as long as anything did, 7 s here.
    deadline.took("first step", 7.0)
    now[0] = 132.4
    assert not deadline.is_near("step", "checkpoint", "validation")
    now[0] = 132.6
    assert deadline.is_near("step", "checkpoint", "validation")


def test_a_dropped_connection_saves_the_run(step, tmp_path):
    def tick(number, _):
        if number == 2:
            os.kill(os.getpid(), signal.SIGHUP)

    run = make_run(step, tmp_path / "c", tick=tick)
    with pytest.raises(Interrupted, match="step 3 of 6"):
        fit(start(), run, LOOP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        run = make_run(step, tmp_path / "d", tick=tick)
        assert int(fit(start(), run, LOOP).state.step) == 6
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_saved_and_what_takes_long_is_told(step, tmp_path):
    said, saved = [], []
    run = make_run(
        step,
        tmp_path / "c",
        total=4,
        validate=spread,
        saved=lambda snapshot: saved.append(int(snapshot.state.step)),
        tell=said.append,
    )
    fit(start(), run, WAITING)
    assert saved == [2, 4]
    assert said == ["validation", "", "checkpoint", ""] * 2


@pytest.mark.parametrize("field", ["log_every", "validate_every", "checkpoint_every"])
def test_unfit_loop_settings_are_named(field):
    with pytest.raises(InputError, match=field):
        dataclasses.replace(LOOP, **{field: -1})
