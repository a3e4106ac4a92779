"""Gathers the parts of a training run: data, step, validation."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from dst_jax.arch import TrackerSpec
from dst_jax.bundle import Bundle
from dst_jax.data.pipeline import PatchSpec, fixed_batches, train_batches
from dst_jax.data.sequence import Sequence
from dst_jax.distill import init_adapters, make_objective
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.ops.kernels import kernels_for
from dst_jax.train import (
    AXIS_NAME,
    Constants,
    Crops,
    Later,
    Phase,
    Run,
    TrainState,
    TrainStep,
    data_parallel,
    device_set,
    forget_momentum,
    gathering,
    make_optimizer,
    make_phases,
    make_train_step,
    make_validate,
    on_every_device,
)
from dst_jax.typing import Params
from dst_jax.workflows.export import Made
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.training_data import patch_spec, widest_input
from dst_jax.workflows.warm_start import Start

VALIDATION_PAIRS = 256


class Given(NamedTuple):
    """What a run computes from.

    Attributes:
      experiment: The configuration.
      teacher: The frozen teacher, or None.
      start: Bundles that students begin with.
      train_set: Sequences to train on.
      validation_set: Held-out sequences.
      config: What identifies the run, as JSON values.
      card: How it is made, for its bundles.
    """

    experiment: Experiment
    teacher: Bundle | None
    start: Start
    train_set: tuple[Sequence, ...]
    validation_set: tuple[Sequence, ...]
    config: Mapping[str, Any]
    card: Mapping[str, Any]

    @property
    def made(self) -> Made:
        """Returns what the bundles say besides their weights."""
        card = {**self.card, "config": self.config}
        experiment = self.experiment
        students, batch = experiment.students, experiment.data.batch
        return Made(students, experiment.tracking, batch, card)


def first_adapters(
    experiment: Experiment, teacher: TrackerSpec | None
) -> dict[str, Params]:
    """Returns the parameters of terms by student before the first step.

    Args:
      experiment: The configuration.
      teacher: The frozen teacher, or None.
    """
    key = jax.random.key(experiment.seed)
    return init_adapters(key, teacher, experiment.students, experiment.distill)


def make_run(
    given: Given, step: int, console: Console, *, validates: bool = True
) -> Run:
    """Returns the parts of a run that follow from its configuration and step.

    Args:
      given: What the run computes from.
      step: Step at which it begins or resumes.
      console: Console that says what is waited for.
      validates: Whether the run reads held-out pairs and validates on them.
    """
    experiment, teacher = given.experiment, given.teacher
    batch, seen = experiment.data.batch, teacher.spec if teacher else None
    patch = patch_spec(experiment, teacher=seen)
    constants = Constants(dict(teacher.variables) if teacher else {})
    constants = on_every_device(constants)
    position: Any = {
        "seed": experiment.seed,
        "start_step": step,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }
    steps = _steps(experiment, teacher)
    if experiment.data.cache == "device":
        with waiting(console, "reading all patches"):
            held = device_set(given.train_set, experiment.data, patch, **position)
        batches, constants = held.batches, constants._replace(patches=held.patches)
        steps = [one._replace(step=gathering(one.step)) for one in steps]
    else:
        batches = train_batches(given.train_set, experiment.data, patch, **position)
    validate = None
    if validates:
        with waiting(console, "reading held-out pairs"):
            validate = _validation(experiment, teacher, given.validation_set, patch)
    fast = kernels_for(*experiment.students.values())
    first, *later = [
        one._replace(step=data_parallel(one.step, kernels=fast)) for one in steps
    ]
    return Run(
        step=first.step,
        constants=constants,
        batches=batches,
        validate=validate,
        total_steps=experiment.optim.total_steps(batch),
        steps_per_epoch=experiment.optim.steps_per_epoch(batch),
        batch=batch,
        later=later,
    )


def _steps(experiment: Experiment, teacher: Bundle | None) -> list[Later]:
    """Returns the steps of all phases of a run, not mapped over devices yet."""
    optim, batch = experiment.optim, experiment.data.batch
    tx = make_optimizer(optim, total_steps=optim.total_steps(batch))

    def begin(state: TrainState, phase: Phase) -> TrainState:
        if optim.on_thaw == "keep":
            return state
        return forget_momentum(state, tx, phase.thawed)

    return [
        Later(
            phase.first,
            phase_step(experiment, teacher.spec if teacher else None, phase),
            functools.partial(begin, phase=phase),
        )
        for phase in make_phases(optim, experiment.students, batch=batch)
    ]


def phase_step(
    experiment: Experiment,
    teacher: TrackerSpec | None,
    phase: Phase,
    *,
    axis_name: str | None = AXIS_NAME,
) -> TrainStep:
    """Returns the step of a phase of a run, neither compiled nor mapped over devices.

    Args:
      experiment: The configuration.
      teacher: The frozen teacher's architecture, or None.
      phase: The phase.
      axis_name: Device axis over which the batch is split; None for one device.
    """
    optim, batch = experiment.optim, experiment.data.batch
    objective = make_objective(
        teacher,
        experiment.students,
        experiment.setting,
        axis_name=axis_name,
        frozen=phase.frozen,
    )
    input = widest_input(experiment, teacher=teacher)
    return make_train_step(
        objective,
        make_optimizer(optim, total_steps=optim.total_steps(batch)),
        Crops(input, experiment.augment, experiment.seed),
        steps_per_epoch=optim.steps_per_epoch(batch),
        axis_name=axis_name,
        phase=phase,
        skip_above=optim.skip_above,
        microbatches=optim.microbatches,
    )


def _validation(
    experiment: Experiment,
    teacher: Bundle | None,
    validation_set: tuple[Sequence, ...],
    patch: PatchSpec,
) -> Callable[..., dict[str, float]] | None:
    """Returns the validation of students, which also reports the teacher's values.

    It is None without held-out sequences.
    """
    if not validation_set:
        return None
    batches = fixed_batches(
        validation_set,
        experiment.data,
        patch,
        seed=experiment.seed,
        examples=VALIDATION_PAIRS,
    )
    kinds: Any = {
        "setting": experiment.setting,
        "windows": experiment.augment,
        "cut_for": widest_input(experiment, teacher=teacher.spec if teacher else None),
    }
    validate = make_validate(experiment.students, batches, **kinds)
    fixed: dict[str, float] = {}
    if teacher is not None:
        of_teacher = make_validate({"teacher": teacher.spec}, batches, **kinds)
        fixed = of_teacher({"teacher": teacher.variables})
        if broken := [name for name, loss in fixed.items() if not np.isfinite(loss)]:
            raise InputError(
                f"--teacher: {broken[0]} is {fixed[broken[0]]} on the held-out pairs; "
                "give a trained teacher."
            )
    return lambda variables: validate(variables) | fixed
