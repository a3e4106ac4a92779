"""Progress bars for steps of any kind and for a training run, and words while waiting.

A terminal shows how far things are, refreshed by a thread of rich's. A pipe or a file
gets a plain line now and then.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from dst_jax.workflows.printing import say

PAUSE_S = 30.0  # between two lines in a pipe


def description() -> TextColumn:
    """Returns the column of tasks' names, in which rich reads no markup."""
    return TextColumn("{task.description}", markup=False)


def counted_steps(console: Console) -> Progress:
    """Returns a progress display whose tasks show a bar and the steps done."""
    columns = description(), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=console)


def reported_steps(console: Console) -> Progress:
    """Returns a progress display for long tasks, which also shows the time left.

    Every task has a field `numbers`, the text between count and time.
    """
    columns = (
        description(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}", markup=False),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, refresh_per_second=2)


@contextlib.contextmanager
def waiting(console: Console, what: str, *, pause_s: float = PAUSE_S) -> Iterator[None]:
    """Says what is waited for and for how many seconds so far.

    Args:
      console: Console for the words.
      what: What goes on, such as "reading data".
      pause_s: Seconds between two lines in a pipe.
    """
    status = Status(what)
    if not console.is_terminal:
        with speaking(console, status, pause_s=pause_s):
            yield
        return
    columns = SpinnerColumn(), TextColumn("{task.fields[numbers]}", markup=False)
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task("", total=None, numbers=status)
        yield


class Status:
    """What goes on at the moment: the text is made anew whenever it is asked for.

    Args:
      doing: What takes long, shown with the seconds so far; "" for nothing.
    """

    def __init__(self, doing: str = ""):
        self._numbers = ""
        self.tell(doing)

    def tell(self, doing: str) -> None:
        """Sets what takes long from now on."""
        self._doing, self._since = doing, time.monotonic()

    def show(self, numbers: str) -> None:
        """Sets the text for the time in which nothing takes long."""
        self._numbers = numbers

    def __str__(self) -> str:
        if not self._doing:
            return self._numbers
        return f"{self._doing} {time.monotonic() - self._since:.0f} s"


class TrainingBar:
    """Shows loss, speed, share of waiting for data and time left of a training run."""

    def __init__(self, progress: Progress, total_steps: int, step: int):
        self._progress, self._total, self._step = progress, total_steps, step
        self._status = Status("compiling")
        self._task = progress.add_task(
            "train", total=total_steps, completed=step, numbers=self._status
        )

    def tick(self, done: int, report: Mapping[str, float]) -> None:
        """Shows the steps done and the last report."""
        self._step = done
        self._status.tell("")
        if report:
            # Where every step was skipped there is no loss.
            loss = f"{report['loss']:.4f}" if "loss" in report else "skipped"
            self._status.show(
                f"loss {loss}  {report['pairs_per_s']:.1f} pairs/s  "
                f"data wait {report['data_wait_share']:.0%}"
            )
        self._progress.update(self._task, completed=done)

    def tell(self, what: str) -> None:
        """Shows what takes long from now on, with the seconds; "" for steps."""
        self._status.tell(what)

    def __str__(self) -> str:
        return f"step {self._step} of {self._total}  {self._status}".rstrip()


@contextlib.contextmanager
def training_bar(
    console: Console, total_steps: int, step: int, *, pause_s: float = PAUSE_S
) -> Iterator[TrainingBar]:
    """Shows a training run.

    Args:
      console: Console for the bar.
      total_steps: Number of steps of the run.
      step: Step at which the run begins or resumes.
      pause_s: Seconds between two lines in a pipe.

    Yields:
      The bar, which is told of every step and of what takes long.
    """
    with reported_steps(console) as progress:
        bar = TrainingBar(progress, total_steps, step)
        with speaking(console, bar, pause_s=pause_s):
            yield bar


@contextlib.contextmanager
def speaking(
    console: Console, what: object, *, pause_s: float = PAUSE_S
) -> Iterator[None]:
    """Prints a line now and then where no bar can be drawn.

    Args:
      console: Console for the lines.
      what: What is printed; its text is made anew each time.
      pause_s: Seconds between two lines.
    """
    if console.is_terminal or console.quiet:
        yield
        return
    ended = threading.Event()

    def speak() -> None:
        # A reader that has gone need not hear more.
        with contextlib.suppress(OSError):
            while not ended.wait(pause_s):
                say(console, what)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
