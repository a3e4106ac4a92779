"""The torture finds nothing in the program, and does find what it looks for."""

import argparse
import importlib
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


def options(folder, **given):
    """Arguments of the command line."""
    usual = {"workdir": folder, "kills": None, "seed": 0, "grace": 0.2, "apart": 1e-6}
    return argparse.Namespace(**usual | given)


def run(folder, *words, timeout=900):
    """The script, which forks, in a process of its own."""
    return subprocess.run(
        [sys.executable, SCRIPTS / "torture.py", "--workdir", folder, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def rows_of(done):
    """The rows of the printed table, by command."""
    lines = [x for x in done.stdout.splitlines() if x.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_a_few_kills_of_a_packing_leave_the_same_pack(tmp_path):
    done = run(tmp_path, "--only", "pack-1", "--kills", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    ((kills, resumed, faults, *_),) = [rows_of(done)["pack-1"]]
    assert int(kills) >= 3 and resumed == f"{kills} identical" and faults == "none"
    # All kills are done: nothing is killed again.
    before = (tmp_path / "results.jsonl").read_bytes()
    assert rows_of(run(tmp_path, "--only", "pack-1", "--kills", "3")) == rows_of(done)
    assert (tmp_path / "results.jsonl").read_bytes() == before


@pytest.mark.slow
def test_killed_trainings_go_on_alike_in_one_process_and_in_two(tmp_path):
    names = ("train-1", "train-2", "train-2-then-1", "train-1-then-2")
    done = run(tmp_path, "--only", *names, "--kills", "2", "--grace", "30")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = rows_of(done)
    for name in names:
        kills, resumed, faults, *_ = rows[name]
        how = "within" if "then" in name else "identical"
        assert resumed == f"{kills} {how}" and faults == "none", rows


@pytest.mark.slow
def test_the_goodput_of_a_run_killed_every_60_steps_is_that_by_hand(tmp_path):
    done = run(tmp_path, "--goodput")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "it says: goodput " in done.stdout and "redone steps" in done.stdout
    # Saved at every 25th step: 50, 100, 150 and 200 are gone back to.
    assert "by hand: 240 steps of" in done.stdout
    assert "; 40 steps taken again" in done.stdout


class Process:
    """Stands for a process of `multiprocessing`, without a fork."""

    def __init__(self, words):
        self._run = subprocess.Popen(words)
        self.pid = self._run.pid

    def is_alive(self):
        return self._run.poll() is None

    def join(self, seconds=None):
        try:
            self._run.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    @property
    def exitcode(self):
        return self._run.returncode


@pytest.fixture
def place(load, tmp_path, monkeypatch):
    """A place in which two processes change three files, unless they are killed."""
    kills, inputs = load("attack_kills"), load("attack_inputs")
    code = (
        "import pathlib, sys, time\n"
        "for n in range(3):\n"
        "    time.sleep(0.2)\n"
        "    pathlib.Path(sys.argv[1], f'{n}').touch()\n"
        "time.sleep(0.2)"
    )

    def start(place, processes):
        words = [[sys.executable, "-c", code, str(place.work)]]
        words += [["sleep", "30"]] * (processes - 1)
        began = time.monotonic()
        return [inputs.Child(Process(each), place.log(0), began) for each in words]

    monkeypatch.setattr(kills.Place, "start", start)
    made = kills.Place(None, tmp_path, tmp_path / "work")
    made.work.mkdir()
    return made


def test_a_kill_after_the_second_change_leaves_two_files(load, place):
    kills = load("attack_kills")
    done = kills.kill(place, kills.Moment(2, 0.0, 0))
    assert done.killed and done.stopped == 0
    assert place.names() == ["0", "1"]


def test_a_run_that_ends_before_its_moment_is_not_killed(load, place):
    kills = load("attack_kills")
    assert not kills.kill(place, kills.Moment(0, 20.0, 0)).killed
    assert not kills.kill(place, kills.Moment(9, 0.0, 0)).killed
    assert place.names() == ["0", "1", "2"]


def test_a_process_that_outlives_another_for_too_long_is_killed_too(load, place):
    kills = load("attack_kills")
    done = kills.kill(place, kills.Moment(1, 0.0, 0), processes=2, grace=0.5)
    assert done.killed and done.stopped == 1 and 0.5 <= done.survived < 5.0
    at_once = kills.kill(place, kills.Moment(0, 0.1), processes=2, grace=20.0)
    assert at_once.killed and at_once.stopped == 0 and at_once.survived < 5.0


@pytest.fixture
def torture(load, tmp_path, monkeypatch):
    """A torture whose commands do nothing, and the module."""
    module, kills = load("torture"), load("attack_kills")

    def clean(self, command, processes):
        made = kills.Place(module.TORTURED["pack"], tmp_path, tmp_path / "clean")
        return made, kills.Clean([], [1.0, 1.1], 2.0)

    monkeypatch.setattr(module.Torture, "clean", clean)
    monkeypatch.setattr(
        module, "kill", lambda *a, **o: kills.Kill(killed=True, seconds=1.0)
    )
    monkeypatch.setattr(module, "rerun", lambda *a, **o: ("", ""))
    return module, module.Torture(options(tmp_path))


def test_rows_take_turns_until_all_have_had_their_kills(torture):
    module, made = torture
    rows, order = [module.Row("pack", 2), module.Row("evaluate", 4)], []
    while row := made.next_trial(rows):
        order.append(row.command)
        # Another run of the script goes on with what this one has written.
        made = module.Torture(made._options)
        made.attempt(row)
    kills = {row.command: made.share(row) * row.kills for row in rows}
    assert kills["pack"] >= 2 and kills["evaluate"] >= 4
    assert order[:2] == ["pack", "evaluate"] and len(order) < 7


def test_the_kills_are_60_with_one_process_30_with_two_and_10_with_four(load):
    rows = load("torture").ROWS
    found = {n: sum(r.kills for r in rows if r.processes == n) for n in (1, 2, 4)}
    assert found == {1: 60, 2: 30, 4: 10}
    assert {row.then for row in rows if not row.same} == {1, 2, 4}


@pytest.mark.parametrize(
    ("name", "apart", "outcome"),
    [
        ("pack-1", None, "failed"),
        ("train-2-then-1", {"weights": 2e-6, "losses": 0.0, "norms": 0.0}, "differing"),
        ("train-2-then-1", {"weights": 0.0, "losses": 0.0, "norms": 2e-5}, "differing"),
        ("train-2-then-1", {"weights": 9e-7, "losses": 9e-7, "norms": 9e-6}, ""),
    ],
)
def test_what_differs_is_counted_and_kept(
    torture, tmp_path, monkeypatch, name, apart, outcome
):
    module, made = torture
    if apart is None:
        monkeypatch.setattr(module, "rerun", lambda *a, **o: ("failed", "another"))
    monkeypatch.setattr(module, "distance", lambda place, clean: apart)
    (row,) = [row for row in module.ROWS if row.name == name]
    assert made.attempt(row)["outcome"] == outcome
    assert (tmp_path / f"{name}-faulty-0").is_dir() == bool(outcome)
    monkeypatch.setattr(
        sys,
        "argv",
        ["torture.py", "--workdir", str(tmp_path), "--table", "--only", name],
    )
    assert module.main() == int(bool(outcome))


def trained(folder, *, weight, loss=0.5, norm=0.1):
    """What a training leaves, as far as `distance` looks at it."""
    bundle = folder / "run" / "bundles" / "one"
    bundle.mkdir(parents=True)
    arrays = {"kernel": np.array([4.0, weight], np.float32)}
    safetensors.numpy.save_file(arrays, bundle / "weights.safetensors")
    row = {"step": 1, "loss": loss, "gradient_norm/one": norm, "pairs_per_s": weight}
    (folder / "run" / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    return argparse.Namespace(work=folder)


def test_a_distance_is_relative_to_the_largest_number_of_its_array(load, tmp_path):
    victims = load("torture_victims")
    one = trained(tmp_path / "one", weight=1.0)
    two = trained(tmp_path / "two", weight=1.5, loss=0.4, norm=0.2)
    assert victims.distance(one, one) == {"weights": 0.0, "losses": 0.0, "norms": 0.0}
    assert victims.distance(two, one) == pytest.approx(
        {"weights": 0.5 / 4.0, "losses": 0.2, "norms": 1.0}
    )


def test_trainings_with_other_reports_have_no_distance(load, tmp_path):
    victims = load("torture_victims")
    one, two = (trained(tmp_path / name, weight=1.0) for name in ("one", "two"))
    with (two.work / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "loss": 1.0}\n')
    with pytest.raises(ValueError, match="zip"):
        victims.distance(one, two)


def test_a_folder_tells_in_what_a_training_died(load, tmp_path):
    victims, place = load("torture_victims"), argparse.Namespace(work=tmp_path)
    run = tmp_path / "run"
    assert victims.died_in(place, 0) == "start"
    run.mkdir()
    (run / "config.json").touch()
    assert victims.died_in(place, 0) == "compilation"
    (run / "times.jsonl").write_text("{}\n")
    metrics = run / "metrics.jsonl"
    metrics.write_text('{"step": 2, "loss": 1.0}\n')
    assert victims.died_in(place, 0) == "steps"
    # A start that has taken no step yet.
    assert victims.died_in(place, 1) == "compilation"
    metrics.write_text('{"step": 3, "loss": 1.0}\n')
    assert victims.died_in(place, 0) == "validation"
    metrics.write_text('{"step": 3, "loss": 1.0}\n{"step": 3, "val/one/gt": 1.0}\n')
    assert victims.died_in(place, 0) == "steps"
    (run / "checkpoints" / "4.orbax-checkpoint-tmp-0").mkdir(parents=True)
    assert victims.died_in(place, 0) == "saving"
