"""The training loop, which takes steps, reports, validates and saves checkpoints."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from dst_jax.errors import InputError, told_to_all
from dst_jax.train.deadline import TimeUp
from dst_jax.train.loop_config import LoopConfig
from dst_jax.train.pod import Ballot
from dst_jax.train.run import Run
from dst_jax.train.saver import Saver
from dst_jax.train.snapshot import Best, Snapshot, not_finite, student_variables
from dst_jax.train.state import TrainState
from dst_jax.train.step import StepMetrics
from dst_jax.train.stopping import Interrupted, stop_flag
from dst_jax.train.window import Window, named


def fit(snapshot: Snapshot, run: Run, config: LoopConfig) -> Snapshot:
    """Trains from the step of `snapshot` to `run.total_steps`.

    SIGINT, SIGTERM or SIGHUP ends the run after the current step, with a checkpoint,
    and so does the deadline. With several processes, it ends in all of them if one has
    got a signal; on accelerators that is a step later.

    Args:
      snapshot: State, best weights and open report at the beginning.
      run: The parts of the run.
      config: Settings for reports, validations and checkpoints.

    Returns:
      State and best weights at the end.

    Raises:
      InputError: If a value is not finite that is to be reported or saved.
      Interrupted: If a signal ended the run before its last step.
      TimeUp: If the deadline did.
    """
    state, best, before = snapshot
    step = int(state.step)
    window, ballot = Window(run.batch, before=before), Ballot(run.pod)
    report, phase = dict[str, float](), None
    run.notes("start")
    with stop_flag() as stopped, contextlib.closing(_saver(run, config)) as saver:
        run = run._replace(saver=saver)
        while step < run.total_steps:
            if begins := run.phase_of(step) != phase:
                run.enters(phase := run.phase_of(step))
            state, metrics, waited = _take_step(step, state, run)
            run.notes("compilation" if begins else "steps")
            step += 1
            window.add(metrics, waited)
            if step == 1:
                run.begun(jax.tree.map(float, jax.device_get(named(metrics))))
            signalled, late = _asked(ballot, max(stopped, default=0), step, run, config)
            if step == run.total_steps or step % config.log_every == 0:
                report = _report(step, window, run)
            paused = time.perf_counter()
            reached, save = Snapshot(state, best), bool(signalled or late)
            best = _keep(reached, step, window, run, config, save=save)
            window.pause(time.perf_counter() - paused)
            run.tick(step, report)
            if (signalled or late) and step < run.total_steps:
                _finish(run)
                raise _stopped(step, run, signalled)
        _finish(run)
    return Snapshot(state, best)


def _saver(run: Run, config: LoopConfig) -> Saver:
    """Returns what saves checkpoints and what goes with them."""

    def save(snapshot: Snapshot, losses: Mapping[str, float]) -> None:
        if run.checkpoints:
            run.checkpoints.save(snapshot, losses=losses)
        run.saved(snapshot)

    background = config.save_in_background and run.checkpoints is not None
    return Saver(save, background=background, deadline=run.deadline)


def _asked(
    ballot: Ballot, signal: int, step: int, run: Run, config: LoopConfig
) -> tuple[int, int]:
    """Returns the signal and whether it is late, and ends if saving has failed.

    These are read once per step; a later signal is served after the next.
    """
    answers = ballot.ask(signal, _late(step, run, config), run.saver.failed)
    signalled, late, failed = answers
    if failed:
        _finish(run)
    return signalled, late


def _finish(run: Run) -> None:
    """Waits until the last checkpoint is saved; if it cannot be, all processes end."""
    with run.pod.together("saving a checkpoint"):
        if run.saver.busy:
            with _long("checkpoint", run):
                run.saver.wait()
        run.saver.wait()


def _stopped(step: int, run: Run, signalled: int) -> Interrupted | TimeUp:
    """Returns the error that ends a run after a step that is saved."""
    where = f"at step {step} of {run.total_steps}"
    if signalled:
        return told_to_all(Interrupted(f"stopped {where}", number=signalled))
    return told_to_all(TimeUp(f"{where}, which is saved"))


def _report(step: int, window: Window, run: Run) -> dict[str, float]:
    """Closes the window, and reports what it holds."""
    report = window.close()
    run.notes("steps")
    _require_sound(step, window, run)
    run.report(step, report)
    run.spent(step)
    return report


def _take_step(
    number: int, state: TrainState, run: Run
) -> tuple[TrainState, StepMetrics, float]:
    """Returns the new state, metrics and the seconds that the step waited for data."""
    asked = time.perf_counter()
    batch = next(run.batches)
    waited = time.perf_counter() - asked
    run.notes("data")
    step = run.step
    for phase in run.later:
        if number >= phase.first:
            step = phase.step
        if number == phase.first:
            state = phase.begin(state)
    state, metrics = step(state, run.constants, batch)
    if jax.default_backend() == "cpu" or run.deadline:
        # Several steps in flight deadlock CPU collectives when devices outnumber cores,
        # and a step that is not awaited has no duration.
        jax.block_until_ready(state)
    if run.deadline:
        # Each phase compiles a program of its own.
        note = run.deadline.took if run.changes(number) else run.deadline.took_again
        name = "first step" if run.changes(number) else "step"
        note(name, time.perf_counter() - asked)
    return state, metrics, waited


def _keep(
    snapshot: Snapshot,
    step: int,
    window: Window,
    run: Run,
    config: LoopConfig,
    *,
    save: bool,
) -> Best:
    """Validates and saves if it is time, and returns the best weights.

    `save` forces a checkpoint but no validation, which a run without the interruption
    would not have at this step either.
    """
    state, best, _ = snapshot
    losses = dict[str, float]()
    if run.validate and _due(step, config.validate_every, run):
        with _long("validation", run):
            best, scores = _validate(step, state, best, run)
        run.report(step, scores)
        losses = {name: scores[f"val/{name}/gt"] for name in state.params}
    saves = run.checkpoints or not run.pod.writes
    if saves and (save or _due(step, config.checkpoint_every, run)):
        with _long("checkpoint", run), run.pod.together("saving a checkpoint"):
            run.saver.wait()
            kept = Snapshot(jax.device_get(state), best, window.open())
            _require_sound(step, window, run)
            _require_finite_arrays(step, (kept.state, best.variables), run)
            run.saver.save(kept, losses)
        run.spent(step)
    return best


def _due(step: int, every: int, run: Run) -> bool:
    return step == run.total_steps or step % (every or run.steps_per_epoch) == 0


def _late(step: int, run: Run, config: LoopConfig) -> bool:
    """Returns whether the next step could end too late to be saved in time."""
    parts = ["first step" if run.changes(step) else "step", "checkpoint"]
    if run.validate and _due(step + 1, config.validate_every, run):
        parts.append("validation")
    if run.saver.busy:
        parts.append("checkpoint")
    return run.deadline is not None and run.deadline.is_near(*parts)


@contextlib.contextmanager
def _long(what: str, run: Run) -> Iterator[None]:
    """Tells what takes long, and notes how long it took."""
    began = time.perf_counter()
    run.notes("steps")
    run.tell(what)
    yield
    run.tell("")
    run.notes(what)
    # How long it takes to save in the background, the thread that does it notes.
    beside = what == "checkpoint" and run.saver.background
    if run.deadline and not beside:
        run.deadline.took(what, time.perf_counter() - began)


def _validate(
    step: int, state: TrainState, best: Best, run: Run
) -> tuple[Best, dict[str, float]]:
    assert run.validate is not None
    variables = {name: student_variables(state, name) for name in state.params}
    if run.pod.count > 1:
        # Each process validates by itself, on one of its devices.
        variables = jax.tree.map(lambda leaf: leaf.addressable_data(0), variables)
    scores = run.validate(variables)
    _require_finite(step, scores, run)
    loss, kept = dict(best.loss), dict(best.variables)
    for name, current in variables.items():
        value = scores[f"val/{name}/gt"]
        if value < float(loss[name]):
            loss[name] = np.asarray(value, np.float32)
            kept[name] = jax.device_get(current)
            _require_finite_arrays(step, {name: kept[name]}, run)
    return Best(loss, kept), scores


def _require_sound(step: int, window: Window, run: Run) -> None:
    """Raises InputError for the first step, up to this one, that was not finite."""
    if window.unsound:
        what, after = window.unsound
        raise _diverged(step - after, what, run)


def _require_finite(step: int, values: Mapping[str, float], run: Run) -> None:
    """Raises InputError if a value is not finite, before anything is written."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise _diverged(step, f"{name} is {value}", run)


def _require_finite_arrays(step: int, arrays: Any, run: Run) -> None:
    if name := not_finite(arrays):
        raise _diverged(step, f"{name} holds numbers that are not finite", run)


def _diverged(step: int, what: str, run: Run) -> InputError:
    run.saver.close()
    good = run.checkpoints.latest_step() if run.checkpoints else None
    if not run.pod.writes:
        kept = "process 0 says what was saved"
    elif good is None:
        kept = "nothing was saved yet"
    else:
        kept = f"all numbers of the checkpoint of step {good} are finite"
    error = InputError(
        f"{what} at step {step}; {kept}. Lower --optim.learning_rate or set "
        "--optim.clip_norm, in a new workdir; --replay says where it begins."
    )
    # Losses and weights are the same in all.
    return told_to_all(error)
