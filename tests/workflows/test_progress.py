"""Long waits speak: a terminal counts seconds, a pipe gets a line now and then."""

import io
import time

import pytest
from rich.console import Console

from dst_jax.workflows import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_what_takes_long_is_shown_with_its_seconds(clock):
    status = progress.Status("compiling")
    clock[0] = 112.4
    assert str(status) == "compiling 12 s"
    status.show("loss 0.5")
    assert str(status) == "compiling 12 s"
    status.tell("validation")
    clock[0] = 115.4
    assert str(status) == "validation 3 s"
    status.tell("")
    assert str(status) == "loss 0.5"


def lines_of(display, until):
    """What a pipe gets of a display until it has that many lines."""
    said = io.StringIO()
    console = Console(file=said, width=200)
    with display(console) as shown:
        if shown is not None:
            report = {"loss": 0.5, "pairs_per_s": 7.0, "data_wait_share": 0.25}
            shown.tick(3, report)
            shown.tell("validation")
        for _ in range(500):
            if said.getvalue().count("\n") >= until:
                break
            time.sleep(0.01)
        found = said.getvalue().splitlines()
    ended = said.getvalue()
    time.sleep(0.05)
    assert said.getvalue() == ended  # nothing is said after the end
    return found


def test_a_pipe_hears_of_a_wait():
    found = lines_of(
        lambda console: progress.waiting(console, "reading data", pause_s=0.01), 2
    )
    assert found[:2] == ["reading data 0 s", "reading data 0 s"]


def test_a_pipe_hears_of_training():
    found = lines_of(
        lambda console: progress.training_bar(console, 8, 2, pause_s=0.01), 1
    )
    assert found[0] == "step 3 of 8  validation 0 s"


def test_a_short_wait_says_nothing_in_a_pipe():
    said = io.StringIO()
    with progress.waiting(Console(file=said), "reading data"):
        pass
    assert said.getvalue() == ""


def test_a_terminal_shows_the_wait_and_clears_it():
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=80)
    with progress.waiting(console, "reading data"):
        time.sleep(0.3)
    assert "reading data 0 s" in said.getvalue()
    with progress.training_bar(console, 8, 2):
        time.sleep(0.6)
    assert "compiling 0 s" in said.getvalue()
