"""Saving while steps go on: in order, one at a time, and no failure is lost."""

import threading

import numpy as np
import pytest

from dst_jax.train import Constants, Deadline, Run
from dst_jax.train.loop import _long
from dst_jax.train.saver import Saver
from tests.train.test_checkpoint import snapshot

WAIT_S = 30.0  # far more than any of these takes


class Slow:
    """Saves nothing, and only once it is let."""

    def __init__(self):
        self.began, self.let, self.done = threading.Event(), threading.Event(), []

    def __call__(self, snapshot, losses):
        self.began.set()
        assert self.let.wait(WAIT_S)
        self.done.append((int(snapshot.state.step), dict(losses)))


def test_a_run_goes_on_while_it_is_saved_and_waits_before_the_next():
    slow = Slow()
    saver = Saver(slow, background=True)
    saver.save(snapshot(1), {"dull": 0.5})
    assert slow.began.wait(WAIT_S)
    assert saver.busy and not saver.failed and slow.done == []
    threading.Timer(0.2, slow.let.set).start()
    saver.save(snapshot(2), {})
    assert slow.done[0] == (1, {"dull": 0.5})
    saver.wait()
    assert [step for step, _ in slow.done] == [1, 2] and not saver.busy


def test_in_the_foreground_it_is_saved_on_return():
    done = []
    saver = Saver(lambda kept, losses: done.append(kept), background=False)
    saver.save(snapshot(1), {})
    assert len(done) == 1 and not saver.busy


def test_what_is_saved_is_not_what_later_steps_write_to():
    slow, kept = Slow(), snapshot(1)
    weights, seen = kept.state.params["dull"]["w"], []
    saver = Saver(
        lambda own, losses: (slow(own, losses), seen.append(own)), background=True
    )
    saver.save(kept, {})
    before = weights.copy()
    weights[:] = -1.0
    slow.let.set()
    saver.wait()
    np.testing.assert_array_equal(seen[0].state.params["dull"]["w"], before)


def test_a_failure_is_known_and_raised_once():
    def fail(snapshot, losses):
        raise OSError(28, "No space left on device", "c/4")

    saver = Saver(fail, background=True)
    saver.save(snapshot(4), {})
    with pytest.raises(OSError, match="No space left on device: 'c/4'"):
        while not saver.failed:
            pass
        saver.save(snapshot(5), {})
    saver.wait()
    assert not saver.failed


def test_closing_waits_for_what_is_being_saved():
    slow = Slow()
    saver = Saver(slow, background=True)
    saver.save(snapshot(1), {})
    threading.Timer(0.2, slow.let.set).start()
    saver.close()
    assert len(slow.done) == 1


def test_a_time_limit_is_told_how_long_it_took():
    slow, deadline = Slow(), Deadline(60.0)
    saver = Saver(slow, background=True, deadline=deadline)
    saver.save(snapshot(1), {})
    threading.Timer(0.3, slow.let.set).start()
    saver.wait()
    assert deadline._took["checkpoint"] >= 0.25


def test_the_copy_for_the_background_is_not_taken_for_the_whole():
    """A limit that knew of the copy alone would leave no time to save."""
    deadline = Deadline(60.0)
    run = Run(
        step=lambda state, constants, batch: (state, batch),
        constants=Constants(),
        batches=iter(()),
        validate=None,
        total_steps=2,
        steps_per_epoch=1,
        batch=1,
        deadline=deadline,
        saver=Saver(lambda kept, losses: None, background=True),
    )
    with _long("checkpoint", run):
        pass
    assert "checkpoint" not in deadline._took
