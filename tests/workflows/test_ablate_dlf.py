"""DLF's table: point and pair alone, together, and beside TSsKD."""

import json

import pytest

from dst_jax.arch import tracker_cost
from dst_jax.data.synthetic.dataset import write_synthetic
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Score
from dst_jax.workflows.ablation import speeds
from dst_jax.workflows.ablation.dlf import last_terms
from dst_jax.workflows.ablation.plan import Choice, make_plan, missing_runs
from dst_jax.workflows.ablation.record import read_run
from tests import networks
from tests.workflows import test_ablate

ROWS = ("tracking only", "+ point", "+ pair", "DLF", "TSsKD", "DLF + TSsKD")
BOTH = ("dull", "intelligent")


class Stub(test_ablate.Stub):
    """A trainer and an evaluator that note what they are asked for, with losses."""

    def train(self, settings, folder, **kinds):
        trained = super().train(settings, folder, **kinds)
        with trained.metrics.open("a") as file:
            for step, value in ((2, 8.0), (3, 0.25)):
                losses = {
                    f"loss/{name}/{term}": value
                    for name in settings.students
                    for term in settings.distill.active
                }
                file.write(json.dumps({"step": step, "steps": 1, **losses}) + "\n")
        return trained

    def score(self, path):
        values = {"success_auc": 0.5, "precision_20": 0.75, "op_50": 0.5}
        return Score(OTB, values, {}, {})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "videos"
    return f"got10k:{write_synthetic(folder, test_ablate.VIDEOS, seed=0)}"


teacher = test_ablate.teacher

STAGES = {"network": 400.0, "crops": 80.0, "decoding": 40.0}


@pytest.fixture(autouse=True)
def timed(monkeypatch):
    """What was timed; the first network is the slowest, the next twice as fast."""
    calls = []

    def measure(bundles, sequence):
        calls.append((tuple(bundles), sequence.name))
        return {
            name: {stage: speed * place for stage, speed in STAGES.items()}
            for place, name in enumerate(bundles, start=1)
        }

    monkeypatch.setattr(speeds, "measure_speeds", measure)
    return calls


def planned(teacher=networks.TEACHER, **choice):
    experiment = test_ablate.experiment_of(networks.STUDENTS)
    return make_plan(experiment, Choice(rows=(), **choice), teacher=teacher)


def test_each_student_has_six_rows_and_those_with_tsskd_are_trained_together():
    plan = planned(tables=("dlf",))
    assert [(line.row, line.students) for line in plan.lines] == [
        (row, (name,)) for name in reversed(BOTH) for row in ROWS
    ]
    runs = missing_runs(plan, lambda *key: False)
    found = {run.training.row: (set(run.students), run.training.group) for run in runs}
    both = set(BOTH)
    assert found == {
        "GT": (both, ()),
        "gt+point": (both, ()),
        "gt+pair": (both, ()),
        "gt+point+pair": (both, ()),
        "TSsKD": (both, BOTH),
        "ah+ts+str+ks+point+pair": (both, BOTH),
    }
    terms = {run.training.row: set(plan.settings(run).distill.active) for run in runs}
    assert terms["gt+point+pair"] == {"gt", "point", "pair"}
    assert terms["ah+ts+str+ks+point+pair"] == {
        *("ah", "ts", "str", "ks", "point", "pair")
    }


def test_other_tables_share_trainings_with_dlfs():
    plan = planned(tables=(5, "dlf"))
    assert {line.table for line in plan.lines} == {"Table 5", "DLF"}
    shared = [line.training for line in plan.lines if line.row == "TSsKD"]
    assert len(shared) == 3 and len(set(shared)) == 1


def test_dlf_needs_a_teacher_and_is_spelt_so():
    with pytest.raises(InputError, match=r"row \+ point needs a teacher; give its bun"):
        planned(teacher=None, tables=("dlf",))
    with pytest.raises(InputError, match=r"--tables DLF: there are 4, 5, 6, dlf and l"):
        Choice(rows=(), tables=("DLF",))


def test_the_last_report_of_a_student_gives_its_terms(tmp_path):
    file = tmp_path / "metrics.jsonl"
    rows = [
        {"step": 1, "steps": 1, "loss/a/gt": 3.0, "loss/a/point": 4.0},
        {"step": 2, "steps": 1, "loss/a/gt": 1.0, "loss/a/point": 2.0, "loss/ab/gt": 9},
        {"step": 2, "valid/a": 5.0},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert last_terms(file, "a") == {"gt": 1.0, "point": 2.0}


def test_the_report_has_sizes_scores_terms_and_the_posters_figures(
    tmp_path, source, teacher
):
    found = Stub().run(tmp_path, source, teacher, rows=(), tables=("dlf",))
    assert [line["row"] for line in found["lines"]] == [*ROWS, *ROWS]
    page = (tmp_path / "ablation.md").read_text()
    large, small = (
        tracker_cost(spec).parameters
        for spec in (networks.TEACHER, networks.STUDENTS["dull"])
    )
    sizes = f"{small:,} | {large / small:.2f}"
    assert f"| + point | dull | 1 | {sizes} | .500 | .750 | 100 |" in page
    assert f"| teacher |  |  | {large:,} |  | .500 | .750 | 100 |" in page
    # Of tracking only, point is no term; a row has a column for every term.
    assert "| row | student | gt | point | pair | ah | ts | str | ks |" in page
    assert "| DLF | dull | 0.25 | 0.25 | 0.25 |  |  |  |  |" in page
    assert "| SiamDW | 1.445 |  | 53 | OTB figures not published |" in page
    assert "| SiamDW, student L | .354 | 4.08 | 73 | OTB figures not" in page
    assert "| SiamDW, student S | .136 | 10.62 | 80 | OTB figures not" in page


def test_four_speeds_stand_beside_the_posters(tmp_path, source, teacher, timed):
    stub = Stub()
    stub.run(tmp_path, source, teacher, rows=(), tables=("dlf",))
    page = (tmp_path / "ablation.md").read_text()
    # In the order of size; the evaluator states 100 frames/s for all of them.
    assert "| teacher | 400 | 80.0 | 40.0 | 100 | 1.00 | 53 | 1.00 |" in page
    assert "| intelligent | 1200 | 240 | 120 | 100 | 3.00 | 73 | 1.38 |" in page
    assert "| dull | 800 | 160 | 80.0 | 100 | 2.00 | 80 | 1.51 |" in page
    assert [names for names, _ in timed] == [("teacher", "dull", "intelligent")]
    # What was timed is kept.
    Stub().run(tmp_path, source, teacher, rows=(), tables=("dlf",))
    assert len(timed) == 1
    (tmp_path / "speeds.json").write_text("{}")
    with pytest.raises(InputError, match="remove it to have the networks timed again"):
        Stub().run(tmp_path, source, teacher, rows=(), tables=("dlf",))


def test_networks_of_other_tables_are_not_timed(tmp_path, source, teacher, timed):
    Stub().run(tmp_path, source, teacher, rows=("GT",), tables=(4,))
    assert not timed


def test_a_second_call_trains_nothing_and_reads_records_without_terms(
    tmp_path, source, teacher
):
    first = Stub()
    first.run(tmp_path, source, teacher, rows=(), tables=("dlf",))
    assert len(first.trained) == 6
    records = sorted(tmp_path.glob("rows/*/*/*/result.json"))
    for path in records:
        record = read_run(path)
        for outcome in record["students"].values():
            assert outcome.pop("terms")
        path.write_text(json.dumps(record))
    again = Stub()
    found = again.run(tmp_path, source, teacher, rows=(), tables=("dlf",))
    assert not again.trained
    assert all(line["terms"] == {} for line in found["lines"])


def test_a_record_whose_terms_are_no_numbers_is_damaged(tmp_path, source, teacher):
    Stub().run(tmp_path, source, teacher, rows=(), tables=("dlf",))
    path = min(tmp_path.glob("rows/*/*/*/result.json"))
    record = read_run(path)
    record["students"]["dull"]["terms"] = {"gt": "much"}
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="dull: last value of gt"):
        read_run(path)
