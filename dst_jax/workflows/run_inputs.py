"""Reads what a run computes from, and checks that it fits together."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle
from dst_jax.distill import check_fit
from dst_jax.experiment import Experiment, experiment_to_json, without
from dst_jax.ops.kernels import kernels_for
from dst_jax.track.procedure import require_matching
from dst_jax.train import check_batch, make_phases
from dst_jax.workflows.printing import say
from dst_jax.workflows.rate_rule import rate_rule
from dst_jax.workflows.run_parts import Given
from dst_jax.workflows.training_data import (
    data_hash,
    load_data,
    patch_spec,
    require_memory,
    require_packs,
)
from dst_jax.workflows.versions import versions
from dst_jax.workflows.warm_start import Start, load_start


class Networks(NamedTuple):
    """The bundles of a run.

    Attributes:
      teacher: The frozen teacher, or None.
      start: Those that students begin with.
    """

    teacher: Bundle | None
    start: Start


def read_networks(
    experiment: Experiment,
    teacher: pathlib.Path | None,
    init: Mapping[str, pathlib.Path],
    backbones: Mapping[str, pathlib.Path],
) -> Networks:
    """Reads the bundles of a run, and checks that they and its settings fit together.

    Args:
      experiment: The configuration.
      teacher: Bundle of the frozen teacher, or None.
      init: Bundles to begin from, by student.
      backbones: Bundles whose backbones students begin with, by student.

    Raises:
      InputError: If they do not.
    """
    microbatches = experiment.optim.microbatches
    check_batch(experiment.data.batch, microbatches=microbatches)
    # Parts that name nothing are told before the data are read.
    make_phases(experiment.optim, experiment.students, batch=experiment.data.batch)
    for spec in experiment.students.values():
        require_matching(spec, experiment.tracking)
    bundle = load_bundle(teacher) if teacher is not None else None
    spec = bundle.spec if bundle else None
    check_fit(spec, experiment.students, experiment.distill)
    patch = patch_spec(experiment, teacher=spec)
    require_memory(experiment.data, patch)
    require_packs(experiment.data, patch)
    return Networks(bundle, load_start(experiment.students, init, backbones))


def gather(
    experiment: Experiment, networks: Networks, *, verb: str, console: Console
) -> Given:
    """Reads the data of a run, and returns what it computes from.

    Args:
      experiment: The configuration.
      networks: Its bundles.
      verb: Name of the command for the cards of the bundles.
      console: Console for messages.
    """
    teacher, start = networks
    card = {
        "made_by": verb,
        "versions": versions(),
        "seed": experiment.seed,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "kernels": kernels_for(*experiment.students.values()).kind,
    }
    if rule := rate_rule(experiment):
        card["rate_rule"] = rule
        say(console, rule)
    train_set, validation_set = load_data(experiment, console)
    config = {
        "experiment": without(experiment_to_json(experiment), "search", "policy"),
        "teacher": teacher.weights_sha256 if teacher else None,
        **start.identity,
        "data": data_hash(train_set),
    }
    return Given(experiment, teacher, start, train_set, validation_set, config, card)
