"""Bounds of an experiment: far above what anyone uses, told at once and by field."""

import dataclasses
import pathlib

import pytest
from rich.console import Console

from dst_jax.data.patches import PatchSpec, RolePatch
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import LabelConfig
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment, experiment_to_json
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import OptimConfig
from dst_jax.workflows.ablation.plan import Choice
from dst_jax.workflows.demo import run_demo
from dst_jax.workflows.training_data import require_memory
from tests import networks

FOLDER = pathlib.Path("runs/that/no/test/makes")
DATA = DataConfig(sources=("got10k:x", "otb:y"))


def made(**changes):
    return dataclasses.replace(Experiment(networks.STUDENTS, DATA), **changes)


@pytest.mark.parametrize("seed", [2**32, 2**63, 10**300, -1])
def test_a_seed_has_32_bits(seed):
    assert made(seed=2**32 - 1).seed == 2**32 - 1
    message = r"must lie in \[0, 4,294,967,295\]"
    with pytest.raises(InputError, match=rf"^Experiment.seed=.*{message}"):
        made(seed=seed)
    with pytest.raises(InputError, match=rf"^--seeds=.*{message}"):
        Choice(seeds=(0, seed))
    with pytest.raises(InputError, match=rf"^--seed=.*{message}"):
        run_demo(made(), made(), workdir=FOLDER, seed=seed, console=Console())
    assert not FOLDER.exists()


@pytest.mark.parametrize(
    ("field", "largest", "refused"),
    [
        ("batch", 65_536, 10**7),
        ("threads", 1024, 10**5),
        ("prefetch", 1024, 10**9),
        ("cache_mb", 2**22, 10**30),
        ("max_gap", 10**6, 10**30),
        ("max_gaps", (10**6, 1), (1, 10**30)),
        ("weights", (1e-9, 1e9), (1.0, 1e308)),
        ("weights", (1.0, 1.0), (1.0, 1e-320)),
    ],
)
def test_data_settings_have_upper_bounds(field, largest, refused):
    dataclasses.replace(DATA, **{field: largest})
    with pytest.raises(InputError, match=rf"(Data|Pair)Config\.{field}=.*1") as told:
        dataclasses.replace(DATA, **{field: refused})
    assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    ("field", "largest", "refused"),
    [
        ("epochs", 1e6, 1e308),
        ("pairs_per_epoch", 10**9, 10**30),
        ("learning_rate", 1e30, 1e308),
        ("final_learning_rate", 1e-30, 1e-320),
        ("weight_decay", 1e30, 1e40),
        ("clip_norm", 1e30, 1e40),
    ],
)
def test_optimizer_settings_have_bounds(field, largest, refused):
    OptimConfig(**{field: largest})
    with pytest.raises(InputError, match=rf"OptimConfig\.{field}="):
        OptimConfig(**{field: refused})


def test_pairs_are_numbered_by_32_bits():
    # 2**31 - 1 pairs are the most; 2**26 steps of 32 pairs are one more.
    data = dataclasses.replace(DATA, batch=32)
    most = OptimConfig(epochs=2**6 - 2**-20, pairs_per_epoch=2**25)
    assert made(data=data, optim=most).optim.total_steps(32) == 2**26 - 1
    more = OptimConfig(epochs=64.0, pairs_per_epoch=2**25)
    with pytest.raises(InputError, match=r"are 2,147,483,648 pairs in all"):
        made(data=data, optim=more)


def test_batches_that_no_machine_holds_are_refused():
    zoom = networks.TEACHER.input.zooms.template
    patch = PatchSpec(RolePatch(150, zoom), RolePatch(300, zoom))
    require_memory(DATA, patch)
    wide = dataclasses.replace(DATA, batch=65_536, prefetch=1024)
    # 3 * (150**2 + 300**2) bytes a pair, 65,536 pairs, 1,025 batches.
    with pytest.raises(InputError, match=r"take 22,671 GB"):
        require_memory(wide, patch)


def test_fields_that_came_later_do_not_change_what_older_runs_are():
    values = experiment_to_json(made())
    assert set(values["labels"]) == {"radius_px", "assign"}
    assert "jitter" not in values["augment"]
    assert set(values["distill"]["terms"]) == {"ah", "ts", "str", "ks"}
    labels = LabelConfig(label_centre="target", label_rounding="floor")
    new = experiment_to_json(made(labels=labels, augment=AugmentConfig(jitter=0.05)))
    found = new["labels"]["label_centre"], new["labels"]["label_rounding"]
    assert (*found, new["augment"]["jitter"]) == ("target", "floor", 0.05)
