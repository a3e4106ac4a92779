"""What the time of a run went to, over its interruptions."""

import json

import pytest

from dst_jax.errors import InputError
from dst_jax.train import Account, TimesWriter, goodput_line, read_times, time_shares
from dst_jax.train import goodput as module
from dst_jax.train.goodput import CAUSES, TIMES, Times


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(module.time, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def spend(clock, account, **seconds):
    for cause, count in seconds.items():
        clock.now += count
        account.spent(cause)


def test_a_run_that_is_killed_every_60_steps_adds_up(clock, tmp_path):
    """It saves at every 25th step, takes .1 s a step and 9 s to start each time.

    By hand: it begins at 0, 50, 100, 150, takes 60, 60, 60 and 50 steps up to 200, of
    which 10 a kill are taken again; 5 s lie between a kill and the next start.
    """
    for began, reached in ((0, 60), (50, 110), (100, 160), (150, 200)):
        account = Account()
        writer = TimesWriter(tmp_path, began=began, account=account)
        spend(clock, account, start=6.0, compilation=3.0)
        for step in range(began + 1, reached + 1):
            spend(clock, account, steps=0.1)
            if step % 10 == 0:
                writer.write(step)
        writer.close()
        clock.now += 5.0
    shares = time_shares(read_times(tmp_path / TIMES))
    whole = 4 * 9.0 + 230 * 0.1 + 3 * 5.0
    expected = {
        "start": 24.0,
        "compilation": 12.0,
        "steps": 20.0,
        "redone steps": 3.0,
        "between": 15.0,
        "data": 0.0,
        "validation": 0.0,
        "checkpoint": 0.0,
    }
    assert shares == pytest.approx({n: s / whole for n, s in expected.items()})
    assert sum(shares.values()) == pytest.approx(1.0)
    assert goodput_line(shares) == (
        "goodput 27%; the rest: start 32%, between 20%, compilation 16%, "
        "redone steps 4%"
    )


def test_every_second_goes_to_one_cause(clock):
    account = Account()
    spend(clock, account, start=2.0, data=0.5, steps=1.5, validation=4.0)
    spend(clock, account, data=0.25)
    assert account.seconds == {
        **dict.fromkeys(CAUSES, 0.0),
        "start": 2.0,
        "data": 0.75,
        "steps": 1.5,
        "validation": 4.0,
    }


def test_a_run_that_begins_twice_at_one_step_is_two_processes():
    seconds = dict.fromkeys(CAUSES, 0.0)
    first = Times(0, 30, {**seconds, "steps": 30.0}, at=30.0)
    longer = Times(0, 40, {**seconds, "steps": 40.0}, at=140.0)
    shares = time_shares([first, longer])
    # All of the first is taken again; nothing runs for 70 s.
    assert shares["redone steps"] == pytest.approx(30 / 140)
    assert shares["between"] == pytest.approx(70 / 140)


def test_no_line_is_no_share():
    assert time_shares([]) == {}


GOOD = {"began": 0, "step": 1, "seconds": dict.fromkeys(CAUSES, 1.0), "at": 5.0}


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        json.dumps({**GOOD, "more": 1}),
        json.dumps({**GOOD, "seconds": {"steps": 1.0}}),
        json.dumps({**GOOD, "step": "1"}),
        json.dumps({**GOOD, "seconds": dict.fromkeys(CAUSES, float("nan"))}),
    ],
)
def test_a_line_that_is_no_account_is_named(line, tmp_path):
    path = tmp_path / TIMES
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(InputError, match=r"times\.jsonl, line 2: .*; remove this line"):
        read_times(path)


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
    path = tmp_path / TIMES
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD)[:-9])
    assert len(read_times(path)) == 1
