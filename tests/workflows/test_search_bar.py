"""What a search says while one waits."""

import io
import time

from rich.console import Console

from dst_jax.search import SearchConfig, Trial
from dst_jax.workflows.search_bar import search_bar

CONFIG = SearchConfig(steps=3, candidates=2, pairs=4, epochs=1.0, batch=2)


def trial(step, reward):
    return Trial(step, 0, ((10,) * 5,), None, "none", 0.0, 0.0, reward, 1.0)


def test_the_bar_says_where_it_is_and_what_it_waits_for(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO())
    with search_bar(console, CONFIG, [trial(0, 0.5), trial(0, 0.25)]) as bar:
        now[0] += 61.4
        assert str(bar) == "search: step 2 of 3, 0 steps of training, compiling 61 s"
        bar.advance()
        assert str(bar) == "search: step 2 of 3, 1 steps of training"
        bar.advance()  # the last of these networks
        now[0] += 2.0
        assert str(bar) == "search: step 2 of 3, 2 steps of training, scoring 2 s"
        line = bar.finish_step([trial(1, 0.25), trial(1, 0.75)])
        assert line == "step 2: reward 0.500  best 0.750"
        assert str(bar) == "search: step 3 of 3, 0 steps of training, preparing 0 s"


def test_a_pipe_hears_of_a_long_step_now_and_then():
    console = Console(file=io.StringIO(), width=200)
    with search_bar(console, CONFIG, [], pause_s=0.01):
        time.sleep(0.2)
    lines = console.file.getvalue().splitlines()
    said = [line for line in lines if line.startswith("search: step 1 of 3")]
    assert len(said) > 2
