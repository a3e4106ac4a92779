"""`--profile` records what hosts and devices do in some steps of a training."""

import contextlib
import contextvars
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from rich.console import Console

from dst_jax.files import whole_folder
from dst_jax.train import Run, TrainStep
from dst_jax.train.pod import this_pod
from dst_jax.workflows.printing import say

PROFILE = "profile"  # a folder of the workdir
STEPS = 10
# The first step of a phase compiles; the second may still allocate.
UNSTEADY = 2
_PERFETTO = "perfetto_trace.json.gz"
_WANTED: contextvars.ContextVar[bool] = contextvars.ContextVar("profile", default=False)


@contextlib.contextmanager
def profiling(wanted: bool) -> Iterator[None]:
    """Lets trainings that begin in the block record some of their steps, if wanted."""
    token = _WANTED.set(wanted)
    try:
        yield
    finally:
        _WANTED.reset(token)


def steady_steps(began: int, changes: tuple[int, ...], total: int) -> tuple[int, int]:
    """Returns the steps that are recorded, from the first to before the second.

    Steps are counted from 0. None is among the first `UNSTEADY` of a process or phase.

    Args:
      began: Step at which the process begins.
      changes: Steps with which later phases begin, in order.
      total: Number of steps of the run.

    Example:
      >>> steady_steps(0, (), 100), steady_steps(0, (5,), 100), steady_steps(0, (), 8)
      ((2, 12), (7, 17), (2, 8))
    """
    first = began + UNSTEADY
    for change in changes:
        if began < change < first + STEPS:
            first = change + UNSTEADY
    return first, max(min(first + STEPS, total), first)


@contextlib.contextmanager
def recorded(
    run: Run, folder: pathlib.Path, began: int, console: Console
) -> Iterator[Run]:
    """Yields the run, whose steps are recorded if `profiling` wants it.

    The first process alone records. What the steps compute does not change; that each
    recorded window is awaited at its ends takes a moment.

    Args:
      run: The run.
      folder: Folder for the record; an older one gives way.
      began: Step at which the process begins.
      console: Console that says where the record lies.
    """
    if not _WANTED.get() or not this_pod().writes:
        yield run
        return
    changes = tuple(phase.first for phase in run.later)
    recorder = _Recorder(folder, began, steady_steps(began, changes, run.total_steps))
    later = [phase._replace(step=recorder.around(phase.step)) for phase in run.later]
    try:
        yield run._replace(step=recorder.around(run.step), later=later)
    finally:
        recorder.stop()
        say(console, recorder.line)


class _Recorder:
    """Records some steps among those that it is put around.

    Args:
      folder: Folder for the record.
      began: Number of the first step that will be taken, from 0.
      window: First step to be recorded, and the one after the last.
    """

    def __init__(self, folder: pathlib.Path, began: int, window: tuple[int, int]):
        self._folder, self._number, self._window = folder, began, window
        self._recording = contextlib.ExitStack()
        self._from: int | None = None
        self.line = (
            f"profile: nothing is recorded, since the run ends before step "
            f"{window[0] + 1} is done"
        )

    def around(self, step: TrainStep) -> TrainStep:
        """Returns the step, which begins and ends the record in time."""

        def taken(state: Any, constants: Any, batch: Mapping[str, Any]) -> Any:
            if self._number == self._window[0] < self._window[1]:
                jax.block_until_ready(state)
                self._start()
            with jax.profiler.StepTraceAnnotation("train", step_num=self._number + 1):
                result = step(state, constants, batch)
            self._number += 1
            if self._number == self._window[1]:
                jax.block_until_ready(result)
                self.stop()
            return result

        return taken

    def _start(self) -> None:
        folder = whole_folder(self._folder, replace=True)
        temporary = self._recording.enter_context(folder)
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # it would slow down what is measured
        jax.profiler.start_trace(
            str(temporary), create_perfetto_trace=True, profiler_options=options
        )
        self._recording.callback(jax.profiler.stop_trace)
        self._from = self._number

    def stop(self) -> None:
        """Ends the record, if there is one."""
        if self._from is None:
            return
        first, self._from = self._from + 1, None
        self._recording.close()
        (perfetto,) = self._folder.glob(f"**/{_PERFETTO}")
        self.line = (
            f"profile of steps {first} to {self._number}: give {perfetto} to "
            f"https://ui.perfetto.dev, or `pip install xprof` and "
            f"`xprof --logdir {self._folder}`"
        )
