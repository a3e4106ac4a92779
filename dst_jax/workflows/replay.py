"""`--replay` finds the step, the term and the layer at which a run diverged."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from rich.console import Console

from dst_jax.experiment import Experiment, config_hash
from dst_jax.train import (
    Checkpoints,
    Constants,
    Phase,
    Snapshot,
    TrainState,
    first_best,
    make_phases,
    saved_steps,
)
from dst_jax.train.snapshot import not_finite
from dst_jax.train.window import named
from dst_jax.typing import Array
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import training_bar
from dst_jax.workflows.run_inputs import gather, read_networks
from dst_jax.workflows.run_parts import Given, make_run, phase_step
from dst_jax.workflows.train import first_state
from dst_jax.workflows.workdir import CHECKPOINTS, hold

_PACKAGE = str(pathlib.Path(__file__).parents[1])


class Divergence(NamedTuple):
    """The first step of which a number is not finite.

    Attributes:
      step: Its number, from 1, as in the log.
      names: What is not finite: losses by student and term, gradients by student, or an
        array of the state.
      pairs: Numbers of the pairs of the step.
      state: The state before it, on the host.
      batch: Its batch.
    """

    step: int
    names: list[str]
    pairs: list[int]
    state: TrainState
    batch: Mapping[str, Array]


def replay_run(
    experiment: Experiment,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path | None = None,
    init: Mapping[str, pathlib.Path] | None = None,
    backbones: Mapping[str, pathlib.Path] | None = None,
    console: Console,
) -> None:
    """Repeats a run from its last checkpoint until a number is not finite.

    Says at which step that is, with which pairs, and of which student and term; then
    computes this step operation by operation, and names the layer and the line of the
    first number that is not. Nothing is saved.

    Args:
      experiment: The configuration of the run.
      workdir: Its folder.
      teacher: Bundle of the frozen teacher; needed if a term reads the teacher.
      init: Bundles that it began from, by student.
      backbones: Bundles whose backbones students began with, by student.
      console: Console for the bar and the lines.

    Raises:
      InputError: If configuration, data, teacher and workdir do not fit together, or
        the run still goes on.
    """
    networks = read_networks(experiment, teacher, init or {}, backbones or {})
    given = gather(experiment, networks, verb="dst-jax --replay", console=console)
    state = _last_state(given, workdir)
    began = int(state.step)
    say(console, f"{workdir}: repeats what follows step {began}; nothing is saved")
    found = _first_divergence(given, state, console)
    if found is None:
        say(console, "all numbers are finite up to the run's end")
        return
    say(
        console,
        f"step {found.step}: not finite: {', '.join(found.names)}",
        f"its pairs: {', '.join(map(str, found.pairs))}",
        _place(given, found),
    )


def _last_state(given: Given, workdir: pathlib.Path) -> TrainState:
    """Returns the state of the last checkpoint, or the first one if there is none."""
    state = first_state(given)
    if not saved_steps(workdir / CHECKPOINTS):
        return state
    # A run that still goes on would lose the checkpoint that it is writing.
    with hold(workdir):
        checkpoints = Checkpoints(
            workdir / CHECKPOINTS, config_hash=config_hash(given.config)
        )
        with contextlib.closing(checkpoints):
            restored = checkpoints.restore(Snapshot(state, first_best(state)))
    assert restored is not None
    return restored.state


def _first_divergence(
    given: Given, state: TrainState, console: Console
) -> Divergence | None:
    """Takes the steps that follow, and returns the first that is not finite."""
    began = int(state.step)
    run = make_run(given, began, console, validates=False)
    with training_bar(console, run.total_steps, began) as bar:
        for number in range(began, run.total_steps):
            batch, step = next(run.batches), run.step
            for phase in run.later:
                step = phase.step if number >= phase.first else step
                state = phase.begin(state) if number == phase.first else state
            # The step takes the arrays of its state for its own.
            before = jax.device_get(state)
            state, metrics = step(state, run.constants, batch)
            values = {n: float(v) for n, v in named(jax.device_get(metrics)).items()}
            names = [name for name, value in values.items() if not np.isfinite(value)]
            if not names and (name := not_finite(state)):
                names = [name]
            if names:
                pairs = np.asarray(batch["index"]).tolist()
                return Divergence(number + 1, names, pairs, before, batch)
            bar.tick(number + 1, {})
    return None


def _place(given: Given, found: Divergence) -> str:
    """Returns a line that says where the first number is made that is not finite."""
    teacher = given.teacher
    phase = phase_at(given.experiment, found.step - 1)
    spec = teacher.spec if teacher else None
    step = phase_step(given.experiment, spec, phase, axis_name=None)
    constants = Constants(dict(teacher.variables) if teacher else {})
    with jax.debug_nans(True), jax.debug_infs(True), jax.disable_jit():
        try:
            step(found.state, constants, found.batch)
        except FloatingPointError as error:
            frames = list(_frames(error.__traceback__))
            what = str(error).split(".")[0]
            return f"first: {what}; {_layer(frames)}{_line(frames)}"
    return (
        "computed operation by operation on one device, all numbers are finite: the "
        "compiled step rounds otherwise"
    )


def phase_at(experiment: Experiment, step: int) -> Phase:
    """Returns the phase of a step of a run.

    Args:
      experiment: The configuration.
      step: The step, counted from 0.
    """
    phases = make_phases(
        experiment.optim, experiment.students, batch=experiment.data.batch
    )
    return [phase for phase in phases if phase.first <= step][-1]


def _frames(trace: TracebackType | None) -> Iterator[Any]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _layer(frames: list[Any]) -> str:
    """Returns the path of the innermost layer that was being computed, if any was."""
    for frame, _ in reversed(frames):
        layer = frame.f_locals.get("self")
        if isinstance(layer, nn.Module) and layer.scope is not None:
            return f"layer {'/'.join(layer.path) or type(layer).__name__}, "
    return ""


def _line(frames: list[Any]) -> str:
    """Returns the innermost line of this package."""
    for frame, line in reversed(frames):
        file = frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            short = pathlib.Path(file).relative_to(pathlib.Path(_PACKAGE).parent)
            return f"{short}, line {line}, in {frame.f_code.co_name}"
    return "outside of this package"
