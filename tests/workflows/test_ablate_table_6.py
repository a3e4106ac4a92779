"""Table 6: students of SiamRPN++ without and with the others, and the teacher."""

import dataclasses
import json

import jax
import pytest

from dst_jax.arch import named, tracker_cost
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.settings import load_experiment
from dst_jax.data.synthetic.dataset import write_synthetic
from dst_jax.distill import Response
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Score
from dst_jax.models import init_variables
from dst_jax.track import default_tracking
from dst_jax.workflows.ablation.paper import paper_scores
from dst_jax.workflows.ablation.plan import (
    Choice,
    Training,
    by_size,
    make_plan,
    missing_runs,
)
from tests.workflows import test_ablate

SPEC = named("tiny-siamrpnpp")
SMALL = dataclasses.replace(SPEC, head=SPEC.head.with_features(4))
STUDENTS = {"r50": SPEC, "r18": SMALL}
ROWS = ("r50 w/o", "r18 w/o", "r50 with", "r18 with")
# In the paper's order but for the last two.
AUC = {"large": 0.9, "r50 with": 0.7, "r50 w/o": 0.6, "r18 w/o": 0.5, "r18 with": 0.4}


def experiment_of(source="got10k:nowhere"):
    base = test_ablate.experiment_of(STUDENTS, source)
    terms = base.distill.with_terms(str=Response(layers=("layer2", "layer3")))
    return dataclasses.replace(base, distill=terms, tracking=default_tracking(SPEC))


def planned(**choice):
    return make_plan(experiment_of(), Choice(**choice), teacher=SPEC)


def runs_of(plan):
    runs = missing_runs(plan, lambda *key: False)
    return [(run.training.row, run.students) for run in runs]


class Stub(test_ablate.Stub):
    """A trainer and an evaluator that note what they are asked for; AUC as above."""

    def score(self, path):
        how = "" if path.name == "large" else " with"
        if "GT" in path.parts:
            how = " w/o"
        auc = AUC[path.name + how]
        values = {"success_auc": auc, "precision_20": auc, "op_50": auc}
        return Score(OTB, values, {}, {})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "videos"
    return f"got10k:{write_synthetic(folder, test_ablate.VIDEOS, seed=0)}"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    variables = init_variables(jax.random.key(0), SPEC)
    bundle = Bundle(SPEC, variables, default_tracking(SPEC), {})
    return save_bundle(bundle, tmp_path_factory.mktemp("bundle") / "large")


def test_table_6_is_two_trainings_of_both_students():
    plan = planned(rows=(), tables=(6,))
    assert tuple(line.row for line in plan.lines) == ROWS
    assert runs_of(plan) == [("GT", ("r50", "r18")), ("TSsKD", ("r18", "r50"))]
    assert plan.shows_teacher


def test_a_row_with_the_others_trains_all_students_and_one_without_its_own():
    assert runs_of(planned(rows=("r18 with",))) == [("TSsKD", ("r18", "r50"))]
    assert runs_of(planned(rows=("r50 w/o",))) == [("GT", ("r50",))]
    plan = planned(rows=("teacher",))
    assert runs_of(plan) == [] and plan.shows_teacher and not plan.lines


def test_rows_of_table_4_are_those_of_the_smaller_student_and_share_its_trainings():
    assert tracker_cost(SMALL).parameters < tracker_cost(SPEC).parameters
    plan = planned(rows=("GT", "TS", "r18 w/o", "r50 with"))
    assert [(line.table, line.students) for line in plan.lines] == [
        ("Table 4", ("r18",)),
        ("Table 4", ("r18",)),
        ("Table 6", ("r18",)),
        ("Table 6", ("r50",)),
    ]
    assert [line.training for line in plan.lines] == [
        Training("GT"),
        Training("TS"),
        Training("GT"),
        Training("TSsKD", ("r18", "r50")),
    ]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"tables": (6, 7)}, r"--tables 7: there are 4, 5, 6, dlf and loretrack\."),
        ({"rows": ("GT",), "tables": (6,)}, "GT: is a row of Table 4; give --tables 4"),
        ({"rows": ("r50",)}, '--rows r50: there is GT, .* teacher, "STUDENT w/o", "ST'),
    ],
)
def test_a_choice_of_no_table_or_row_is_one_line(choice, message):
    with pytest.raises(InputError, match=message):
        Choice(**choice)


def test_a_row_of_no_student_is_told_with_those_that_there_are():
    with pytest.raises(InputError, match=r"'x w/o': .* Table 6 is teacher, 'r50 w/o'"):
        planned(rows=("x w/o",))
    with pytest.raises(InputError, match="row teacher needs a teacher"):
        make_plan(experiment_of(), Choice(rows=("teacher",)), teacher=None)


def test_the_paper_has_nine_figures_of_each_row():
    found = {
        row: list(paper_scores("SiamRPN++", "Table 6", row, student=place).values())
        for row, place in (("teacher", 0), *((row, row[:3] == "r50") for row in ROWS))
    }
    # Read off the paper's page, BIG first.
    assert found == {
        "teacher": [0.302, 0.609, 0.477, 0.509, 0.594, 0.715, 0.669, 26],
        "r50 w/o": [0.285, 0.599, 0.482, 0.475, 0.572, 0.692, 0.654, 35],
        "r18 w/o": [0.255, 0.586, 0.552, 0.443, 0.520, 0.672, 0.617, 75],
        "r50 with": [0.288, 0.603, 0.487, 0.481, 0.579, 0.699, 0.657, 35],
        "r18 with": [0.271, 0.588, 0.517, 0.465, 0.544, 0.676, 0.623, 75],
    }
    assert paper_scores("SiamRPN++", "Table 4", "GT") == {}
    assert paper_scores("SiamRPN", "Table 6", "teacher") == {}


def test_the_papers_figures_stand_in_a_table_of_their_own(tmp_path, source, teacher):
    report = Stub(gate=0.25).run(
        tmp_path / "runs",
        source,
        teacher,
        experiment=experiment_of(source),
        rows=(),
        tables=(6,),
        seeds=(0, 1),
    )
    page = (tmp_path / "runs" / "ablation.md").read_text()
    _, ours, paper, order = page.split("\n## ")
    assert page.startswith("# Ablation of SiamRPN++")
    assert "| r18 with | r18 | 2 | .400 (.000) | .400 (.000) |" in ours
    assert "| teacher |  |  | .900 | .900 |" in ours
    assert ".302" not in ours and ".509" not in ours
    assert "| teacher | .302 | .609 | .477 | .509 | .594 | .715 | .669 | 26 |" in paper
    assert "| r18 with | .271 | .588 | .517 | .465 | .544 | .676 | .623 | 75 |" in paper
    assert ".400" not in paper
    # Five rows are ten pairs, of which one is the other way round.
    (found,) = report["order"]
    assert (found["agreeing"], found["pairs"], found["metric"]) == (
        9,
        10,
        "success_auc",
    )
    assert "9 of 10 pairs of rows are in the paper's order" in order
    assert "Not so: r18 with less r18 w/o is -.100 (ahead in 0 of 2 seeds; +" in order
    assert "AUC on LaSOT" in order


def test_after_a_kill_only_the_rest_of_table_6_is_trained(tmp_path, source, teacher):
    how = {"experiment": experiment_of(source), "rows": (), "tables": (6,)}
    killed = Stub(kill_at=1)
    with pytest.raises(KeyboardInterrupt):
        killed.run(tmp_path, source, teacher, **how)
    partial = json.loads((tmp_path / "ablation.json").read_text())
    assert [line["row"] for line in partial["lines"]] == ["r50 w/o", "r18 w/o"]
    rest = Stub()
    report = rest.run(tmp_path, source, teacher, **how)
    assert [line["row"] for line in report["lines"]] == list(ROWS)
    assert killed.trained + rest.trained == [
        (0, "GT", ("r50", "r18")),
        (0, "TSsKD", ("r18", "r50")),
    ]
    less = Stub()
    report = less.run(tmp_path, source, teacher, **{**how, "rows": ("r18 with",)})
    assert [line["row"] for line in report["lines"]] == ["r18 with"]
    assert not less.trained and not less.evaluated


def test_a_student_begins_with_its_backbone_in_every_row(tmp_path, source, teacher):
    seen = []

    class Noting(Stub):
        def train(self, settings, folder, *, backbones, **how):
            seen.append(backbones)
            return super().train(settings, folder, backbones=backbones, **how)

    how = {"experiment": experiment_of(source), "rows": ("GT", "r50 with")}
    Noting().run(tmp_path / "w", source, teacher, backbones={"r50": teacher}, **how)
    assert seen == [{}, {"r50": teacher}]
    with pytest.raises(InputError, match=r"another configuration .*backbone"):
        Noting().run(tmp_path / "w", source, teacher, **how)
    with pytest.raises(InputError, match=r"r34=\.\.\.: there is no such student"):
        Noting().run(tmp_path / "x", source, teacher, backbones={"r34": teacher}, **how)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["ablation_mini_siamrpnpp", "siamrpnpp_dst"])
def test_the_packaged_students_are_those_of_table_6(name):
    base = load_experiment(name)
    assert by_size(base.students) == ("r18", "r50")
    prefix = "mini-siamrpnpp" if "mini" in name else "siamrpnpp"
    big = named(f"{prefix}-big")
    plan = make_plan(base, Choice((), tables=(4, 6)), teacher=big)
    assert [line.row for line in plan.lines if line.table == "Table 6"] == list(ROWS)
    # GT and TSKD of Table 4 are trainings of Table 6 or of r18 alone.
    assert len(runs_of(plan)) == 8
