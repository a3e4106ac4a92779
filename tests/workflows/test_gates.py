"""What a run says of gates that stayed shut, and a report of gaps and rates."""

import io
import json

from rich.console import Console

from dst_jax.workflows.demo_report import rates_apart, training_curves
from dst_jax.workflows.gates import gate_share, gates_line
from dst_jax.workflows.train import Trained, print_trained


def written(folder, *rows):
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_gates_that_stayed_shut_are_told_with_the_lowest_gaps(tmp_path):
    path = written(
        tmp_path,
        {"step": 10, "sigma/dull": 0.0, "gap/dull": 0.25, "sigma/b": 0.0, "gap/b": 0.5},
        {"step": 10, "val/dull/gt": 0.5},
        {"step": 20, "gate/b": 0.0, "sigma/b": 0.0, "gap/b": 0.0625, "sigma/dull": 0.0},
    )
    line = gates_line(path)
    assert line.startswith("nothing was shared: no gate was open")
    assert line.endswith("lowest gap reported: 0.25 (dull), 0.0625 (b)")
    assert "\n" not in line


def test_a_training_ends_with_the_line_of_gates_that_stayed_shut(tmp_path):
    path = written(
        tmp_path,
        {"step": 10, "steps": 10, "gate/dull": 0.0, "sigma/dull": 0.0, "gap/dull": 0.5},
    )
    trained = Trained({"dull": tmp_path / "dull"}, path, seconds=3.0)
    printed = io.StringIO()
    print_trained(trained, Console(file=printed, width=200))
    first, *_, last = printed.getvalue().splitlines()
    assert first.endswith("dull (sharing gate open 0%)")
    assert last == gates_line(path) and "nothing was shared" in last


def test_gates_that_opened_within_the_warm_up_alone_shared_nothing(tmp_path):
    within = {"step": 10, "steps": 10, "gate/b": 0.5, "sigma/b": 0.0, "gap/b": -0.1}
    after = {"step": 20, "steps": 30, "gate/b": 0.0, "sigma/b": 0.0, "gap/b": 0.25}
    path = written(tmp_path, within, after)
    assert gate_share(path, "b") == 0.0
    assert gates_line(path) == (
        "nothing was shared: gates were open within the warm-up alone"
    )
    path = written(tmp_path, within, {**after, "gate/b": 1.0, "sigma/b": 0.9})
    assert gate_share(path, "b") == 0.75
    assert gates_line(path) is None


def test_nothing_is_told_where_one_gate_opened_once(tmp_path):
    path = written(
        tmp_path,
        {"step": 10, "sigma/dull": 0.0, "gap/dull": 0.25},
        {"step": 20, "sigma/dull": 0.01, "gap/dull": 0.2},
    )
    assert gates_line(path) is None


def test_nothing_is_told_of_a_run_without_sharing(tmp_path):
    assert gates_line(written(tmp_path, {"step": 10, "loss": 1.0})) is None


def test_the_gap_is_drawn_beside_the_terms():
    found = training_curves(
        [
            {"step": 10, "loss": 3.0, "loss/a/ts": 2.0, "gap/a": -0.5, "sigma/a": 1.0},
            {"step": 10, "val/a/gt": 9.0},
            {"step": 20, "loss": 2.0, "loss/a/ts": 1.0, "gap/a": 0.25, "gap/b": 0.5},
        ]
    )
    assert found == {
        "TS (soft), eq. 9": {"a": ([10, 20], [2.0, 1.0])},
        "gap to the teacher, eq. 22": {
            "a": ([10, 20], [-0.5, 0.25]),
            "b": ([20], [0.5]),
        },
    }


def test_rows_of_different_rates_are_told_and_of_equal_ones_not():
    told = rates_apart({"NOKD": 0.3, "TSKD": 0.1, "TSsKD": 0.1})
    assert told == ", at learning rates of their own (NOKD 0.3, TSKD 0.1, TSsKD 0.1)"
    assert rates_apart({"NOKD": 1e-3, "DLF": 1e-3}) == ""
