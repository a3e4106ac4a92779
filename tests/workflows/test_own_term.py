"""A term of one's own, from a configuration outside the project."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.command import settings
from dst_jax.command.main import main
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.distill import DistillConfig, Part, Parts, Task, Term, make_objective
from dst_jax.distill.config import check_term
from dst_jax.distill.identity import term_to_json
from dst_jax.errors import InputError
from dst_jax.models import variable_shapes
from dst_jax.ops.augment import centre_crops
from dst_jax.track import SiamFCTracking
from dst_jax.workflows.workdir import open_workdir
from tests import networks, objectives
from tests.train import setting as train_setting

TERM = '''
import dataclasses

import jax.numpy as jnp

from dst_jax.distill import Parts, Term, View, mean_over_examples


@dataclasses.dataclass(frozen=True)
class Spread(Term):
    """The student's response varies as much as the teacher's.

    Attributes:
      weight: Factor on the term.
      power: Of the difference.
    """

    power: int = 2

    def __call__(self, view: View) -> Parts:
        own, aim = (x.answer.response.std((1, 2)) for x in (view.student, view.teacher))
        difference = jnp.abs(own - aim) ** self.power
        return Parts([mean_over_examples(difference, view.labels.mask)])
'''
CONFIG = (
    TERM
    + """

from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, Hard
from dst_jax.experiment import Experiment
from dst_jax.train import LoopConfig, OptimConfig
from tests import networks, objectives
from tests.train import setting as train_setting


def experiment():
    return Experiment(
        students={"dull": networks.STUDENTS["dull"]},
        data=DataConfig(("got10k:data",), batch=4, validation_share=0.34, threads=0),
        distill=DistillConfig({"ah": Hard(weight=1.0), "mine": Spread(weight=0.5)}),
        optim=OptimConfig(epochs=2.0, pairs_per_epoch=8, learning_rate=1e-2),
        loop=LoopConfig(log_every=1, checkpoint_every=1),
    )
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, a teacher and a configuration, far from the project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    video = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(folder / "data", video, seed=0)
    variables = networks.teacher_variables()
    bundle = Bundle(networks.TEACHER, variables, SiamFCTracking(), {})
    save_bundle(bundle, folder / "teacher")
    (folder / "mine.py").write_text(CONFIG)
    return folder


def distill(folder, workdir, *more, config="mine.py"):
    """`dst-jax distill` on two CPU devices, in a process of its own."""
    root = pathlib.Path(__file__).parents[2]
    words = [config, "--teacher", "teacher", "--workdir", workdir, *more]
    return subprocess.run(
        [sys.executable, "-m", "dst_jax.command.main", "distill", *words],
        cwd=folder,
        env={
            **os.environ,
            "JAX_NUM_CPU_DEVICES": "2",
            "PYTHONPATH": str(root),
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def logged(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


def test_it_trains_on_two_devices_is_logged_and_resumes(folder):
    whole = distill(folder, "whole")
    assert whole.returncode == 0, whole.stderr
    rows = logged(folder / "whole")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        parts = row["loss/dull/ah"], row["loss/dull/mine"]
        assert all(part > 0 for part in parts)
        assert row["loss"] == pytest.approx(sum(parts), rel=1e-5)
    shutil.copytree(folder / "whole", folder / "cut")
    shutil.rmtree(folder / "cut" / "checkpoints" / "4")
    shutil.rmtree(folder / "cut" / "bundles")
    again = distill(folder, "cut")
    assert "goes on at step 3 of 4" in again.stdout
    one, two = (
        load_bundle(folder / run / "bundles" / "dull") for run in ("whole", "cut")
    )
    assert one.weights_sha256 == two.weights_sha256
    # The bundle is data: it names the class, and loading it imports nothing.
    stored = one.card["config"]["experiment"]["distill"]["terms"]["mine"]
    assert stored["class"].endswith("mine.Spread") and stored["power"] == 2


def test_the_bundle_is_read_where_the_term_is_not_known(folder, tmp_path):
    if not (folder / "whole" / "bundles").is_dir():
        distill(folder, "whole")
    shutil.copytree(folder / "whole" / "bundles" / "dull", tmp_path / "dull")
    assert main(["info", str(tmp_path / "dull")]) == 0


def test_a_changed_class_is_noticed_when_the_run_is_resumed(folder):
    if not (folder / "whole").is_dir():
        distill(folder, "whole")
    changed = CONFIG.replace("jnp.abs(own - aim)", "jnp.abs(own - 2.0 * aim)")
    assert changed != CONFIG
    (folder / "other").mkdir()
    (folder / "other" / "mine.py").write_text(changed)
    refused = distill(folder, "whole", config="other/mine.py")
    assert refused.returncode == 2
    assert "terms.mine.source_sha256" in refused.stderr


def test_a_misspelt_option_names_the_nearest(folder, capsys):
    words = ["--teacher", "t", "--workdir", "w", "--distill.mine.powre", "3"]
    assert main(["distill", str(folder / "mine.py"), *words]) == 2
    message = capsys.readouterr().err
    assert "did you mean --distill.mine.power?" in message
    assert message.count("\n") == 1


def test_its_options_are_overridden_and_explained(folder, capsys):
    experiment = settings.load_experiment(str(folder / "mine.py"))
    changed = settings.override(experiment, ["--distill.mine.power", "3"])
    assert changed.distill.terms["mine"].power == 3
    assert main(["config", "show", str(folder / "mine.py")]) == 0
    shown = capsys.readouterr().out
    assert "--distill.mine.power 2" in shown and "Of the difference." in shown


def test_a_notebooks_run_is_refused_by_the_command_line(tmp_path):
    # As a notebook stores it: the class lives in `__main__`.
    mine = {"class": "__main__.Spread", "weight": 0.5, "source_sha256": "0"}
    theirs = {"experiment": {"distill": {"terms": {"mine": mine}}}}
    with open_workdir(tmp_path / "run", theirs):
        (tmp_path / "run" / "checkpoints" / "1").mkdir(parents=True)
    ours = {"experiment": {"distill": {"terms": {}}}}
    with (
        pytest.raises(InputError, match="'mine', a class of a notebook") as error,
        open_workdir(tmp_path / "run", ours),
    ):
        pass
    assert "\n" not in str(error.value)
    # The notebook itself goes on.
    with open_workdir(tmp_path / "run", theirs):
        pass


@dataclasses.dataclass(frozen=True)
class Constant(Term):
    """Adds one value per student, whatever the networks say."""

    size: float = 1.0

    def __call__(self, view):
        value = jax.numpy.asarray(self.size)
        return Parts([Part(value, jax.numpy.ones(()))])

    def reads_teacher(self, student):
        return False


def test_a_class_without_the_decorator_is_refused():
    class Bare(Constant):
        size: float = 2.0

    with pytest.raises(InputError, match=r"decorate Bare with @dataclasses"):
        DistillConfig({"mine": Bare()})
    # Without the suite's own check of annotations.
    with pytest.raises(InputError, match="term 'mine' is a dict; give a frozen"):
        check_term("mine", {})
    with pytest.raises(InputError, match=r"Constant\.weight=-1"):
        DistillConfig({"mine": Constant(weight=-1.0)})
    with pytest.raises(InputError, match="none of terms, warmup_epochs"):
        DistillConfig({"warmup_epochs": Constant()})
    with pytest.raises(InputError, match="'my-term': a name is a word"):
        DistillConfig({"my-term": Constant()})


@dataclasses.dataclass(frozen=True)
class Talkative(Constant):
    """Logs under a name of its choice."""

    log: str = "gt"

    def __call__(self, view):
        parts, _ = super().__call__(view)
        return Parts(parts, {self.log: jax.numpy.zeros(())})


@pytest.mark.parametrize(
    "terms",
    [
        {"mine": Talkative()},
        {"mine": Talkative(log="x"), "other": Talkative(log="x")},
    ],
)
def test_a_log_under_a_taken_name_is_refused(terms):
    students = {"dull": networks.STUDENTS["dull"]}
    setting = objectives.TINY._replace(distill=DistillConfig(terms))
    objective = make_objective(None, students, setting)
    shapes = variable_shapes(students["dull"])
    variables = ({"dull": shapes[kind]} for kind in ("params", "batch_stats"))
    batch = train_setting.make_batch(0, sides=(31, 47))
    input = networks.TEACHER.input
    with pytest.raises(InputError, match="a name that is taken"):
        jax.eval_shape(
            lambda p, s: objective(
                *(p, s, {}),
                centre_crops(batch, input=input),
                epoch=jax.numpy.zeros(()),
                key=jax.random.key(0),
            ),
            *variables,
        )


def test_terms_of_the_package_carry_no_digest_and_ones_own_do():
    assert term_to_json(Task()) == {
        "class": "dst_jax.distill.terms.task.Task",
        "weight": 1.0,
    }
    own = term_to_json(Constant(size=3.0))
    assert (own["size"], len(own["source_sha256"])) == (3.0, 64)
    assert own["class"].endswith("test_own_term.Constant")


def test_a_class_whose_source_is_nowhere_is_refused():
    names = {"__name__": "nowhere"}
    exec(compile(TERM, "<typed in>", "exec"), names)
    with pytest.raises(InputError, match="Spread: its source cannot be read"):
        term_to_json(names["Spread"]())
