"""Small packs for the tests: synthetic video at the tiny networks' scale."""

import dataclasses
import shutil

from rich.console import Console

from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.experiment import Experiment
from dst_jax.workflows.pack import PackConfig, pack_data
from dst_jax.workflows.training_data import patch_spec
from tests import networks

CONSOLE = Console(quiet=True)
EXPERIMENT = Experiment(
    students={"student": networks.TEACHER}, data=DataConfig(sources=("unread:x",))
)
SPEC = patch_spec(EXPERIMENT)
PACKING = PackConfig(workers=2)
VIDEO = SyntheticConfig(videos=5, length=6, height=64, width=80)


def cropped_by(area):
    """The same experiment with a student that crops by area."""
    input = dataclasses.replace(networks.TEACHER.input, area=area)
    student = dataclasses.replace(networks.TEACHER, input=input)
    return dataclasses.replace(EXPERIMENT, students={"student": student})


def write_raw(folder, *, seed=0, categories=()):
    """A synthetic data set; returns it as a source."""
    write_synthetic(folder, VIDEO, seed=seed)
    for number, category in enumerate(categories):
        meta = folder / f"{number:06d}" / "meta_info.ini"
        meta.write_text(meta.read_text() + f"object_class: {category}\n")
    return f"got10k:{folder}"


def pack(source, out, *, experiment=EXPERIMENT, config=PACKING):
    """Packs a source; returns the pack as a source."""
    data = dataclasses.replace(experiment.data, sources=(source,))
    experiment = dataclasses.replace(experiment, data=data)
    pack_data(experiment, out, config=config, console=CONSOLE)
    return f"packed:{out}"


def copy_of(source, folder):
    """A pack to damage."""
    shutil.copytree(source.removeprefix("packed:"), folder)
    return f"packed:{folder}"
