"""Experiments by name, file and override; workdirs."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from dst_jax.arch import named, spec_to_json
from dst_jax.command import settings
from dst_jax.command.fields import fields_of
from dst_jax.command.main import main
from dst_jax.distill import DistillConfig, Soft
from dst_jax.distill.identity import distill_to_json
from dst_jax.errors import InputError
from dst_jax.experiment import (
    config_hash,
    differences,
    experiment_to_json,
    flatten,
    sections,
)
from dst_jax.workflows.workdir import open_workdir

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").glob("[a-z]*.py"))


@pytest.fixture
def experiment():
    return settings.load_experiment("demo_students")


@pytest.mark.parametrize("name", [*settings.packaged(), str(FILES[0])])
def test_every_configuration_loads_and_is_json(name):
    experiment = settings.load_experiment(name)
    values = experiment_to_json(experiment)
    assert json.loads(json.dumps(values)) == values
    assert set(values["students"]) == set(experiment.students)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_configuration_says_how_to_run_it_and_what_to_expect(path):
    head = path.read_text().split('"""')[1]
    assert "Run:" in head
    assert "Expect:" in head


def test_overrides_change_the_field_and_its_type(experiment):
    arguments = ["--distill.ts.temperature", "2", "--data.batch=4", "--optim.method"]
    arguments += ["adam", "--optim.clip_norm", "none", "--data.sources", "otb:A"]
    arguments += ["coco:B", "--distill.str.weighted", "false"]
    changed = settings.override(experiment, arguments)
    assert changed.distill.terms["ts"].temperature == 2.0
    assert changed.data.batch == 4
    assert changed.optim.method == "adam"
    assert changed.optim.clip_norm is None
    assert changed.data.sources == ("otb:A", "coco:B")
    assert changed.distill.terms["str"].weighted is False
    assert changed.students == experiment.students


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--distil.ts.temperature", "2"], "did you mean --distill.ts.temperature"),
        (["--distill.temperature", "2"], "is now --distill.ts.temperature and --"),
        (["--distill.hard_margin", "2"], "is now --distill.ah.margin"),
        (
            ["--distill.qqqqqqqq", "2"],
            "--distill.qqqqqqqq: unknown; see dst-jax config show",
        ),
        (["--data.batch", "many"], "--data.batch many: expected INT"),
        (
            ["--optim.method", "lion"],
            "--optim.method lion: expected .sgd,adam,adamw.\\.",
        ),
        (["--data.batch", "0"], "DataConfig.batch=0"),
        (["loose"], "'loose': unexpected"),
    ],
)
def test_unfit_overrides_are_named(experiment, arguments, message):
    with pytest.raises(InputError, match=message):
        settings.override(experiment, arguments)


def test_students_come_from_the_zoo_or_a_file(experiment, tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(spec_to_json(named("tiny"))))
    changed = settings.with_students(experiment, [f"dull={path}", "third=mini-half"])
    assert changed.students["dull"] == named("tiny")
    assert changed.students["third"] == named("mini-half")
    assert set(changed.students) == {"dull", "third"}
    path.write_text('{"backbone": {}}')
    for choice, message in (
        ("dull", "NAME=ZOO"),
        ("dull=nothing", "no architecture 'nothing'"),
        (f"dull={path}", "found.json: spec"),
        ("dull=gone.json", r"gone\.json: no such file"),
    ):
        with pytest.raises(InputError, match=message):
            settings.with_students(experiment, [choice])


def test_a_student_can_have_a_bias_on_its_response(experiment, tmp_path):
    path = tmp_path / "student.json"
    path.write_text(json.dumps(spec_to_json(named("tiny"))))
    choices = [f"dull={path}+bias", "third=mini-half+bias"]
    students = settings.with_students(experiment, choices).students
    for name, plain in (("dull", named("tiny")), ("third", named("mini-half"))):
        assert students[name].head == dataclasses.replace(plain.head, bias=True)
        assert students[name].backbone == plain.backbone
    with pytest.raises(InputError, match=r"^tiny-siamrpn\+bias: .* has no bias"):
        settings.with_students(experiment, ["dull=tiny-siamrpn+bias"])
    with pytest.raises(InputError, match=r"^huge\+bias: no architecture 'huge'"):
        settings.with_students(experiment, ["dull=huge+bias"])


def test_a_configuration_that_is_not_there_or_broken_is_named(tmp_path):
    with pytest.raises(InputError, match="'demo_studnets': neither"):
        settings.load_experiment("demo_studnets")
    with pytest.raises(InputError, match="no such file"):
        settings.load_experiment(str(tmp_path / "a.py"))
    (tmp_path / "a.py").write_text("def experiment(:\n")
    with pytest.raises(InputError, match="line 1"):
        settings.load_experiment(str(tmp_path / "a.py"))
    (tmp_path / "c.py").write_text(
        "from dst_jax.train import OptimConfig\n"
        "def experiment():\n"
        "    return OptimConfig(learn_rate=1)\n"
    )
    with pytest.raises(InputError, match=r"c\.py: line 3: .*learn_rate"):
        settings.load_experiment(str(tmp_path / "c.py"))
    (tmp_path / "b.py").write_text("x = 1\n")
    with pytest.raises(InputError, match=r"no function experiment\(\)"):
        settings.load_experiment(str(tmp_path / "b.py"))


def test_files_in_the_home_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (source,) = (path for path in FILES if path.stem == "demo_teacher")
    (tmp_path / "mine.py").write_text(source.read_text())
    assert settings.load_experiment("~/mine.py") == settings.load_experiment(
        "demo_teacher"
    )
    found = settings.parse_bundles(["a=~/bundle"], {}, option="--init")
    assert found == {"a": tmp_path / "bundle"}


def test_differences_name_the_field():
    one = {"a": {"b": 1}, "c": 2}
    assert differences(one, {"a": {"b": 3}, "c": 2}) == ["a.b: 1, was 3"]
    assert differences({"a": None}, {"b": 2}) == [
        "a: None, was absent",
        "b: absent, was 2",
    ]
    assert flatten(one) == {"a.b": 1, "c": 2}
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})


def test_a_workdir_belongs_to_one_configuration(tmp_path):
    config = {"distill": distill_to_json(DistillConfig())}
    with open_workdir(tmp_path / "run", {"distill": {"temperature": 9.0}}):
        pass  # ended before its first checkpoint: another may have the folder
    with open_workdir(tmp_path / "run", config):
        (tmp_path / "run" / "checkpoints" / "1").mkdir(parents=True)
    killed = tmp_path / "run" / ".tmp-0a1b2c3d-config.json"
    killed.write_text("half")
    with open_workdir(tmp_path / "run", config):
        assert not killed.exists()
    soft = DistillConfig().with_terms(ts=Soft(temperature=2.0))
    other = {"distill": distill_to_json(soft)}
    message = r"\(distill.terms.ts.temperature: 2.0, was 1.0\)"
    with (
        pytest.raises(InputError, match=message),
        open_workdir(tmp_path / "run", other),
    ):
        pass


def test_a_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="--workdir"), open_workdir(folder, {}):
            pass


def test_a_workdir_in_use_names_the_process(tmp_path):
    holder = (
        "import pathlib, sys\n"
        "from dst_jax.workflows.workdir import open_workdir\n"
        "with open_workdir(pathlib.Path(sys.argv[1]), {}):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holder, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {process.pid} is using it"):
            open_workdir(tmp_path / "run", {}).__enter__()
        process.communicate("")
    with open_workdir(tmp_path / "run", {}):
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())


def test_fields_that_are_checked_together_may_come_in_any_order():
    experiment = settings.load_experiment("demo_students")
    words = ["--search.pairs", "2", "--search.batch", "2"]
    for order in (words, words[2:] + words[:2]):
        search = settings.override(experiment, order).search
        assert (search.pairs, search.batch) == (2, 2)


def test_settings_within_settings_are_reached_by_their_path(experiment):
    arguments = ["--labels.assign.positives", "8", "--distill.ah.margin", "0.5"]
    changed = settings.override(experiment, arguments)
    assert changed.labels.assign.positives == 8
    assert changed.labels.assign.negatives == experiment.labels.assign.negatives
    assert changed.distill.terms["ah"].margin == 0.5
    with pytest.raises(InputError, match=r"AssignConfig.positives=0"):
        settings.override(experiment, ["--labels.assign.positives", "0"])


def test_no_option_leaves_every_section_as_it_is(experiment):
    for arguments in ([], ["--data.batch", str(experiment.data.batch)]):
        same = settings.override(experiment, arguments)
        for name in sections():
            assert getattr(same, name) is getattr(experiment, name)


def test_the_students_are_no_fields(experiment):
    with pytest.raises(InputError, match=r"--students\.dull: unknown"):
        settings.override(experiment, ["--students.dull", "tiny"])


def test_students_of_another_family_bring_its_settings_for_tracking(experiment):
    same = settings.with_students(experiment, ["dull=mini"])
    assert same.tracking == experiment.tracking
    other = settings.with_students(experiment, ["dull=tiny-siamrpn"])
    assert type(other.tracking).__name__ == "SiamRPNTracking"


def test_an_old_name_whose_term_is_not_there_says_so(experiment):
    with pytest.raises(InputError, match=r"--distill\.gt\.weight, of a term .* lacks"):
        settings.override(experiment, ["--distill.ground_truth", "0.7"])


@pytest.mark.parametrize("name", settings.packaged())
def test_every_new_name_is_an_option_or_said_to_be_lacking(name):
    found = settings.load_experiment(name)
    known = {f.name for f in fields_of(settings.by_section(found))}
    for old, new in settings.RENAMED.items():
        with pytest.raises(InputError) as error:
            settings.override(found, [f"--{old}", "1"])
        named = set(re.findall(r"--([\w.]+)", new))
        assert ("lacks" in str(error.value)) == (not named <= known)


def test_an_old_name_in_a_configuration_is_told_the_new_one(tmp_path):
    path = tmp_path / "old.py"
    path.write_text(
        "from dst_jax.distill import DistillConfig\n"
        "def experiment():\n    return DistillConfig(temperature=2.0)\n"
    )
    with pytest.raises(InputError, match=r"line 3: .*is now --distill\.ts\.temp"):
        settings.load_experiment(str(path))


def test_config_show_has_the_seed(capsys):
    assert main(["config", "show", "demo_students"]) == 0
    assert "seed 0; --seed N" in capsys.readouterr().out
