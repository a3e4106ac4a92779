"""Calls the workflows of the verbs that train, and resolves what they train."""

import dataclasses
import typing
from typing import Any

from rich.console import Console

from dst_jax.command.data_verbs import Pack
from dst_jax.command.duration import deadline_of
from dst_jax.command.kinds import options
from dst_jax.command.verbs import Ablate, Distill, Search, Train
from dst_jax.command.warmup import Warmup
from dst_jax.workflows.printing import say

if typing.TYPE_CHECKING:
    from dst_jax.experiment import Experiment


def run_train(
    verb: Train | Distill | Warmup, rest: list[str], console: Console
) -> None:
    """Trains, or repeats or probes a training, or compiles what it will run.

    Args:
      verb: The verb.
      rest: Words that are fields of the configuration.
      console: Console for messages.
    """
    if isinstance(verb, Warmup):
        _warm_up(verb, rest, console)
        return
    deadline = deadline_of(verb.time_limit)
    from dst_jax.train import this_pod
    from dst_jax.workflows.compilations import counted
    from dst_jax.workflows.tracing import profiling
    from dst_jax.workflows.train import print_trained, run_training

    teacher, row = None, "NOKD"
    if isinstance(verb, Distill):
        teacher, row = verb.teacher, verb.row
    experiment = _experiment(verb, row, rest, console)
    networks = {"teacher": teacher, **_start_of(verb, experiment)}
    if isinstance(verb, Distill) and verb.probe:
        from dst_jax.workflows.probe import probe_terms

        probe_terms(experiment, **networks, deadline=deadline, console=console)
        return
    if verb.replay:
        from dst_jax.workflows.replay import replay_run

        replay_run(experiment, verb.workdir, **networks, console=console)
        return
    with counted() as compiled, profiling(verb.profile):
        trained = run_training(
            experiment,
            verb.workdir,
            **networks,
            verb=f"dst-jax {type(verb).__name__.lower()}",
            deadline=deadline,
            console=console,
        )
    if this_pod().writes:
        print_trained(trained, console)
        say(console, compiled.line)


def overridden(
    experiment: "Experiment",
    verb: Train | Distill | Warmup | Search | Ablate | Pack,
    rest: list[str],
    console: Console,
) -> "Experiment":
    """Returns the experiment with the fields and options of the command line.

    Args:
      experiment: The configuration.
      verb: The verb.
      rest: Words that are fields of the configuration.
      console: Console for a note on fields that are not used.
    """
    from dst_jax.command import settings

    experiment, note = settings.for_sources(experiment, verb.sources, rest)
    if note:
        say(console, note)
    experiment = settings.override(experiment, rest, also=options(verb))
    if verb.skip_bad:
        data = dataclasses.replace(experiment.data, skip_bad=True)
        experiment = dataclasses.replace(experiment, data=data)
    if isinstance(verb, Ablate | Pack) or verb.seed is None:
        return experiment
    return dataclasses.replace(experiment, seed=verb.seed)


def _experiment(
    verb: Train | Distill | Warmup, row: str | None, rest: list[str], console: Console
) -> "Experiment":
    """Returns the experiment that a verb trains, with a row's terms if one is given."""
    from dst_jax.command import settings
    from dst_jax.distill import with_row

    experiment = settings.load_experiment(verb.config)
    if row is not None:
        distill = with_row(experiment.distill, row)
        experiment = dataclasses.replace(experiment, distill=distill)
    experiment = settings.with_students(experiment, verb.student)
    return overridden(experiment, verb, rest, console)


def _warm_up(verb: Warmup, rest: list[str], console: Console) -> None:
    from dst_jax.workflows.warmup import warm_up

    row = verb.row or (None if verb.teacher else "NOKD")
    experiment = _experiment(verb, row, rest, console)
    warm_up(experiment, teacher=verb.teacher, console=console)


def _start_of(verb: Train | Distill, experiment: "Experiment") -> dict[str, Any]:
    """Returns the bundles that students begin with, as `run_training` takes them."""
    from dst_jax.command.settings import parse_bundles

    given = {"--init": verb.init, "--backbone": verb.backbone}
    init, backbones = (
        parse_bundles(choices, experiment.students, option=option)
        for option, choices in given.items()
    )
    if isinstance(verb, Distill) and verb.init_from_teacher:
        whole = dict.fromkeys(experiment.students, verb.teacher)
        init = {n: path for n, path in whole.items() if n not in backbones} | init
    return {"init": init, "backbones": backbones}
