"""Rows of the paper's tables: which runs they need, what is kept, what is reported."""

import dataclasses
import json

import pytest
from rich.console import Console

from dst_jax.arch import named
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.distill import Soft
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Score
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.track.config import SiamFCTracking
from dst_jax.train import LoopConfig, OptimConfig
from dst_jax.workflows.ablation import run as ablate
from dst_jax.workflows.ablation.paper import (
    compare_pairs,
    kendall,
    paper_scores,
    statement,
)
from dst_jax.workflows.ablation.plan import (
    Choice,
    Training,
    make_plan,
    missing_runs,
    uniform_students,
)
from dst_jax.workflows.ablation.run import run_ablation
from dst_jax.workflows.publishing import Evaluation
from dst_jax.workflows.train import Trained
from tests import networks, objectives

VIDEOS = SyntheticConfig(videos=6, length=6, height=90, width=120)
# Of the dull student with seed 0; made up, TS is above GT+TS as in the paper.
AUC = {"GT": 0.5, "TS": 0.6, "GT+TS": 0.55, "TS+STR": 0.7, "GT+TS+STR": 0.65}
NOTHING_FINISHED = lambda *key: False  # noqa: E731
QUIET = Console(quiet=True)
METRIC = "success_auc"


def experiment_of(students, source="got10k:nowhere"):
    return Experiment(
        students=students,
        data=DataConfig(sources=(source,), batch=4, validation_share=0.34, threads=0),
        augment=AugmentConfig(),
        **objectives.TINY._asdict(),
        optim=OptimConfig(epochs=1.0, pairs_per_epoch=8, learning_rate=1e-2),
        loop=LoopConfig(log_every=1),
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "videos"
    return f"got10k:{write_synthetic(folder, VIDEOS, seed=0)}"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "large"
    variables = networks.teacher_variables()
    return save_bundle(Bundle(networks.TEACHER, variables, SiamFCTracking(), {}), path)


class Stub:
    """A trainer and an evaluator that only note what they are asked for."""

    def __init__(self, *, kill_at=None, gate=0.0):
        self.trained, self.evaluated = [], []
        self.kill_at, self.gate = kill_at, gate

    def train(self, settings, folder, *, teacher, backbones, verb, console):
        if len(self.trained) == self.kill_at:
            raise KeyboardInterrupt
        row = folder.parent.name
        self.trained.append((settings.seed, row, tuple(settings.students)))
        folder.mkdir(parents=True)
        line = {"step": 1, "steps": 1}
        if "ks" in settings.distill.active:
            line |= {f"gate/{name}": self.gate for name in settings.students}
        (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        bundles = {name: folder / "bundles" / name for name in settings.students}
        return Trained(bundles, folder / "metrics.jsonl", 1.0)

    def evaluate(self, dataset, paths):
        self.evaluated += [(dataset, path.name) for path in paths]
        scores = {path.name: self.score(path) for path in paths}
        return Evaluation(dataset, scores, {path.name: 100.0 for path in paths})

    def score(self, path):
        auc = 0.9
        if path.name != "large":  # rows/seed0/GT/dull+intelligent/bundles/dull
            seed, row = path.parts[-5:-3]
            auc = AUC.get(row, 0.75) + 0.04 * int(seed.removeprefix("seed"))
            auc += 0.1 * (path.name == "intelligent")
        values = {"success_auc": auc, "precision_20": auc - 0.1, "op_50": auc}
        return Score(OTB, values, {}, {})

    def run(
        self, workdir, source, teacher, *, experiment=None, backbones=None, **choice
    ):
        choice = {"datasets": (source,), **choice}
        return run_ablation(
            experiment or experiment_of(networks.STUDENTS, source),
            Choice(**choice),
            workdir,
            teacher=teacher,
            backbones=backbones,
            train=self.train,
            evaluate=self.evaluate,
            console=QUIET,
        )


def test_the_ten_rows_of_siamfc_are_six_trainings():
    plan = make_plan(
        experiment_of(networks.STUDENTS), Choice(), teacher=networks.TEACHER
    )
    runs = missing_runs(plan, NOTHING_FINISHED)
    # GT is NOKD, AH is GT, and the last row of Table 4 is TSKD of Table 5.
    assert [(run.training.row, run.students) for run in runs] == [
        ("GT", ("dull", "intelligent")),
        ("TS", ("dull",)),
        ("GT+TS", ("dull",)),
        ("TS+STR", ("dull",)),
        ("GT+TS+STR", ("dull", "intelligent")),
        ("TSsKD", ("dull", "intelligent")),
    ]
    assert [plan.rows_of(run.training) for run in runs] == [
        ["GT", "NOKD"],
        ["TS"],
        ["GT+TS", "AH+TS"],
        ["TS+STR"],
        ["GT+TS+STR", "AH+TS+STR", "TSKD"],
        ["TSsKD"],
    ]


def test_the_ten_rows_of_siamrpn_are_eight_trainings():
    spec = named("tiny-siamrpn")
    base = experiment_of({"dull": spec, "intelligent": spec})
    plan = make_plan(base, Choice(), teacher=spec)
    rows = [run.training.row for run in missing_runs(plan, NOTHING_FINISHED)]
    assert rows == [
        *("GT", "TS", "GT+TS", "AH+TS", "TS+STR", "GT+TS+STR", "AH+TS+STR", "TSsKD")
    ]


def test_a_run_has_its_row_its_seed_and_its_students():
    base = experiment_of(networks.STUDENTS)
    choice = Choice(rows=("TS",), seeds=(3,))
    plan = make_plan(base, choice, teacher=networks.TEACHER)
    (run,) = missing_runs(plan, NOTHING_FINISHED)
    settings = plan.settings(run)
    assert settings.students == {"dull": networks.STUDENTS["dull"]}
    assert settings.seed == 3
    assert settings.distill.terms == {"ts": Soft(weight=1.0)}
    changed = dataclasses.replace(
        settings, students=base.students, seed=0, distill=base.distill
    )
    assert changed == base


def test_the_dull_student_is_the_smallest_whatever_its_name():
    students = {"a": networks.TEACHER, "b": networks.STUDENTS["dull"]}
    plan = make_plan(experiment_of(students), Choice(rows=("GT", "NOKD")), teacher=None)
    assert [line.students for line in plan.lines] == [("b",), ("b", "a")]


def test_seeds_come_one_after_the_other_and_what_is_finished_is_left_out():
    choice = Choice(rows=("GT", "NOKD", "TSsKD"), seeds=(0, 1))
    plan = make_plan(experiment_of(networks.STUDENTS), choice, teacher=networks.TEACHER)
    shared = Training("TSsKD", ("dull", "intelligent"))
    finished = {
        (Training("GT"), 0, "dull"),
        (Training("GT"), 1, "dull"),
        (Training("GT"), 1, "intelligent"),
        (shared, 0, "dull"),
    }
    runs = missing_runs(plan, lambda *key: key in finished)
    # Without sharing the missing student is trained alone; with it, never.
    assert [(run.seed, run.training.row, run.students) for run in runs] == [
        (0, "GT", ("intelligent",)),
        (0, "TSsKD", ("dull", "intelligent")),
        (1, "TSsKD", ("dull", "intelligent")),
    ]
    assert len({run.folder for run in runs}) == 3


def test_students_of_fig_6_have_uniform_widths_and_one_alone_shares_nothing():
    mini = named("mini")
    widths = uniform_students(mini, 3)
    assert list(widths) == ["w40", "w45", "w50"]
    # 24 48 64 64 48 times .40, .45 and .50, in whole groups of 2.
    assert [spec.backbone.widths for spec in widths.values()] == [
        (8, 18, 24, 24, 18),
        (10, 20, 28, 28, 20),
        (12, 24, 32, 32, 24),
    ]
    base = experiment_of({"dull": named("mini-dull")})
    plan = make_plan(base, Choice(rows=(), counts=(1, 3)), teacher=mini)
    runs = missing_runs(plan, NOTHING_FINISHED)
    assert [(run.training.row, run.students) for run in runs] == [
        ("GT+TS+STR", ("w40",)),
        ("TSsKD", ("w40", "w45", "w50")),
    ]
    assert [line.row for line in plan.lines] == ["1 student", "3 students"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"rows": ("GT", "XY")}, "--rows XY: there is GT, TS, .* TSsKD"),
        ({"rows": ()}, "name --rows or --students"),
        ({"counts": (0,)}, "--students 0: from 1 to 12"),
        ({"seeds": ()}, "--seeds"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(choice, message):
    with pytest.raises(InputError, match=message):
        Choice(**choice)


def test_what_needs_a_teacher_says_so_before_anything_is_made(tmp_path):
    base = experiment_of(networks.STUDENTS)
    for choice, what in ((Choice(), "row TS"), (Choice((), (2,)), "Fig. 6")):
        with pytest.raises(InputError, match=f"{what} needs a teacher; .*--teacher"):
            run_ablation(base, choice, tmp_path / "runs", console=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_that_is_not_there_is_told_with_the_command_that_makes_it(tmp_path):
    base, path = experiment_of(networks.STUDENTS), tmp_path / "teacher"
    with pytest.raises(
        InputError, match=r"no such bundle; dst-jax demo --workdir runs"
    ):
        run_ablation(base, Choice(), tmp_path / "w", teacher=path, console=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_single_images_are_refused_before_anything_is_trained(
    tmp_path, source, teacher
):
    stills = dataclasses.replace(VIDEOS, videos=1, length=1)
    images = f"got10k:{write_synthetic(tmp_path / 'stills', stills, seed=0)}"
    with pytest.raises(InputError, match="holds single images; give video"):
        Stub().run(tmp_path / "runs", source, teacher, datasets=(images,))
    assert not (tmp_path / "runs").exists()


def test_after_a_kill_only_the_rest_is_trained(tmp_path, source, teacher):
    choice = {"rows": ("GT", "TS", "TSKD", "TSsKD"), "seeds": (0, 1)}
    killed = Stub(kill_at=3)
    with pytest.raises(KeyboardInterrupt):
        killed.run(tmp_path, source, teacher, **choice)
    # The tables stand at what there is: no line of the row that was cut off.
    partial = json.loads((tmp_path / "ablation.json").read_text())
    assert [(x["row"], x["student"]) for x in partial["lines"]] == [
        ("GT", "dull"),
        ("TS", "dull"),
        ("TSKD", "dull"),
        ("TSKD", "intelligent"),
    ]
    assert not list(tmp_path.glob("rows/*/TSsKD"))

    rest, whole = Stub(), Stub()
    report = rest.run(tmp_path, source, teacher, **choice)
    expected = whole.run(tmp_path.with_name("whole"), source, teacher, **choice)
    assert report == expected
    assert killed.trained + rest.trained == whole.trained
    assert len(killed.trained) == 3 and len(whole.trained) == 8
    assert (source, "large") not in rest.evaluated  # the teacher's score is kept too
    again = Stub()
    assert again.run(tmp_path, source, teacher, **choice) == report
    assert (again.trained, again.evaluated) == ([], [])


def test_the_time_that_is_left_goes_by_students():
    plan = make_plan(
        experiment_of(networks.STUDENTS), Choice(), teacher=networks.TEACHER
    )
    runs = missing_runs(plan, NOTHING_FINISHED)
    # Two students took 10 minutes; 1 + 1 + 1 + 2 + 2 are left.
    assert (
        ablate._outlook(runs[:1], runs[1:], 600.0) == "5 more runs, about 35 min in all"
    )
    assert (
        ablate._outlook(runs[:5], runs[5:], 7 * 3600.0)
        == "1 more run, about 2.0 h in all"
    )
    assert ablate._outlook(runs[:5], runs[5:], 7.0) == "1 more run, about 1 min in all"


def test_rows_seeds_and_data_sets_can_be_added(tmp_path, source, teacher):
    Stub().run(tmp_path, source, teacher, rows=("GT",))
    more = Stub()
    more.run(tmp_path, source, teacher, rows=("GT", "NOKD"), seeds=(0, 1))
    assert more.trained == [
        (0, "GT", ("intelligent",)),
        (1, "GT", ("dull", "intelligent")),
    ]
    other = f"got10k:{write_synthetic(tmp_path / 'other', VIDEOS, seed=5)}"
    wider = Stub()
    report = wider.run(
        tmp_path, source, teacher, rows=("NOKD",), datasets=(source, other)
    )
    assert wider.trained == []
    assert set(wider.evaluated) == {
        (other, "dull"),
        (other, "intelligent"),
        (other, "large"),
    }
    assert report["datasets"] == [source, other]
    assert set(report["lines"][0]["scores"]) == {source, other}


def test_another_configuration_or_other_video_may_not_use_the_workdir(
    tmp_path, source, teacher
):
    Stub().run(tmp_path / "runs", source, teacher, rows=("GT",))
    base = experiment_of(networks.STUDENTS, source)
    longer = dataclasses.replace(
        base, optim=dataclasses.replace(base.optim, epochs=3.0)
    )
    with pytest.raises(InputError, match=r"another configuration .*optim.epochs: 3\.0"):
        Stub().run(tmp_path / "runs", source, teacher, rows=("GT",), experiment=longer)
    with pytest.raises(InputError, match="teacher: None, was '"):
        Stub().run(tmp_path / "runs", source, None, rows=("GT",))


def test_the_table_holds_means_spreads_sizes_and_the_papers_numbers(
    tmp_path, source, teacher
):
    report = Stub(gate=0.25).run(tmp_path, source, teacher, seeds=(0, 1))
    lines = {(x["table"], x["row"], x["student"]): x for x in report["lines"]}
    assert len(lines) == 7 + 3 * 2
    line = lines["Table 4", "TS", "dull"]
    # .60 and .64: mean .62, sample deviation .04 / sqrt 2.
    auc = line["scores"][source]["success_auc"]
    assert auc["mean"] == pytest.approx(0.62)
    assert auc["sd"] == pytest.approx(0.02828, abs=1e-5)
    assert line["scores"][source]["precision_20"]["mean"] == pytest.approx(0.52)
    # 3 x 3 x 3 x 2 + 2 + 4, then 9 x 4 + 4 + 8 in two groups, then 4 x 4 + 4.
    assert line["parameters"] == 60 + 48 + 20
    assert line["megabytes"] == pytest.approx(4 * 128 / 1e6)
    assert line["paper"] == {"precision_20": 0.711, "success_auc": 0.535}
    assert line["gate_open"] is None and line["gates"] is None
    shared = lines["Table 5", "TSsKD", "intelligent"]
    assert shared["gate_open"]["mean"] == 0.25 and shared["gates"] == "open at times"
    assert shared["paper"] == {"success_auc": 0.579}
    # SiamFC's AH rows are its GT rows, which the paper prints; no row is trained twice.
    assert lines["Table 4", "AH+TS", "dull"]["same_training_as"] == "GT+TS"
    assert lines["Table 5", "NOKD", "dull"]["same_training_as"] == "GT"
    assert lines["Table 5", "NOKD", "intelligent"]["same_training_as"] is None
    page = (tmp_path / "ablation.md").read_text()
    cells = ("TS", "dull", "2", ".620 (.028)", ".520 (.028)", "0.000512", "100", "")
    row = " | ".join((*cells, ".535", ".711"))
    assert f"| {row} |" in page.splitlines()
    assert "NOKD (dull) is the same training as GT." in page
    assert "| teacher |  |  | .900 | .800 |" in page
    assert "| still |" in page and "sample standard deviation" in page


def test_a_row_whose_gates_never_opened_is_called_shut(tmp_path, source, teacher):
    report = Stub(gate=0.0).run(
        tmp_path, source, teacher, rows=("NOKD", "TSKD", "TSsKD")
    )
    shut = [x for x in report["lines"] if x["gates"] == "shut"]
    assert {x["row"] for x in shut} == {"TSsKD"} and len(shut) == 2
    page = (tmp_path / "ablation.md").read_text()
    assert "| TSsKD, shut | dull | 1 | .750 |" in page
    # Of three pairs the one that compares a training with itself is left out.
    (order,) = (
        o for o in report["order"] if (o["student"], o["metric"]) == ("dull", METRIC)
    )
    assert (order["agreeing"], order["pairs"]) == (2, 2)
    assert order["statement"].endswith("its gates never opened.")
    alone = Stub(gate=0.0).run(tmp_path, source, teacher, rows=("NOKD", "TSsKD"))
    assert not any("gates" in found["statement"] for found in alone["order"])


def test_the_order_of_rows_is_compared_pair_by_pair():
    ours = {
        "GT": {0: 0.5, 1: 0.5},
        "TS": {0: 0.625, 1: 0.5},
        "GT+TS": {0: 0.5, 1: 0.75},
        "AH+TS": {0: 0.9},  # none of the paper's for SiamFC
    }
    rows = ("GT", "TS", "GT+TS")
    paper = {row: paper_scores("SiamFC", "Table 4", row)[METRIC] for row in rows}
    assert paper == {"GT": 0.523, "TS": 0.535, "GT+TS": 0.531}
    pairs = compare_pairs(ours, paper)
    assert [(p.better, p.worse, p.ours, p.ahead, p.agrees) for p in pairs] == [
        ("TS", "GT", 0.0625, 1, True),
        ("GT+TS", "GT", 0.125, 1, True),
        ("TS", "GT+TS", -0.0625, 1, False),
    ]
    assert kendall(pairs) == pytest.approx(1 / 3)
    assert statement("Table 4", pairs) == (
        "Table 4: 2 of 3 pairs of rows are in the paper's order (Kendall's tau +.333). "
        "Not so: TS less GT+TS is -.062 (ahead in 1 of 2 seeds; +.004 in the paper)."
    )
    tied = compare_pairs({"GT": {0: 0.5}, "TS": {0: 0.5}}, paper)
    assert not tied[0].agrees and kendall(tied) == 0.0
    assert "TS and GT are equal (+.012 in the paper)" in statement("x", tied)


@pytest.mark.optax
def test_a_tiny_ablation_is_trained_and_evaluated(
    tmp_path, source, teacher, monkeypatch
):
    monkeypatch.setattr(ablate, "TEST_VIDEOS", dataclasses.replace(VIDEOS, videos=2))
    base = experiment_of(networks.STUDENTS, source)
    choice = Choice(rows=("TSsKD",))
    report = run_ablation(base, choice, tmp_path, teacher=teacher, console=QUIET)
    assert report["datasets"] == ["synthetic video"]
    found = [(x["row"], x["student"]) for x in report["lines"]]
    assert found == [("TSsKD", "dull"), ("TSsKD", "intelligent")]
    for line in report["lines"]:
        scores = line["scores"]["synthetic video"]
        assert 0.0 <= scores["success_auc"]["mean"] <= 20 / 21
        assert scores["fps"]["mean"] > 0.0
        assert 0.0 <= line["gate_open"]["mean"] <= 1.0
    (result,) = tmp_path.glob("rows/*/*/*/result.json")
    stamp = result.stat().st_mtime_ns
    again = run_ablation(base, choice, tmp_path, teacher=teacher, console=QUIET)
    assert again == report and result.stat().st_mtime_ns == stamp
