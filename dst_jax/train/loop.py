"""The training loop, which takes steps, reports, validates and saves checkpoints."""

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from dst_jax.errors import InputError
from dst_jax.require import require, require_at_least
from dst_jax.train.checkpoint import Best, Checkpoints, Snapshot, student_variables
from dst_jax.train.state import TrainState
from dst_jax.train.step import Constants, StepMetrics, TrainStep
from dst_jax.train.validate import Validate
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


class Run(NamedTuple):
    """The parts of a run.

    Attributes:
      step: The compiled step.
      constants: Constants of the step.
      batches: Endless stream of batches, beginning at the state's step.
      validate: Function that validates on held-out videos; None for no validation.
      total_steps: Step at which the run ends.
      steps_per_epoch: Number of steps in an epoch.
      batch: Number of pairs in a step, over all processes.
      checkpoints: Checkpoints of the run; None if it saves none.
      report: Function that is called with (step, scalars) for the log.
      tick: Function that is called after every step with (step, last report), for a
        progress bar.
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


class Interrupted(KeyboardInterrupt):
    """Says that a signal stopped the run after its last step was saved."""


def fit(snapshot: Snapshot, run: Run, config: LoopConfig) -> Snapshot:
    """Trains from the step of `snapshot` to `run.total_steps`.

    SIGINT or SIGTERM ends the run after the current step, with a checkpoint.

    Args:
      snapshot: State and best weights at the beginning.
      run: The parts of the run.
      config: Settings for reports, validations and checkpoints.

    Returns:
      State and best weights at the end.

    Raises:
      InputError: If a reported value is not finite.
      Interrupted: If a signal ended the run before its last step.
    """
    state, best = snapshot
    step = int(state.step)
    window = Window(run.batch)
    report: dict[str, float] = {}
    with _stop_flag() as stopped:
        while step < run.total_steps:
            asked = time.perf_counter()
            batch = next(run.batches)
            waited = time.perf_counter() - asked
            state, metrics = run.step(state, run.constants, batch)
            if jax.default_backend() == "cpu":
                # Several steps in flight deadlock CPU collectives when devices
                # outnumber cores.
                jax.block_until_ready(state)
            step += 1
            window.add(metrics, waited)
            # This is read once per step; a later signal is served after the next step.
            stopping = stopped.is_set()
            last = stopping or step == run.total_steps
            if last or step % config.log_every == 0:
                report = window.close()
                _check_finite(step, report, run)
                run.report(step, report)
            paused = time.perf_counter()
            best = _keep(Snapshot(state, best), step, run, config, save=stopping)
            window.pause(time.perf_counter() - paused)
            run.tick(step, report)
            if stopping and step < run.total_steps:
                raise Interrupted(f"stopped at step {step} of {run.total_steps}")
    return Snapshot(state, best)


def _keep(
    snapshot: Snapshot, step: int, run: Run, config: LoopConfig, *, save: bool
) -> Best:
    """Validates and saves if it is time, and returns the best weights.

    `save` forces a checkpoint but no validation, which a run without the interruption
    would not have at this step either.
    """
    state, best = snapshot
    if run.validate and _due(step, config.validate_every, run):
        best, scores = _validate(state, best, run.validate)
        run.report(step, scores)
    if run.checkpoints and (save or _due(step, config.checkpoint_every, run)):
        run.checkpoints.save(Snapshot(state, best))
    return best


def _due(step: int, every: int, run: Run) -> bool:
    return step == run.total_steps or step % (every or run.steps_per_epoch) == 0


class Window:
    """Averages metrics over the steps since the last report.

    Metrics stay on the device until they are averaged.

    Args:
      batch: Number of pairs in a step.
    """

    def __init__(self, batch: int):
        self._batch = batch
        self._metrics: list[StepMetrics] = []
        self._waited = 0.0
        self._began = time.perf_counter()

    def add(self, metrics: StepMetrics, waited: float) -> None:
        """Adds the metrics of a step and the seconds that it waited for its batch."""
        self._metrics.append(metrics)
        self._waited += waited

    def pause(self, seconds: float) -> None:
        """Leaves seconds of validation or saving out of the rates."""
        self._began += seconds

    def close(self) -> dict[str, float]:
        """Returns averages and rates, and begins a new window."""
        rows = jax.device_get(self._metrics)
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        named = [_named(row) for row in rows]
        values = {key: float(np.mean([row[key] for row in named])) for key in named[0]}
        values["pairs_per_s"] = len(rows) * self._batch / elapsed
        values["data_wait_share"] = self._waited / elapsed
        values["data_wait_s"] = self._waited / len(rows)  # per step
        self._metrics, self._waited = [], 0.0
        self._began = time.perf_counter()
        return values


def _named(metrics: StepMetrics) -> dict[str, Any]:
    """Returns metrics by flat names: "loss", "loss/STUDENT/TERM", "gt/NAME", ..."""
    return (
        {"loss": metrics.loss}
        | {f"loss/{name}": value for name, value in metrics.terms.items()}
        | dict(metrics.globals)
        | {f"gradient_norm/{n}": value for n, value in metrics.gradient_norm.items()}
    )


def _validate(
    state: TrainState, best: Best, validate: Validate
) -> tuple[Best, dict[str, float]]:
    variables = {name: student_variables(state, name) for name in state.params}
    scores = validate(variables)
    loss, kept = dict(best.loss), dict(best.variables)
    for name, current in variables.items():
        value = scores[f"val/{name}/gt"]
        if value < float(loss[name]):
            loss[name] = np.asarray(value, np.float32)
            kept[name] = jax.device_get(current)
    return Best(loss, kept), scores


def _check_finite(step: int, report: Mapping[str, float], run: Run) -> None:
    """Raises InputError if a value is not finite, before a checkpoint is written."""
    broken = [name for name, value in report.items() if not math.isfinite(value)]
    if broken:
        good = run.checkpoints.latest_step() if run.checkpoints else None
        kept = "nothing was saved yet" if good is None else f"step {good} is saved"
        raise InputError(
            f"{broken[0]} is {report[broken[0]]} at step {step}; {kept}. Lower "
            "--optim.learning_rate or set --optim.clip_norm, in a new workdir."
        )


@contextlib.contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """Yields an event that SIGINT and SIGTERM set.

    A second signal ends the run at once. Outside of the main thread nothing sets it.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def ask(number: int, frame: Any) -> None:
        del number, frame
        if event.is_set():
            raise KeyboardInterrupt("stopped at once; the last checkpoint stands")
        event.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.signal(s, ask) for s in signals}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
