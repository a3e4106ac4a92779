"""The parts of a training run, which the loop puts together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from dst_jax.train.checkpoint import Checkpoints
from dst_jax.train.deadline import Deadline
from dst_jax.train.goodput import Account
from dst_jax.train.pod import Pod
from dst_jax.train.saver import Saver
from dst_jax.train.snapshot import Snapshot
from dst_jax.train.state import TrainState
from dst_jax.train.step import Constants, TrainStep
from dst_jax.train.validate import Validate
from dst_jax.typing import Array

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
      saver: What saves checkpoints in the background; `fit` provides it.
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
    saver: Saver = Saver(lambda snapshot, losses: None, background=False)

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
