"""The claim on real video: how many pairs fit, equal rows, and a whole tiny run."""

import dataclasses
import functools
import json
import os
import sys
import types

import pytest

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.configs import siamfc_dst_short
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.distill import Response
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking
from dst_jax.train import LoopConfig
from dst_jax.workflows import run_parts
from tests import networks, objectives

NAMES = (
    *("claim", "claim_stages", "claim_table"),
    *("pair_budget", "reproduce_plan", "reproduce_siamfc"),
    *("reproduce_stages", "reproduce_jobs"),
)


@pytest.fixture(scope="module")
def scripts(script):
    return types.SimpleNamespace(**{n: script(n) for n in NAMES})


def data_of(scripts, family="siamfc", **changes):
    data = scripts.reproduce_plan.Data(family, ("got10k:x",), 0.1, "otb:y", None)
    return dataclasses.replace(data, **changes)


def test_pairs_fill_nine_tenths_of_what_is_left(scripts):
    # Of 100 minutes, 5,400 s are used: 400 are spent, 1,000 are the fixed work of four
    # rows, and 4 rows x 2 s + 1 teacher x 2 pairs x 1 s take 10 s a pair.
    works = [
        scripts.pair_budget.Work(4, 200.0, 2.0),
        scripts.pair_budget.Work(1, 200.0, 1.0, share=2.0),
    ]
    pairs = scripts.pair_budget.pairs_that_fit(100, works, spent_s=400.0, multiple=32)
    assert pairs == 384 and 384 <= 4_000 / 10 < 384 + 32


def test_a_budget_that_holds_no_row_is_refused_with_one_that_does(scripts):
    pair_budget = scripts.pair_budget
    works = [pair_budget.Work(4, 300.0, 0.5)]
    with pytest.raises(
        InputError,
        match=r"--minutes 10: .* 21\.0 minutes without any pair, and 2\.00 s for "
        "each; give at least 25, or fewer",
    ):
        pair_budget.pairs_that_fit(10, works, spent_s=60.0, multiple=32)
    assert pair_budget.pairs_that_fit(25, works, spent_s=60.0, multiple=32) >= 32


@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_rows_have_the_claims_terms_and_differ_in_nothing_else(scripts, family):
    data, rows = data_of(scripts, family), scripts.claim_stages.PAPER_ROWS
    made = [
        scripts.reproduce_plan.experiment_of(data, row, 3, pairs=3_200) for row in rows
    ]
    miniature = [scripts.claim.experiment_of("siamfc", row, 3, "x:y") for row in rows]
    # The working gates of the miniatures have a margin of their own.
    gates = made[3].distill.terms["ks"]
    theirs = miniature[3].distill.with_terms(ks=gates)
    miniature[3] = dataclasses.replace(miniature[3], distill=theirs)
    for ours, theirs in zip(made, miniature, strict=True):
        assert ours.distill.terms == theirs.distill.terms
    assert made[3].distill.terms["ks"].margin == 0.2
    assert made[3].distill.terms["ks"].gate_over == "example"
    assert made[2].distill.terms["ks"].margin == 0.005
    rest = {(e.data, e.optim, e.loop, e.labels, e.augment, e.seed) for e in made}
    assert len(rest) == 1 and len({e.distill.warmup_epochs for e in made}) == 1
    assert made[0].optim.total_steps(made[0].data.batch) == 400
    assert made[0].data.sources == ("got10k:x",) and made[0].seed == 3


def test_students_are_the_papers_and_the_teacher_sees_twice_the_pairs(scripts):
    plan = scripts.reproduce_plan
    row, teacher = (
        plan.experiment_of(data_of(scripts), name, 0, pairs=3_200)
        for name in ("NOKD", "teacher")
    )
    assert row.students == siamfc_dst_short.experiment().students
    assert list(teacher.students) == ["teacher"]
    assert list(teacher.distill.terms) == ["gt"]
    assert teacher.optim.total_steps(teacher.data.batch) == 800


def test_siamrpn_keeps_its_share_of_warm_up(scripts):
    made = scripts.reproduce_plan.experiment_of(
        data_of(scripts, "siamrpn"), "TSKD", 0, pairs=3_200
    )
    # 10 of the recipe's 60 epochs.
    assert made.distill.warmup_epochs == pytest.approx(4 / 6)
    assert made.optim.hold_epochs == pytest.approx(4 / 6)
    assert made.data.weights == () and made.data.max_gaps == ()


@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_miniatures_differ_from_the_claims_in_data_and_pairs_alone(scripts, family):
    data = data_of(scripts, f"{family}-mini")
    for name in ("teacher", *scripts.claim_stages.PAPER_ROWS):
        theirs = scripts.claim.experiment_of(family, name, 3, "got10k:x")
        ours = scripts.reproduce_plan.experiment_of(data, name, 3, pairs=3_200)
        assert ours.data.validation_share == 0.1
        assert ours.optim.total_steps(16) == (400 if name == "teacher" else 200)
        lengths = {"epochs": 4.0, "pairs_per_epoch": ours.optim.pairs_per_epoch}
        assert ours == dataclasses.replace(
            theirs,
            data=dataclasses.replace(theirs.data, validation_share=0.1),
            optim=dataclasses.replace(theirs.optim, **lengths),
        )


def plan_of(scripts, **changes):
    made = scripts.reproduce_plan.Plan(
        data_of(scripts), 640, 60.0, ("NOKD",), (0,), 0.5, 90.0
    )
    return dataclasses.replace(made, **changes)


def test_a_plan_for_other_data_is_refused_with_what_differs(scripts, tmp_path):
    require_same, plan = scripts.reproduce_plan.require_same, plan_of(scripts)
    require_same(plan, data_of(scripts), tmp_path)
    other = data_of(scripts, train=("got10k:x", "got10k:z"))
    with pytest.raises(
        InputError, match="with --train got10k:x in place of got10k:x got10k:z; give"
    ):
        require_same(plan, other, tmp_path)
    with pytest.raises(InputError, match="with --teacher none in place of ab; give"):
        require_same(plan, data_of(scripts, teacher="ab"), tmp_path)


def test_a_stage_depends_on_pairs_and_row(scripts, tmp_path):
    def setting(plan, row):
        return plan.stage(tmp_path, row, 0).setting

    plan = plan_of(scripts)
    found = [
        setting(plan, "NOKD"),
        setting(plan, "TSKD"),
        setting(dataclasses.replace(plan, pairs=672), "NOKD"),
    ]
    assert len(set(found)) == 3 and setting(plan_of(scripts), "NOKD") == found[0]


def stage(*, gate=None, **auc):
    return {
        "trackers": {
            name: {"auc": {"a": value}, "gate_open": gate}
            for name, value in auc.items()
        }
    }


def test_a_teacher_no_better_than_a_still_box_is_told(scripts):
    remarks = scripts.reproduce_siamfc.remarks
    poor = {0: {"teacher": stage(teacher=0.2, still=0.2)}}
    assert remarks(poor) == [
        "The teacher (AUC 0.200) is not above a box that never moves (0.200), so that "
        "it has nothing to teach."
    ]
    assert remarks({0: {"teacher": stage(teacher=0.3, still=0.2)}}) == []


def test_a_teacher_no_better_than_an_untaught_student_is_told(scripts):
    stages = {
        "teacher": stage(teacher=0.5, still=0.2),
        "NOKD": stage(dull=0.4, intelligent=0.6),
    }
    assert scripts.reproduce_siamfc.remarks({0: stages}) == [
        "The teacher (AUC 0.500) is not above the intelligent student that nobody "
        "taught (0.600)."
    ]


def test_gates_are_told_for_each_student(scripts):
    first = {
        "teacher": stage(teacher=0.3, still=0.2),
        "TSsKD literal gates": stage(gate=0.0, dull=0.3, intelligent=0.3),
        "TSsKD working gates": stage(gate=0.25, dull=0.3, intelligent=0.3),
    }
    working = stage(gate=0.75, dull=0.3, intelligent=0.3)
    second = {**first, "TSsKD working gates": working}
    assert scripts.reproduce_siamfc.remarks({0: first, 1: second}) == [
        "TSsKD literal gates, dull: the gate was never open: it is TSKD.",
        "TSsKD literal gates, intelligent: the gate was never open: it is TSKD.",
        "TSsKD working gates, dull: the gate was open in 50.0%.",
        "TSsKD working gates, intelligent: the gate was open in 50.0%.",
    ]


def tiny(students):
    def experiment():
        base = siamfc_dst_short.experiment()
        data = dataclasses.replace(base.data, batch=4, threads=0)
        loop, labels = LoopConfig(log_every=1), objectives.TINY.labels
        return dataclasses.replace(
            base, students=students, data=data, loop=loop, labels=labels
        )

    return types.SimpleNamespace(experiment=experiment)


@pytest.fixture
def small(scripts, monkeypatch, tmp_path):
    """Tiny networks, trials and video in place of the real ones."""
    plan, budget = scripts.reproduce_plan, scripts.pair_budget
    families = {
        "siamfc": (tiny({"teacher": networks.TEACHER}), tiny(networks.STUDENTS))
    }
    monkeypatch.setattr(plan, "FAMILIES", families)
    response = Response(weight=100.0, scale="cells", layers=(2, 3))
    monkeypatch.setattr(scripts.claim_stages, "RESPONSE", response)
    monkeypatch.setattr(run_parts, "VALIDATION_PAIRS", 8)
    monkeypatch.setattr(budget, "TRIAL_STEPS", 2)
    monkeypatch.setattr(budget, "TRIAL_FRAMES", 3)
    # Whatever the machine is doing, two steps an epoch fit.
    monkeypatch.setattr(
        scripts.reproduce_stages, "pairs_that_fit", lambda *_, multiple, **__: multiple
    )
    # Other tests keep JAX as it is, with the programs that it has.
    monkeypatch.setattr(scripts.reproduce_siamfc, "start_jax", lambda: None)
    monkeypatch.setattr(scripts.reproduce_stages.jax, "clear_caches", lambda: None)
    for name, videos in (("one", 4), ("two", 3), ("test", 2)):
        video = SyntheticConfig(videos=videos, length=6, height=90, width=120)
        write_synthetic(tmp_path / name, video, seed=videos)
    variables = networks.teacher_variables()
    teacher = Bundle(networks.TEACHER, variables, SiamFCTracking(), {})
    save_bundle(teacher, tmp_path / "teacher")
    return tmp_path


def run(scripts, monkeypatch, folder, *options, train=("one", "two")):
    command = [
        *("reproduce_siamfc.py", "--workdir", str(folder / "runs")),
        *("--train", *(f"got10k:{folder / name}" for name in train)),
        *("--test", f"got10k:{folder / 'test'}", "--validation", "0.34"),
        *options,
    ]
    monkeypatch.setattr(sys, "argv", command)
    scripts.reproduce_siamfc.main()


@pytest.mark.optax
def test_one_command_goes_from_data_to_tables(scripts, monkeypatch, small, capsys):
    options = ("--teacher", str(small / "teacher"))
    some = ("--rows", "TSsKD working gates", "--minutes", "30")
    run(scripts, monkeypatch, small, *options, *some)
    folder = small / "runs" / "siamfc"
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["pairs"] == 16 and plan["minutes"] == 30
    assert plan["pair_s"] > 0 and plan["fixed_s"] > 0
    assert (folder / "pack-0").is_dir() and (folder / "pack-1").is_dir()
    assert not (folder / "trial").exists()
    found = json.loads((folder / "seed-0" / "tsskd-working-gates.json").read_text())
    assert list(found["trackers"]) == ["dull", "intelligent"]
    assert set(found["trackers"]["dull"]["auc"]) == {"000000", "000001"}
    assert set(found["trackers"]["dull"]["p20"]) == {"000000", "000001"}
    metrics = folder / "seed-0" / "runs" / "tsskd-working-gates" / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert sum(row.get("steps", 0) for row in rows) == 4
    text = capsys.readouterr().out
    assert "| dull, TSsKD working gates |" in text
    assert "| AUC | between seeds | P@20 | between seeds |" in text

    # Another row and budget: the number of pairs stays, and nothing is made twice.
    made = metrics.stat().st_mtime_ns
    run(scripts, monkeypatch, small, *options, "--rows", "NOKD", "--minutes", "9")
    text = capsys.readouterr().out
    assert "--minutes 9: the plan stays at 16 pairs." in text
    assert "| intelligent, NOKD |" in text and metrics.stat().st_mtime_ns == made

    with pytest.raises(SystemExit, match=r"was made with --train got10k:\S+ got10k"):
        run(scripts, monkeypatch, small, *options, *some, train=("one",))


FIELDS = (
    *("--data.batch", "32", "--data.weights", "2", "1", "--data.cache", "device"),
    *("--optim.final_learning_rate", "1e-4", "--loop.validate_every", "50"),
)


def test_fields_reach_every_training_and_nothing_else_changes(scripts):
    data = data_of(scripts, train=("got10k:x", "coco:z"))
    names = ("teacher", *scripts.claim_stages.PAPER_ROWS)
    for name in names:
        plain, made = (
            scripts.reproduce_plan.experiment_of(data, name, 3, pairs=3_200, fields=f)
            for f in ((), FIELDS)
        )
        changed = dataclasses.replace(
            plain.data, batch=32, weights=(2.0, 1.0), cache="device"
        )
        assert made == dataclasses.replace(
            plain,
            data=changed,
            optim=dataclasses.replace(plain.optim, final_learning_rate=1e-4),
            loop=dataclasses.replace(plain.loop, validate_every=50),
        )
    assert made.optim.total_steps(32) == 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--optim.epochs", "9"), "--optim.epochs: rows have the script's own"),
        (("--distill.terms.ah.weight", "9"), "--distill.terms.ah.weight: rows have"),
        (("--students=x",), "--students"),
        (("--data.bacth", "9"), "--data.batch"),
    ],
)
def test_fields_that_would_make_rows_unequal_are_refused(scripts, words, said):
    plan = scripts.reproduce_plan
    with pytest.raises(InputError, match=said):
        plan.experiment_of(data_of(scripts), "NOKD", 0, pairs=3_200, fields=words)


def test_given_pairs_fill_whole_steps_of_each_epoch(scripts):
    whole, data = scripts.reproduce_plan.whole_steps, data_of(scripts)
    # 4 epochs of 8 pairs a step, or of 32.
    assert whole(100, data, ()) == 96 and whole(300, data, FIELDS[:2]) == 256
    with pytest.raises(InputError, match=r"--pairs 100: .* of 32 pairs need 128\."):
        whole(100, data, FIELDS[:2])


def test_a_teacher_has_the_pairs_that_are_given(scripts):
    plan = plan_of(scripts, teacher_pairs=6_400, fields=("--data.batch", "32"))
    teacher, row = (
        plan.experiment(name, 0, data=plan.data) for name in ("teacher", "NOKD")
    )
    assert teacher.optim.total_steps(32) == 200 and row.optim.total_steps(32) == 20


def test_a_plan_with_other_fields_is_refused(scripts, tmp_path):
    plan = plan_of(scripts, fields=("--data.batch", "32"))
    same = {"fields": ["--data.batch", "32"]}
    scripts.reproduce_plan.require_same(plan, data_of(scripts), tmp_path, **same)
    with pytest.raises(
        InputError, match=r"with the fields --data\.batch 32 in place of none; give"
    ):
        scripts.reproduce_plan.require_same(plan, data_of(scripts), tmp_path)


def task(scripts, folder, name, code, **more):
    words = (sys.executable, "-c", f"import os, pathlib, signal, sys, time\n{code}")
    return scripts.reproduce_jobs.Task(name, words, folder / f"{name}.log", **more)


def test_tasks_wait_for_what_they_need_and_their_turn(scripts, tmp_path):
    made = tmp_path / "made"
    code = "open({!r}, 'a').write({!r})"
    order = str(tmp_path / "order")
    tasks = [
        task(
            scripts,
            tmp_path,
            "late",
            code.format(order, "late "),
            ready=made.exists,
            after="ahead",
        ),
        # It ends after "made" is there, and "late" must not begin beside it.
        task(
            scripts,
            tmp_path,
            "ahead",
            f"while not pathlib.Path({str(made)!r}).exists(): time.sleep(.01)\n"
            "time.sleep(.5)\n" + code.format(order, "ahead "),
        ),
        task(scripts, tmp_path, "first", f"pathlib.Path({str(made)!r}).touch()"),
        task(scripts, tmp_path, "never", "", ready=lambda: False),
        task(
            scripts,
            tmp_path,
            "useless",
            code.format(order, "useless "),
            ready=made.exists,
            useless=made.exists,
        ),
        task(scripts, tmp_path, "bad", "print('told'); sys.exit(3)"),
    ]
    assert scripts.reproduce_jobs.run_tasks(tasks, jobs=2) == {"bad": 3}
    assert (tmp_path / "order").read_text() == "ahead late "
    assert (tmp_path / "bad.log").read_text() == "told\n"


def test_what_only_spares_work_may_fail(scripts, tmp_path):
    tasks = [task(scripts, tmp_path, "ahead", "sys.exit(2)", spares=True)]
    assert scripts.reproduce_jobs.run_tasks(tasks, jobs=1) == {}


def test_a_signal_ends_all_tasks(scripts, tmp_path):
    begun, own = tmp_path / "begun", os.getpid()
    code = (
        f"pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\n"
        f"os.kill({own}, signal.SIGTERM)\ntime.sleep(600)"
    )
    with pytest.raises(KeyboardInterrupt):
        scripts.reproduce_jobs.run_tasks(
            [task(scripts, tmp_path, "long", code)], jobs=1
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_other_pairs_than_the_plans_are_refused(scripts, tmp_path):
    plan = dataclasses.replace(plan_of(scripts), pairs=64, teacher_pairs=None)
    same = functools.partial(scripts.reproduce_plan.require_same_pairs, plan, tmp_path)
    same(pairs=None, teacher=None)
    same(pairs=65, teacher=None)  # the rest fills no step
    with pytest.raises(InputError, match=r"--pairs 640: .* has 64; choose another"):
        same(pairs=640, teacher=None)
    with pytest.raises(InputError, match=r"--teacher-pairs 640: .* has None"):
        same(pairs=None, teacher=640)


def test_rows_that_need_no_teacher_begin_before_it_is_trained(scripts, tmp_path):
    rows = ("TSKD", "NOKD")
    plan = plan_of(scripts)
    place = scripts.reproduce_stages.Place(tmp_path, plan.data, (), None, None)
    wanted = [f"{seed}:{row}" for seed in (0, 1) for row in rows]
    tasks = scripts.reproduce_jobs.tasks_of(plan, place, ["script"], rows=wanted)
    names = ["teacher", "TSKD 0", "NOKD 0", "TSKD 1", "NOKD 1"]
    ahead = ["programs of TSKD 0", "programs of TSKD 1"]
    assert [each.name for each in tasks] == names + ahead
    assert [each.ready() for each in tasks] == [1, 0, 1, 0, 1, 1, 1]
    assert tasks[3].words == (
        *("script", "--jobs", "1", "--part", "row"),
        *("--rows", "TSKD", "--seeds", "1"),
    )
    (tmp_path / "trained-teacher.json").touch()
    assert all(each.ready() for each in tasks)
    assert [each.useless() for each in tasks] == [0, 0, 0, 0, 0, 1, 1]
    # What is finished is not begun again.
    (tmp_path / "seed-1").mkdir()
    plan.stage(tmp_path, "TSKD", 1).write({}, seed=1)
    tasks = scripts.reproduce_jobs.tasks_of(plan, place, ["script"], rows=wanted)
    assert "TSKD 1" not in [each.name for each in tasks]


@pytest.mark.parametrize(("kind", "calls"), [("accelerator", 1), ("onednn", 0)])
def test_a_rows_programs_are_compiled_where_they_can_be_kept(
    scripts, monkeypatch, small, kind, calls
):
    stages, found = scripts.reproduce_stages, []

    def warm_up(made, *, teacher, console):
        found.append((made, load_bundle(teacher).spec))

    monkeypatch.setattr(stages, "warm_up", warm_up)
    kernels = types.SimpleNamespace(kind=kind)
    monkeypatch.setattr(stages, "chosen_kernels", lambda: kernels)
    plan = plan_of(scripts)
    place = stages.Place(small, plan.data, (), None, None)
    stages.compile_row(plan, place, "TSKD", 2)
    made = plan.experiment("TSKD", 2, data=plan.data)
    assert found == [(made, networks.TEACHER)] * calls


@pytest.mark.slow
@pytest.mark.optax
def test_parts_make_the_rows_that_one_process_makes(
    scripts, monkeypatch, small, capsys
):
    given = ("--pairs", "16", "--teacher-pairs", "32", "--loop.log_every", "2")
    rows = ("--rows", "TSKD", "NOKD")
    commands = []

    def in_turn(tasks, *, jobs):
        """Runs in this process what would be processes, when it is ready."""
        del jobs
        waiting = list(tasks)
        while now := [each for each in waiting if each.ready()]:
            waiting.remove(now[0])
            commands.append(now[0].name)
            monkeypatch.setattr(sys, "argv", list(now[0].words[1:]))
            scripts.reproduce_siamfc.main()
        return {}

    monkeypatch.setattr(scripts.reproduce_siamfc, "run_tasks", in_turn)
    run(scripts, monkeypatch, small, *given, *rows, "--jobs", "2")
    folder = small / "runs" / "siamfc"
    assert commands[:3] == ["teacher", "TSKD 0", "NOKD 0"]
    assert "16 pairs a row.\n" in capsys.readouterr().out
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["minutes"] is None and plan["teacher_pairs"] == 32
    trained = json.loads((folder / "trained-teacher.json").read_text())
    assert trained["seconds"] > 0
    found = json.loads((folder / "seed-0" / "tskd.json").read_text())["trackers"]

    # The same command in one process finds all of it; without results, it makes them
    # anew from the same weights.
    for name in ("teacher", "seed-0/tskd"):
        (folder / f"{name}.json").unlink()
    monkeypatch.setattr(scripts.reproduce_stages, "tell", lambda *_: None)
    run(scripts, monkeypatch, small, *given, *rows)
    again = json.loads((folder / "seed-0" / "tskd.json").read_text())["trackers"]
    assert again == found


@pytest.mark.slow
@pytest.mark.optax
def test_a_teacher_is_trained_if_none_is_given(scripts, monkeypatch, small, capsys):
    run(scripts, monkeypatch, small, "--rows", "NOKD", "--minutes", "30")
    folder = small / "runs" / "siamfc"
    assert (folder / "runs" / "teacher" / "bundles" / "teacher-best").is_dir()
    scored = json.loads((folder / "teacher.json").read_text())["trackers"]
    assert list(scored) == ["teacher", "still"]
    assert "| dull, NOKD |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            (),
            "--train, --test and --minutes or --pairs are needed, except to report.",
        ),
        (("--report",), "there is no plan.json; run without --report."),
    ],
)
def test_what_lacks_is_told_in_a_line(scripts, monkeypatch, tmp_path, options, said):
    command = ["reproduce_siamfc.py", "--workdir", str(tmp_path / "runs"), *options]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        scripts.reproduce_siamfc.main()
    assert str(ended.value.code).endswith(said)
