"""The training loop, which takes steps, reports, validates and saves checkpoints."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from dst_jax.errors import InputError, told_to_all
from dst_jax.require import require, require_at_least
from dst_jax.train.checkpoint import Checkpoints
from dst_jax.train.deadline import Deadline, TimeUp
from dst_jax.train.goodput import Account
from dst_jax.train.pod import Ballot, Pod
from dst_jax.train.snapshot import Best, Snapshot, not_finite, student_variables
from dst_jax.train.state import TrainState
from dst_jax.train.step import Constants, StepMetrics, TrainStep
from dst_jax.train.stopping import Interrupted, stop_flag
from dst_jax.train.validate import Validate
from dst_jax.train.window import Window, named
from dst_jax.typing import Array


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Settings for how often a run reports, validates and saves.

    Attributes:
      log_every: Steps between lines of `metrics.jsonl`.
      validate_every: Steps between validations; 0 for once an epoch.
      checkpoint_every: Steps between checkpoints; 0 for once an epoch.
    """

    log_every: int = 20
    validate_every: int = 0
    checkpoint_every: int = 0

    def __post_init__(self):
        require_at_least(1, self, "log_every")
        for field in ("validate_every", "checkpoint_every"):
            fits = getattr(self, field) >= 0
            require(fits, self, field, "must be positive, or 0 for once an epoch")


Report: TypeAlias = Callable[[int, Mapping[str, float]], None]


class Later(NamedTuple):
    """A later phase of a run, in which other parts are frozen.

    Attributes:
      first: Step with which it begins, counted from 0.
      step: The compiled step.
      begin: Function of the state at its beginning, before that step.
    """

    first: int
    step: TrainStep
    begin: Callable[[TrainState], TrainState]


class Run(NamedTuple):
    """The parts of a run.

    Attributes:
      step: The compiled step, that of the first phase.
      constants: Constants of the step.
      batches: Endless stream of batches, beginning at the state's step.
      validate: Function that validates on held-out videos; None for no validation.
      total_steps: Step at which the run ends.
      steps_per_epoch: Number of steps in an epoch.
      batch: Number of pairs in a step, over all processes.
      checkpoints: Checkpoints of the run; None if it saves none, as in all processes
        but the first.
      report: Function that is called with (step, scalars) for the log.
      tick: Function that is called after every step with (step, last report), for a
        progress bar.
      begun: Function that is called with the scalars of the run's first step.
      saved: Function that is called with every snapshot of which a checkpoint was
        written, arrays on the host.
      tell: Function that is called with what takes long from now on: "validation",
        "checkpoint", or "" for steps.
      deadline: Time by which the run must have ended, which stops and saves before it;
        None for no limit.
      later: Its later phases, in order.
      enters: Function that is called with the first step of a phase before the run
        begins it, or goes on within it.
      pod: The processes of the run.
      account: What the time of this process goes to.
      spent: Function that is called with the step after every report and checkpoint,
        for a file of accounts.
    """

    step: TrainStep
    constants: Constants
    batches: Iterator[Mapping[str, Array]]
    validate: Validate | None
    total_steps: int
    steps_per_epoch: int
    batch: int
    checkpoints: Checkpoints | None = None
    report: Report = lambda step, values: None
    tick: Report = lambda step, values: None
    begun: Callable[[Mapping[str, float]], None] = lambda values: None
    saved: Callable[[Snapshot], None] = lambda snapshot: None
    tell: Callable[[str], None] = lambda what: None
    deadline: Deadline | None = None
    later: Sequence[Later] = ()
    enters: Callable[[int], None] = lambda step: None
    pod: Pod = Pod()
    account: Account | None = None
    spent: Callable[[int], None] = lambda step: None

    def notes(self, cause: str) -> None:
        """Puts the time since the last note down to a cause."""
        if self.account:
            self.account.spent(cause)

    def phase_of(self, step: int) -> int:
        """Returns the first step of the phase of a step."""
        return max((x.first for x in self.later if x.first <= step), default=0)

    def changes(self, step: int) -> bool:
        """Returns whether a later phase begins with this step."""
        return any(phase.first == step for phase in self.later)


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
    with stop_flag() as stopped:
        while step < run.total_steps:
            if begins := run.phase_of(step) != phase:
                run.enters(phase := run.phase_of(step))
            state, metrics, waited = _take_step(step, state, run)
            run.notes("compilation" if begins else "steps")
            step += 1
            window.add(metrics, waited)
            if step == 1:
                found = jax.device_get(named(metrics))
                run.begun({name: float(value) for name, value in found.items()})
            # These are read once per step; a later signal is served after the next.
            signalled, late = ballot.ask(
                max(stopped, default=0), _late(step, run, config)
            )
            if step == run.total_steps or step % config.log_every == 0:
                report = _report(step, window, run)
            paused = time.perf_counter()
            reached, save = Snapshot(state, best), bool(signalled or late)
            best = _keep(reached, step, window, run, config, save=save)
            window.pause(time.perf_counter() - paused)
            run.tick(step, report)
            where = f"at step {step} of {run.total_steps}"
            if signalled and step < run.total_steps:
                raise told_to_all(Interrupted(f"stopped {where}", number=signalled))
            if late and step < run.total_steps:
                raise told_to_all(TimeUp(f"{where}, which is saved"))
    return Snapshot(state, best)


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
    if run.validate and _due(step, config.validate_every, run):
        with _long("validation", run):
            best, scores = _validate(step, state, best, run)
        run.report(step, scores)
    saves = run.checkpoints or not run.pod.writes
    if saves and (save or _due(step, config.checkpoint_every, run)):
        with _long("checkpoint", run), run.pod.together("saving a checkpoint"):
            kept = Snapshot(jax.device_get(state), best, window.open())
            _require_sound(step, window, run)
            _require_finite_arrays(step, (kept.state, best.variables), run)
            if run.checkpoints:
                run.checkpoints.save(kept)
            run.saved(kept)
        run.spent(step)
    return best


def _due(step: int, every: int, run: Run) -> bool:
    return step == run.total_steps or step % (every or run.steps_per_epoch) == 0


def _late(step: int, run: Run, config: LoopConfig) -> bool:
    """Returns whether the next step could end too late to be saved in time."""
    parts = ["first step" if run.changes(step) else "step", "checkpoint"]
    if run.validate and _due(step + 1, config.validate_every, run):
        parts.append("validation")
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
    if run.deadline:
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
