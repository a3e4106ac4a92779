"""Programs are let go of when they are many, and before they become many."""

import pathlib

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from dst_jax.data.config import DataConfig
from dst_jax.evaluate.protocols import ResetProtocol
from dst_jax.experiment import Experiment
from dst_jax.search import SearchConfig
from dst_jax.track import SiamFCTracking, Tracker
from dst_jax.workflows import (
    held_programs,
    observed_scores,
    resets,
    runner,
    scoring,
    train,
)
from dst_jax.workflows.compilations import counted
from dst_jax.workflows.pace import Pace, conditions
from dst_jax.workflows.train import run_training
from tests.bundles import SPEC, small


@pytest.fixture
def allowed(tmp_path, monkeypatch):
    """Says how many memory maps the system allows."""
    file = tmp_path / "max_map_count"
    monkeypatch.setattr(held_programs, "_LIMIT", file)
    return lambda maps: file.write_text(f"{maps}\n")


@pytest.fixture
def compiled_by():
    """Counts the programs that a call of a function compiles."""
    given = jnp.ones(3)

    def count(function):
        with counted() as found:
            function(given)
        return found.programs

    return count


@pytest.mark.skipif(not held_programs._MAPS.exists(), reason="this system has no /proc")
@pytest.mark.parametrize(
    ("maps", "many"), [(65_530_000, False), (100, True)], ids=["few", "many"]
)
def test_programs_are_compiled_anew_only_after_they_were_many(
    allowed, compiled_by, maps, many
):
    function = jax.jit(lambda x: x * 3.0 + 5.0)
    compiled_by(function)
    allowed(maps)
    assert held_programs.let_go_if_many() is many
    assert compiled_by(function) == many


def test_where_no_limit_is_told_nothing_is_let_go(allowed, compiled_by):
    function = jax.jit(lambda x: x * 7.0 - 5.0)
    compiled_by(function)
    assert not held_programs.let_go_if_many()
    assert compiled_by(function) == 0


TRACKER = Tracker(SPEC, {}, SiamFCTracking())


class Began(Exception):
    """Says that the work for which there is to be room has begun."""


def begins(*args, **kwargs):
    raise Began


def trains(monkeypatch):
    monkeypatch.setattr(train, "read_networks", begins)
    run_training(
        Experiment({}, DataConfig(("got10k:none",))),
        pathlib.Path("run"),
        console=Console(quiet=True),
    )


def follows(monkeypatch):
    monkeypatch.setattr(runner, "_by_program", lambda *_: [[]])
    monkeypatch.setattr(runner, "_follow_group", begins)
    next(runner.follow(TRACKER, [], pace=Pace(conditions(None, small().spec))))


def starts_anew(monkeypatch):
    monkeypatch.setattr(resets, "make_tracker", begins)
    protocol = ResetProtocol("x", "x", (), 1, 2, "pysot")
    pace = Pace(conditions(None, small().spec))
    next(resets.follow_bundle_with_resets(small(), [], protocol, name="", pace=pace))


def observes(monkeypatch):
    monkeypatch.setattr(observed_scores, "make_tracker", begins)
    observed_scores.observe(small(), SiamFCTracking(), [], name="")


def searches_exactly(monkeypatch):
    monkeypatch.setattr(scoring, "make_objective", begins)
    search = SearchConfig(mode="exact")
    exam = scoring.Exam(
        Experiment({}, DataConfig(("got10k:none",)), search=search), SPEC, {}, []
    )
    scoring.make_score(exam)([SPEC])


@pytest.mark.parametrize(
    "work", [trains, follows, starts_anew, observes, searches_exactly]
)
def test_what_is_done_many_times_makes_room_before_it_begins(
    allowed, monkeypatch, work
):
    allowed(1)
    cleared = []
    monkeypatch.setattr(held_programs.jax, "clear_caches", lambda: cleared.append(1))
    with pytest.raises(Began):
        work(monkeypatch)
    assert cleared
