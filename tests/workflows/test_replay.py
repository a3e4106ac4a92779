"""A run that diverged tells where, and a sound one that it did not."""

import dataclasses
import io

import pytest
from rich.console import Console

from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import LoopConfig, OptimConfig, saved_steps
from dst_jax.workflows.replay import phase_at, replay_run
from dst_jax.workflows.train import run_training
from dst_jax.workflows.workdir import hold
from tests import networks, objectives

pytestmark = pytest.mark.optax

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Four steps of plain training of the tiny teacher, a checkpoint at each."""
    folder = tmp_path_factory.mktemp("data") / "train"
    config = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(folder, config, seed=0)
    return Experiment(
        students={"teacher": networks.TEACHER},
        data=DataConfig(
            sources=(f"got10k:{folder}",), batch=4, validation_share=0.34, threads=0
        ),
        augment=AugmentConfig(),
        **objectives.row(objectives.TINY, "NOKD")._asdict(),
        optim=OptimConfig(epochs=2.0, pairs_per_epoch=8, learning_rate=1e-2),
        loop=LoopConfig(log_every=1, checkpoint_every=1),
    )


def said(experiment, workdir):
    out = io.StringIO()
    replay_run(experiment, workdir, console=Console(file=out, width=200))
    return out.getvalue()


def test_step_term_student_pairs_and_layer_are_named(experiment, tmp_path):
    """Weights of some 1e18 have an output whose squares float32 does not hold."""
    rates = {"learning_rate": 1e18, "final_learning_rate": 1e18, "clip_norm": 1e30}
    optim = dataclasses.replace(experiment.optim, **rates)
    wild = dataclasses.replace(experiment, optim=optim)
    with pytest.raises(InputError, match=r"loss is .* at step 2; .*--replay says"):
        run_training(wild, tmp_path / "run", console=QUIET)
    assert saved_steps(tmp_path / "run" / "checkpoints") == [1]
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    text = said(wild, tmp_path / "run")
    assert "repeats what follows step 1; nothing is saved" in text
    assert "step 2: not finite: loss, loss/teacher/gt" in text
    # The second batch of four.
    assert "its pairs: 4, 5, 6, 7" in text
    assert "layer backbone/conv1" in text and "dst_jax/ops/channels.py, line" in text
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert after == before


def test_a_run_that_still_goes_on_is_left_alone(experiment, tmp_path):
    """Opening its checkpoints would sweep away the one that it is writing."""
    run_training(experiment, tmp_path / "run", console=QUIET)
    writing = tmp_path / "run" / "checkpoints" / "5.orbax-checkpoint-tmp-1"
    writing.mkdir()
    with hold(tmp_path / "run"), pytest.raises(InputError, match="is using it"):
        said(experiment, tmp_path / "run")
    assert writing.is_dir()


def test_the_phase_of_a_step_is_the_last_that_has_begun(experiment):
    """A part thaws with the second of two epochs, at step 2 of 4."""
    parts = (("backbone/conv1", 1.0, 1.0),)
    optim = dataclasses.replace(experiment.optim, parts=parts)
    thawing = dataclasses.replace(experiment, optim=optim)
    assert [phase_at(thawing, step).first for step in range(4)] == [0, 0, 2, 2]


def test_a_sound_run_says_so(experiment, tmp_path):
    assert "all numbers are finite up to the run's end" in said(experiment, tmp_path)
