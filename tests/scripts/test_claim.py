"""The paper's claim in miniature: rows that differ in terms, intervals, resumption."""

import dataclasses
import json
import sys
import types

import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax import arch
from dst_jax.errors import InputError
from dst_jax.experiment import experiment_to_json
from dst_jax.train import Interrupted
from dst_jax.workflows.train import Trained


@pytest.fixture(scope="module")
def scripts(script):
    names = ("claim", "claim_table")
    return types.SimpleNamespace(**{n: script(n) for n in names})


@pytest.mark.parametrize(
    ("family", "rates", "margin"),
    [("siamfc", (0.3, 0.1), 0.1), ("siamrpn", (1e-3, 1e-3), 0.2)],
)
def test_rows_differ_in_terms_and_rate_alone(scripts, family, rates, margin):
    made = [
        scripts.claim.experiment_of(family, row, 7, "got10k:x")
        for row in ("NOKD", "TSKD", "TSsKD literal gates", "TSsKD working gates")
    ]
    assert tuple(e.optim.learning_rate for e in made[:2]) == rates
    optim = dataclasses.replace(
        made[0].optim, learning_rate=made[1].optim.learning_rate
    )
    made[0] = dataclasses.replace(made[0], optim=optim)
    rest = {(e.data, e.optim, e.loop, e.labels, e.augment, e.seed) for e in made}
    assert len(rest) == 1 and made[0].seed == 7
    assert made[0].optim.epochs * made[0].optim.pairs_per_epoch == 6_400
    assert all(list(e.students) == ["dull", "intelligent"] for e in made)
    plain, taught, literal, working = (e.distill for e in made)
    assert list(plain.terms) == ["gt"] and plain.terms["gt"].weight == 1.0
    assert list(taught.terms) == ["ah", "ts", "str"]
    for sharing in (literal, working):
        assert list(sharing.terms) == ["ah", "ts", "str", "ks"]
        assert taught.terms.items() <= sharing.terms.items()
        assert sharing.warmup_epochs == taught.warmup_epochs
    gate = literal.terms["ks"]
    assert (gate.margin, gate.gate, gate.gate_over) == (0.005, "learner", "batch")
    gate = working.terms["ks"]
    assert (gate.margin, gate.gate, gate.gate_over) == (margin, "learner", "example")


@pytest.mark.parametrize(
    ("family", "rates"),
    [("siamfc", "0.03 0.1 0.3"), ("siamrpn", "0.00033 0.001 0.0033")],
)
def test_rows_at_a_rate_differ_in_the_rate_alone(scripts, family, rates):
    for row in ("NOKD", "TSKD"):
        usual = scripts.claim.experiment_of(family, row, 7, "got10k:x")
        same = []
        for rate in rates.split():
            name = f"{row} at {rate}"
            other = scripts.claim.experiment_of(family, name, 7, "got10k:x")
            found = other.optim.learning_rate
            assert found == pytest.approx(float(rate), rel=0.02)
            optim = dataclasses.replace(usual.optim, learning_rate=found)
            assert dataclasses.replace(usual, optim=optim) == other
            same.append(other == usual)
        assert sum(same) == 1


def test_rows_without_bias_differ_in_the_students_bias_alone(scripts):
    usual, without = (
        scripts.claim.experiment_of("siamfc", name, 3, "got10k:x")
        for name in ("TSKD", "TSKD without bias")
    )
    assert [spec.head.bias for spec in without.students.values()] == [False, False]
    assert [spec.head.bias for spec in usual.students.values()] == [True, True]
    same = {n: arch.with_bias(spec) for n, spec in without.students.items()}
    assert dataclasses.replace(without, students=same) == usual
    found = {"NOKD without bias", "TSKD without bias"}
    assert not found & set(scripts.claim.rows_of("siamrpn"))


@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_rows_of_options_differ_from_tskd_in_one_field_each(scripts, family):
    def flat(row):
        made = experiment_to_json(scripts.claim.experiment_of(family, row, 7, "x:y"))
        leaves = jax.tree_util.tree_leaves_with_path(made)
        return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}

    usual, changed = flat("TSKD"), {}
    for row in scripts.claim.OPTIONS:
        other = flat(row)
        changed[row] = {k: other[k] for k in usual if other[k] != usual[k]}
    assert {k: tuple(v.values()) for k, v in changed.items()} == {
        "TSKD with AH .1": (0.1,),
        "TSKD with STR mean": ("mean",),
        "TSKD with TS mean": ("mean",),
        "TSKD with TS balanced": ("balanced",),
        "TSKD with TS sum": ("sum",),
        "TSKD with KL teacher first": ("teacher_first",),
        "TSKD with warm-up": (1.0,),
    }


def test_the_teacher_is_wider_than_both_students_and_has_16000_pairs(scripts):
    teacher, plain = (
        scripts.claim.experiment_of("siamfc", name, 0, "got10k:x")
        for name in ("teacher", "NOKD")
    )
    assert teacher.optim.epochs * teacher.optim.pairs_per_epoch == 16_000
    widths = [layer.features for layer in teacher.students["teacher"].backbone.layers]
    assert widths == [36, 72, 96, 96, 72]
    halves = plain.students["intelligent"].backbone.layers
    assert [layer.features for layer in halves] == [12, 24, 32, 32, 24]


def test_equal_differences_have_no_interval(scripts):
    values = [np.full(3, 0.25), np.full(5, 0.25)]
    assert scripts.claim_table.interval(values, draws=50) == (0.25, 0.25)


def test_the_interval_draws_videos(scripts):
    # The mean of 400 draws of -1 and 1 has a deviation of 1 / 20.
    low, high = scripts.claim_table.interval([np.tile([-1.0, 1.0], 200)], draws=4_000)
    assert (low, high) == pytest.approx((-0.098, 0.098), abs=0.008)


def test_the_interval_draws_seeds(scripts):
    values = [np.full(4, float(sign)) for sign in (-1, 1) * 50]
    # The mean of 100 draws of -1 and 1 has a deviation of 1 / 10.
    low, high = scripts.claim_table.interval(values, draws=4_000)
    assert (low, high) == pytest.approx((-0.196, 0.196), abs=0.015)


def test_seeds_count_alike_whatever_their_number_of_videos(scripts):
    values = [np.zeros(1), np.ones(99)]
    # Both draws fall on one seed with a chance of a quarter each way.
    assert scripts.claim_table.interval(values, draws=1_000) == (0.0, 1.0)


def test_students_t_over_seeds_is_the_textbooks(scripts):
    # Mean 2, standard error 1 / sqrt(3), t of 2 degrees of freedom 4.3027.
    found = scripts.claim_table.t_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert scripts.claim_table.t_interval([1.0]) is None


def test_differences_pair_videos_by_name_over_seeds_that_both_have(scripts):
    found = scripts.claim_table.differences(
        {0: {"b": 0.5, "a": 1.0}, 1: {"a": 1.0}}, {0: {"a": 0.25, "b": 0.5}, 2: {}}
    )
    assert list(found) == [0] and found[0].tolist() == [0.75, 0.0]


def test_scores_of_different_videos_are_not_compared(scripts):
    with pytest.raises(ValueError, match="seed 3: scores are of different videos"):
        scripts.claim_table.differences({3: {"a": 1.0}}, {3: {"b": 1.0}})


def stage(*, gate=None, seconds=30.0, **auc):
    auc = {name: dict(zip("ab", values, strict=True)) for name, values in auc.items()}
    trackers = {
        name: {"auc": values, "parameters": 1_500, "gate_open": gate}
        for name, values in auc.items()
    }
    return {"seconds": {"training": seconds}, "trackers": trackers}


def results():
    """Two seeds; the second lacks the rows after NOKD."""
    first = {
        "teacher": stage(teacher=(0.6, 0.6), still=(0.1, 0.1)),
        "NOKD": stage(dull=(0.3, 0.5), intelligent=(0.5, 0.5)),
        "TSKD": stage(dull=(0.4, 0.6), intelligent=(0.25, 0.25), seconds=40.0),
        "TSsKD working gates": stage(dull=(0.4, 0.6), intelligent=(0.4, 0.4), gate=0.3),
    }
    second = {
        "teacher": stage(teacher=(0.8, 0.8), still=(0.1, 0.1)),
        "NOKD": stage(dull=(0.7, 0.7), intelligent=(0.5, 0.5)),
    }
    return {0: first, 1: second}


def test_the_better_plain_student_is_chosen_seed_by_seed(scripts):
    assert scripts.claim_table.best_plain(results()) == {
        0: {"a": 0.5, "b": 0.5},
        1: {"a": 0.7, "b": 0.7},
    }


def test_the_report_has_a_line_for_each_tracker_and_difference(scripts):
    rows = ["NOKD", "TSKD", "TSsKD literal gates", "TSsKD working gates"]
    lines = scripts.claim_table.report(results(), rows).splitlines()
    assert "| teacher | 1,500 | .700 | .141 | 2 |  | 30 |" in lines
    assert "| dull, NOKD | 1,500 | .550 | .212 | 2 |  | 30 |" in lines
    assert "| intelligent, TSKD | 1,500 | .250 |  | 1 |  | 40 |" in lines
    assert "| still |  | .100 | .000 | 2 |  |  |" in lines
    working = "| dull, TSsKD working gates | 1,500 | .500 |  | 1 | 30% (30% to 30%) |"
    assert any(line.startswith(working) for line in lines)
    assert not any("literal" in line for line in lines)
    taught = (
        "| TSKD - NOKD | intelligent | -.250 | -.250 to -.250 |  | 0 of 1 | -.250 |"
    )
    assert taught in lines
    teacher = "| teacher - the better NOKD student |  | +.100 | +.100 to +.100 |"
    assert any(line.startswith(teacher) for line in lines)


def test_precision_has_columns_and_a_table_of_its_own_where_it_was_measured(scripts):
    found = results()
    for stages in found.values():
        for name, one in stages.items():
            for tracker in one["trackers"].values():
                value = 0.75 if name == "TSKD" else 0.25
                tracker["p20"] = dict.fromkeys("ab", value)
    lines = scripts.claim_table.report(found, ["NOKD", "TSKD"]).splitlines()
    assert "| dull, NOKD | 1,500 | .550 | .212 | .250 | .000 | 2 |  | 30 |" in lines
    head = lines.index(next(line for line in lines if line.startswith("| P@20 less")))
    taught = "| TSKD - NOKD | dull | +.500 | +.500 to +.500 |  | 1 of 1 | +.500 |"
    assert taught in lines[head:] and taught not in lines[:head]


def test_a_given_teacher_alone_has_no_seconds_and_no_table_of_differences(scripts):
    given = stage(teacher=(0.6, 0.6), still=(0.1, 0.1), seconds=0.0)
    lines = scripts.claim_table.report({0: {"teacher": given}}, ["NOKD"]).splitlines()
    assert lines[2:] == [
        "| teacher | 1,500 | .600 |  | 1 |  |  |",
        "| still |  | .100 |  | 1 |  |  |",
    ]


@pytest.fixture
def seed(scripts, monkeypatch, tmp_path):
    """A seed whose trainings only write their names down, in `trained`."""
    claim, trained = scripts.claim, []

    def train(experiment, workdir, *, teacher, **_):
        trained.append((workdir.name, teacher is not None))
        return Trained({name: workdir for name in experiment.students}, workdir, 2.0)

    def score(bundles, metrics, test):
        return {name: {"auc": {"a": 0.5}, "gate_open": None} for name in bundles}

    monkeypatch.setattr(claim, "run_training", train)
    monkeypatch.setattr(claim, "_make_videos", lambda *_: ())
    monkeypatch.setattr(claim, "score_run", score)
    still = types.SimpleNamespace(
        sequences={
            "a": types.SimpleNamespace(values={"success_auc": 0.1, "precision_20": 0.2})
        }
    )
    monkeypatch.setattr(claim, "score_still", lambda _: still)
    return types.SimpleNamespace(
        one=claim.Seed("siamfc", 5, tmp_path), trained=trained, console=Console()
    )


def test_a_rerun_makes_only_what_is_missing(scripts, seed, capsys):
    claim = scripts.claim
    claim.run_seed(seed.one, ["NOKD"], seed.console)
    assert seed.trained == [("teacher", False), ("nokd", True)]
    claim.run_seed(seed.one, [*claim.ROWS], seed.console)
    later = [name for name, _ in seed.trained[2:]]
    assert later == [
        *("tskd", "tsskd-literal-gates", "tsskd-working-gates"),
        *("nokd-without-bias", "tskd-without-bias"),
    ]
    claim.run_seed(seed.one, [*claim.ROWS], seed.console)
    assert len(seed.trained) == 7
    assert (
        "siamfc seed 5 NOKD: dull 0.500, intelligent 0.500" in capsys.readouterr().out
    )
    assert set(claim.finished([seed.one])[5]) == {"teacher", *claim.ROWS}


def test_a_result_of_another_setting_is_refused(scripts, seed, monkeypatch):
    claim = scripts.claim
    claim.run_seed(seed.one, ["NOKD"], seed.console)
    path = seed.one.folder / "nokd.json"
    assert json.loads(path.read_text())["trackers"]["dull"]["auc"] == {"a": 0.5}
    monkeypatch.setattr(claim, "TEST", dataclasses.replace(claim.TEST, videos=4))
    with pytest.raises(InputError, match="was made with another setting"):
        claim.run_seed(seed.one, ["NOKD"], seed.console)


def test_a_stopped_run_ends_in_one_line_and_goes_on(scripts, seed, monkeypatch):
    claim, train = scripts.claim, scripts.claim.run_training

    def stop(experiment, workdir, **how):
        if workdir.name == "tskd":
            raise Interrupted("stopped at step 3 of 400", number=15)
        return train(experiment, workdir, **how)

    monkeypatch.setattr(claim, "run_training", stop)
    # Other tests keep JAX as it is, with the programs that it has.
    monkeypatch.setattr(claim, "start_jax", lambda: None)
    monkeypatch.setattr(claim.jax, "clear_caches", lambda: None)
    command = ["claim.py", "--workdir", str(seed.one.workdir), "--seeds", "5"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        claim.main()
    assert ended.value.code == (
        "claim.py: stopped at step 3 of 400; the same command goes on."
    )
    monkeypatch.setattr(claim, "run_training", train)
    claim.main()
    names = [name for name, _ in seed.trained]
    assert names[:2] == ["teacher", "nokd"] and len(names) == 7


def test_a_row_that_the_family_has_not_is_refused(scripts, seed, monkeypatch):
    words = ["claim.py", "--workdir", str(seed.one.workdir), "--family", "siamrpn"]
    monkeypatch.setattr(sys, "argv", [*words, "--rows", "NOKD without bias"])
    with pytest.raises(
        SystemExit, match="--rows 'NOKD without bias': there is NOKD, TSKD"
    ):
        scripts.claim.main()
