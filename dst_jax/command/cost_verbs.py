"""The verbs that say what networks and trainings cost."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from dst_jax.command.kinds import CONFIG, Flag, Students, optional, options


@dataclasses.dataclass(frozen=True)
class Info:
    """Print layers, sizes and costs of an architecture or a bundle."""

    name: Annotated[
        Positional[str],
        arg(metavar="NAME", help="name in the zoo, SPEC.json, or a bundle's folder"),
    ]
    kernels: Annotated[
        Flag[bool], arg(help="show what computes each layer on this machine, how fast")
    ] = False
    batch: Annotated[int, arg(help="images that --kernels computes at a time")] = 8


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Say what a training costs before it is run: operations, memory, pairs a second.

    Compiles the step of a configuration for this machine, and counts. Any field of the
    configuration can be given as --section.field VALUE, such as --data.batch 64.

    Example: dst-jax estimate siamrpn_dst --teacher siamrpn-big --devices 8
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[
        str | None,
        optional("NAME", "in the zoo, SPEC.json or a bundle; row NOKD if none"),
    ] = None
    row: Annotated[str | None, optional("ROW", "as of dst-jax distill")] = None
    student: Students = ()
    devices: Annotated[int, arg(help="over which the batch is split")] = 1


def run_estimate(verb: Estimate, rest: Sequence[str], console: Console) -> None:
    """Says what a training costs.

    Args:
      verb: The verb.
      rest: Words that are fields of the configuration.
      console: Console to print on.
    """
    from dst_jax.command import settings
    from dst_jax.distill import with_row
    from dst_jax.workflows.estimate import print_estimate
    from dst_jax.workflows.info import architecture

    experiment = settings.load_experiment(verb.config)
    row = verb.row or (None if verb.teacher else "NOKD")
    if row is not None:
        distill = with_row(experiment.distill, row)
        experiment = dataclasses.replace(experiment, distill=distill)
    experiment = settings.with_students(experiment, verb.student)
    experiment = settings.override(experiment, rest, also=options(verb))
    teacher = architecture(verb.teacher)[0] if verb.teacher else None
    print_estimate(experiment, teacher, console, devices=verb.devices)
