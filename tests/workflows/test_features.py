"""Runs with terms of features: the log, the bundles, a probe, a teacher of zeros."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.distill import DistillConfig, Pair, Point, Task
from dst_jax.experiment import Experiment
from dst_jax.track import SiamFCTracking
from dst_jax.train import LoopConfig, OptimConfig
from dst_jax.workflows.export import export_run
from dst_jax.workflows.probe import probe_terms
from dst_jax.workflows.train import run_training
from tests import networks

pytestmark = pytest.mark.optax
DULL = networks.STUDENTS["dull"]
DLF = DistillConfig({"gt": Task(), "point": Point(weight=0.01), "pair": Pair()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, a teacher, and one whose last map is zero everywhere."""
    folder = tmp_path_factory.mktemp("features")
    video = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(folder / "data", video, seed=0)
    variables = jax.tree.map(np.asarray, networks.teacher_variables())
    save_bundle(
        Bundle(networks.TEACHER, variables, SiamFCTracking(), {}), folder / "teacher"
    )
    conv = variables["params"]["backbone"]["conv3"]["conv"]
    variables["params"]["backbone"]["conv3"]["conv"] = jax.tree.map(np.zeros_like, conv)
    save_bundle(
        Bundle(networks.TEACHER, variables, SiamFCTracking(), {}), folder / "zeros"
    )
    return folder


@pytest.fixture(scope="module")
def experiment(folder):
    return Experiment(
        students={"dull": DULL},
        data=DataConfig(
            (f"got10k:{folder / 'data'}",), batch=4, validation_share=0.34, threads=0
        ),
        distill=DLF,
        # 24 steps, of which a probe takes the first 20.
        optim=OptimConfig(epochs=3.0, pairs_per_epoch=32, learning_rate=1e-3),
        loop=LoopConfig(log_every=20, checkpoint_every=24),
    )


def run(experiment, folder, workdir, *, teacher="teacher"):
    """A run and what it said."""
    console = Console(file=io.StringIO(), width=300)
    with jax.numpy_dtype_promotion("standard"):
        run_training(
            experiment, folder / workdir, teacher=folder / teacher, console=console
        )
    return folder / workdir, console.file.getvalue()


@pytest.fixture(scope="module")
def trained(folder, experiment):
    return run(experiment, folder, "dlf")


def rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


def test_the_log_has_the_share_of_each_term_and_both_norms(trained):
    for row in rows(trained[0]):
        terms = {name: row[f"loss/dull/{name}"] for name in DLF.terms}
        for name, value in terms.items():
            share = row[f"share/dull/{name}"]
            assert share == pytest.approx(value / sum(terms.values()), rel=1e-9)
            assert 0.0 < share < 1.0
        assert row["gradient_norm/dull"] > 0.0
        assert row["gradient_norm/dull/adapters"] > 0.0
    assert "all zero" not in trained[1]


def test_a_bundle_has_the_tensors_of_a_student_that_was_not_distilled(
    trained, folder, experiment
):
    plain = dataclasses.replace(
        experiment,
        distill=DistillConfig({"gt": Task()}),
        optim=dataclasses.replace(experiment.optim, epochs=0.25),
    )
    other, _ = run(plain, folder, "plain")
    for kind in ("dull", "dull-best"):
        one, two = (load_bundle(w / "bundles" / kind) for w in (trained[0], other))
        shapes = [jax.tree.map(np.shape, bundle.variables) for bundle in (one, two)]
        assert shapes[0] == shapes[1]
        assert one.card["sizes"] == two.card["sizes"]


def test_bundles_are_made_of_a_checkpoint_with_adapters(trained):
    weights = trained[0] / "bundles" / "dull" / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    export_run(trained[0], console=Console(quiet=True))
    assert weights.read_bytes() == before


CONFIG = """
from tests.workflows import test_features


def experiment():
    return test_features.PROBED
"""


def test_a_probe_names_the_weight_of_a_tenth_and_leaves_nothing(
    trained, folder, experiment, capsys, monkeypatch
):
    monkeypatch.setitem(globals(), "PROBED", experiment)
    (folder / "config.py").write_text(CONFIG)
    words = [str(folder / "config.py"), "--teacher", str(folder / "teacher")]
    workdir = folder / "probed"
    assert main(["distill", *words, "--workdir", str(workdir), "--probe"]) == 0
    said = capsys.readouterr().out
    first = rows(trained[0])[0]
    assert first["step"] == 20 and first["steps"] == 20
    task = first["gt/dull"]
    assert f"dull: loss on the labels {task:.4g}, mean of 20 steps" in said
    for name, term in DLF.terms.items():
        value = first[f"loss/dull/{name}"]
        # A term is linear in its weight.
        wanted = 0.1 * task / (value / term.weight)
        assert (
            f"{name}: {value:.4g} at weight {term.weight:g}, {value / task:.1%} of it; "
            f"one tenth at weight {wanted:.3g}\n"
        ) in said
    assert "nothing is changed or saved" in said
    assert not workdir.exists()


def test_a_probe_leaves_out_the_warm_up(folder, experiment):
    late = dataclasses.replace(
        experiment,
        distill=dataclasses.replace(DLF, warmup_epochs=2.0),
        optim=dataclasses.replace(experiment.optim, epochs=2.1, pairs_per_epoch=4),
    )
    console = Console(file=io.StringIO(), width=300)
    probe_terms(late, teacher=folder / "teacher", console=console)
    said = console.file.getvalue()
    assert "without the warm-up of 2 epochs" in said and "mean of 3 steps" in said
    assert said.count("one tenth at weight") == 3


def test_a_teacher_of_zeros_is_warned_of_at_the_first_step(folder, experiment):
    short = dataclasses.replace(
        experiment, optim=dataclasses.replace(experiment.optim, epochs=0.25)
    )
    _, said = run(short, folder, "of_zeros", teacher="zeros")
    for name in ("point", "pair"):
        line = f"student dull, term {name}: the teacher's features are all zero in 100%"
        assert said.count(line) == 1
