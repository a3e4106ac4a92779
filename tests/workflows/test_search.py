"""From a teacher to student.json."""

import dataclasses
import json
import shutil
from unittest import mock

import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax.arch import named, spec_id
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command import settings
from dst_jax.command.main import main
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.digests import json_sha256
from dst_jax.distill import Setting
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.models import init_variables
from dst_jax.ops.augment import AugmentConfig
from dst_jax.search import SearchConfig
from dst_jax.track.config import SiamFCTracking, SiamRPNTracking
from dst_jax.train import OptimConfig
from dst_jax.workflows.search import print_searched, search_student
from dst_jax.workflows.workdir import LEDGER
from tests import networks, objectives
from tests.data import small_packs as packs

pytestmark = pytest.mark.optax

CONSOLE = Console(quiet=True)
SEARCH = SearchConfig(
    steps=2, candidates=2, min_width=2, pairs=4, epochs=1.0, batch=2, validation_pairs=4
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "train"
    config = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(folder, config, seed=0)
    return Experiment(
        students={"other": networks.STUDENTS["dull"]},
        data=DataConfig(
            sources=(f"got10k:{folder}",), batch=4, validation_share=0.34, threads=0
        ),
        **objectives.TINY._asdict(),
        optim=OptimConfig(learning_rate=1e-2),
        search=SEARCH,
    )


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "teacher"
    variables = init_variables(jax.random.key(0), networks.TEACHER)
    save_bundle(Bundle(networks.TEACHER, variables, SiamFCTracking(), {}), path)
    return path


def test_a_residual_teacher_is_refused_before_anything_is_written(experiment, tmp_path):
    variables = init_variables(jax.random.key(0), networks.LEVELS)
    bundle = Bundle(networks.LEVELS, variables, SiamRPNTracking(), {})
    save_bundle(bundle, tmp_path / "teacher")
    message = (
        r"^Layer shrinkage needs plain convolutions; layer1 of the backbone is a "
        r"residual stage\.$"
    )
    workdir = tmp_path / "search"
    with pytest.raises(InputError, match=message):
        search_student(
            experiment, workdir, teacher=tmp_path / "teacher", console=CONSOLE
        )
    assert not workdir.exists()


@pytest.fixture(scope="module")
def searched(experiment, teacher, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("search")
    with jax.numpy_dtype_promotion("standard"):
        return search_student(experiment, workdir, teacher=teacher, console=CONSOLE)


def test_a_search_leaves_a_student_a_ledger_and_a_picture(searched, experiment, capsys):
    workdir = searched.student.parent
    lines = (workdir / "ledger.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["step"], row["candidate"]) for row in rows] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert searched.best.reward == max(row["reward"] for row in rows)
    summary = json.loads((workdir / "search.json").read_text())
    assert summary["teacher_accuracy"] == searched.teacher_accuracy
    assert summary["reward"] == searched.best.reward
    found = settings.with_students(experiment, [f"dull={searched.student}"])
    assert spec_id(found.students["dull"]) == spec_id(searched.best.spec)
    assert searched.plot.read_bytes()[:4] == b"\x89PNG"
    print_searched(searched, Console(width=200))
    assert "best of 4: widths" in capsys.readouterr().out


def test_masked_and_exact_scores_agree(searched, experiment, teacher, tmp_path):
    search = dataclasses.replace(SEARCH, mode="exact", steps=1)
    exact = dataclasses.replace(experiment, search=search)
    again = search_student(exact, tmp_path, teacher=teacher, console=CONSOLE)
    assert any(trial.spec is not None for trial in again.trials)
    for ours, theirs in zip(again.trials, searched.trials[:2], strict=True):
        assert ours.spec == theirs.spec
        np.testing.assert_allclose(ours.accuracy, theirs.accuracy, atol=1e-3)


def test_a_killed_search_goes_on_to_the_same_result(
    searched, experiment, teacher, tmp_path
):
    whole = (searched.student.parent / "ledger.jsonl").read_text()
    workdir = tmp_path / "again"
    workdir.mkdir()
    text = (searched.student.parent / "config.json").read_text()
    (workdir / "config.json").write_text(text)
    # What kill -9 leaves: a whole step and the beginning of a line.
    lines = whole.splitlines(keepends=True)
    (workdir / "ledger.jsonl").write_text("".join(lines[:2]) + lines[2][:100])
    again = search_student(experiment, workdir, teacher=teacher, console=CONSOLE)
    assert again.best.spec == searched.best.spec
    strip = [dataclasses.replace(t, seconds=0.0) for t in again.trials]
    assert strip == [dataclasses.replace(t, seconds=0.0) for t in searched.trials]


def test_a_finished_search_goes_on_when_it_is_given_more_steps(
    searched, experiment, teacher, tmp_path
):
    workdir = tmp_path / "longer"
    shutil.copytree(searched.student.parent, workdir)
    search = dataclasses.replace(SEARCH, steps=3)
    longer = dataclasses.replace(experiment, search=search)
    again = search_student(longer, workdir, teacher=teacher, console=CONSOLE)
    before = (searched.student.parent / "ledger.jsonl").read_text()
    after = (workdir / "ledger.jsonl").read_text()
    assert after.startswith(before)
    assert [trial.step for trial in again.trials] == [0, 0, 1, 1, 2, 2]
    assert list(again.trials[:4]) == list(searched.trials)
    assert json.loads((workdir / "search.json").read_text())["candidates"] == 6
    # It cannot be made shorter.
    with pytest.raises(InputError, match=r"steps 2: .* already holds 3 steps"):
        search_student(experiment, workdir, teacher=teacher, console=CONSOLE)
    assert (workdir / "ledger.jsonl").read_text() == after


def test_another_configuration_may_not_use_the_workdir(searched, experiment, teacher):
    other = dataclasses.replace(
        experiment, search=dataclasses.replace(SEARCH, proposals=3)
    )
    with pytest.raises(InputError, match=r"search\.proposals: 3, was 10"):
        search_student(other, searched.student.parent, teacher=teacher, console=CONSOLE)


def test_what_a_search_does_not_read_may_change(searched, experiment, teacher):
    other = dataclasses.replace(experiment, students={"dull": networks.TEACHER})
    workdir = searched.student.parent
    # Nothing is read or scored again.
    forbidden = mock.Mock(side_effect=AssertionError)
    with mock.patch("dst_jax.workflows.scoring.read_small_set", forbidden):
        again = search_student(other, workdir, teacher=teacher, console=CONSOLE)
    assert (again.best, list(again.trials)) == (searched.best, list(searched.trials))
    assert again.teacher_accuracy == searched.teacher_accuracy


def folder_like(searched, workdir):
    shutil.copytree(searched.student.parent, workdir)
    return {path.name: path.read_bytes() for path in workdir.iterdir()}


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("ledger.jsonl", {"reward": 4.9}, r"ledger.jsonl, line 1: it or a line before"),
        ("ledger.jsonl", {"seconds": 4.9}, r"ledger.jsonl, line 1: it or a line befor"),
        ("search.json", {"reward": 4.9}, r"search.json: was changed after it was writ"),
        ("search.json", {"teacher_accuracy": 0.9}, r"search.json: was changed after"),
        ("search.json", {"more": 1}, r"search.json: .*unknown field 'more'"),
    ],
)
def test_what_was_edited_in_a_finished_search_is_refused(
    searched, experiment, teacher, tmp_path, name, fields, message
):
    before = folder_like(searched, tmp_path / "edited")
    path = tmp_path / "edited" / name
    text = path.read_text()
    first, _, rest = text.partition("\n") if name == LEDGER else (text, "", "")
    path.write_text(json.dumps(json.loads(first) | fields) + "\n" + rest)
    with pytest.raises(InputError, match=message):
        search_student(experiment, path.parent, teacher=teacher, console=CONSOLE)
    assert (path.parent / "student.json").read_bytes() == before["student.json"]


def forge(workdir, **best):
    """Edits the best trial and mends all digests: what no digest can find."""
    rows = [json.loads(x) for x in (workdir / LEDGER).read_text().splitlines()]
    rows[0] |= best
    digest = ""
    for row in rows:
        del row["digest"]
        digest = row["digest"] = json_sha256([digest, row])
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (workdir / LEDGER).write_text(text)
    summary = json.loads((workdir / "search.json").read_text()) | {"ledger": digest}
    top = max(rows, key=lambda row: row["reward"])
    names = ("reward", "accuracy", "compression", "step", "spec_id")
    summary |= {name: top[name] for name in names} | {"digest": None}
    summary["digest"] = json_sha256(summary)
    (workdir / "search.json").write_text(json.dumps(summary))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_candidates_that_do_not_follow_are_refused_though_their_digests_fit(
    searched, experiment, teacher, tmp_path, elsewhere, monkeypatch
):
    workdir = tmp_path / "forged"
    folder_like(searched, workdir)
    forge(workdir)
    search_student(experiment, workdir, teacher=teacher, console=CONSOLE)
    if elsewhere:
        monkeypatch.setattr("dst_jax.workflows.search._platform", lambda: "a toaster")
    forge(workdir, reward=4.9)
    with pytest.raises(InputError, match="step 0 is not what this search would have"):
        search_student(experiment, workdir, teacher=teacher, console=CONSOLE)


def test_a_search_of_a_version_without_digests_is_read_with_a_note(
    searched, experiment, teacher, tmp_path, capsys
):
    workdir = tmp_path / "old"
    folder_like(searched, workdir)
    rows = [json.loads(x) for x in (workdir / LEDGER).read_text().splitlines()]
    rows = [{k: v for k, v in row.items() if k != "digest"} for row in rows]
    (workdir / LEDGER).write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = json.loads((workdir / "search.json").read_text())
    for name in ("platform", "ledger", "digest"):
        del summary[name]
    (workdir / "search.json").write_text(json.dumps(summary))
    console = Console(width=200)
    again = search_student(experiment, workdir, teacher=teacher, console=console)
    assert list(again.trials) == list(searched.trials)
    assert "wrote it without digests" in capsys.readouterr().out
    # From now on the summary protects it.
    again = search_student(experiment, workdir, teacher=teacher, console=console)
    assert "without digests" not in capsys.readouterr().out
    rows[0]["seconds"] += 1.0
    (workdir / LEDGER).write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="line 4: it or a line before it was changed"):
        search_student(experiment, workdir, teacher=teacher, console=console)


def test_a_space_without_networks_is_refused_before_any_work(
    experiment, teacher, tmp_path
):
    search = dataclasses.replace(SEARCH, layers=(9,))
    other = dataclasses.replace(experiment, search=search)
    with pytest.raises(InputError, match="the backbone has 3"):
        search_student(other, tmp_path / "new", teacher=teacher, console=CONSOLE)
    assert not (tmp_path / "new").exists()


def test_a_pack_that_is_too_narrow_is_refused_before_anything_is_written(
    experiment, teacher, tmp_path
):
    pack = packs.pack(experiment.data.sources[0], tmp_path / "pack")
    wide = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, sources=(pack,)),
        augment=AugmentConfig(search_shift_px=40.0),
    )
    workdir = tmp_path / "search"
    with pytest.raises(InputError, match=r"serves search patches up to \d+ px; this"):
        search_student(wide, workdir, teacher=teacher, console=CONSOLE)
    assert not workdir.exists()


CONFIG_FILE = """
from dst_jax.data.pipeline import DataConfig
from dst_jax.experiment import Experiment
from tests import networks, objectives


def experiment():
    return Experiment(
        networks.STUDENTS,
        DataConfig(("got10k:none",), threads=0, validation_share=0.34),
        **objectives.TINY._asdict(),
    )
"""


def test_the_command_line_searches_with_overrides(
    teacher, tmp_path, capsys, experiment
):
    config, workdir = tmp_path / "tiny.py", tmp_path / "run"
    config.write_text(CONFIG_FILE)
    # The sizes of the tests above, so that their compiled programs serve.
    words = "--search.steps 1 --search.candidates 2 --search.min_width 2 "
    words += "--search.pairs 4 --search.epochs 1.0 --search.batch 2 --data.batch 4 "
    words += "--search.validation_pairs 4 --optim.learning_rate 0.01 "
    words += f"--data.sources {experiment.data.sources[0]}"
    fixed = ["--teacher", str(teacher), "--workdir", str(workdir), "--seed", "4"]
    assert main(["search", str(config), *fixed, *words.split()]) == 0
    assert "step 1: reward" in capsys.readouterr().out
    stored = json.loads((workdir / "config.json").read_text())
    assert stored["experiment"]["seed"] == 4
    assert main(["info", str(workdir / "student.json")]) == 0
    assert "parameters" in capsys.readouterr().out


@pytest.mark.slow
def test_a_tracker_that_proposes_regions_is_searched(experiment, tmp_path, capsys):
    parent = named("tiny-siamrpn")
    variables = init_variables(jax.random.key(0), parent)
    # Its boxes are the anchors, so that some overlap; untrained ones lie anywhere.
    adjust = variables["params"]["head"]["regress_adjust"]
    adjust["kernel"] = np.zeros_like(adjust["kernel"])
    bundle, workdir = tmp_path / "teacher", tmp_path / "run"
    save_bundle(Bundle(parent, variables, SiamRPNTracking(), {}), bundle)
    regions = dataclasses.replace(
        experiment,
        students={"other": named("tiny-siamrpn")},
        augment=AugmentConfig(search_shift_px=12.0),
        **Setting()._asdict(),
        optim=OptimConfig(learning_rate=1e-2, clip_norm=1.0),
    )
    found = search_student(regions, workdir, teacher=bundle, console=CONSOLE)
    rows = (workdir / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(row)["problem"] for row in rows] == [None] * 4
    head = found.best.spec.head
    assert dataclasses.replace(head, features=parent.head.features) == parent.head
    widths = {trial.spec.head.features for trial in found.trials}
    assert len(widths) > 1, "the head took part"
    assert all(0 <= trial.accuracy <= 1 for trial in found.trials)
    assert 0 < found.teacher_accuracy < 1
    with_found = settings.with_students(regions, [f"dull={found.student}"])
    assert with_found.students["dull"] == found.best.spec
    print_searched(found, Console(width=200))
    assert f"head {head.features}, kernels" in capsys.readouterr().out
