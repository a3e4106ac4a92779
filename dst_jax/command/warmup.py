"""The verb that compiles what a training will run."""

import dataclasses
from typing import Annotated

from tyro.conf import Positional

from dst_jax.command.kinds import (
    CONFIG,
    Coordinator,
    OnPod,
    Path,
    Processes,
    ProcessId,
    Seed,
    SkipBad,
    Sources,
    Students,
    optional,
)


@dataclasses.dataclass(frozen=True)
class Warmup:
    """Compile all programs of a training and keep them, so that it begins at once.

    Give it what `dst-jax train CONFIG` gets, or with --teacher what `dst-jax distill
    CONFIG` gets, but for weights to start from: they make no difference. It reads the
    data, takes one step of each phase and validates, and writes nothing but programs.
    Those are found again with the same configuration, seed, versions and devices.

    Example: dst-jax warmup siamfc_dst --teacher BUNDLE got10k:DIR
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[
        Path | None, optional("BUNDLE", "the frozen teacher; row NOKD if none")
    ] = None
    row: Annotated[str | None, optional("ROW", "as of dst-jax distill")] = None
    student: Students = ()
    sources: Sources = ()
    seed: Seed = None
    skip_bad: SkipBad = False
    coordinator: Coordinator = None
    processes: Processes = None
    process_id: ProcessId = None
    pod: OnPod = False
