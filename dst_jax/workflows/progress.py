"""Progress bars for steps of any kind and for a training run."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


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
def training_bar(
    console: Console, total_steps: int, step: int
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Shows loss, speed, share of waiting for data and time left of a training run.

    Args:
      console: Console for the bar.
      total_steps: Number of steps of the run.
      step: Step at which the run begins or resumes.

    Yields:
      A function to call after every step with (step, last report).
    """
    with reported_steps(console) as progress:
        task = progress.add_task(
            "train", total=total_steps, completed=step, numbers="compiling"
        )

        def tick(done: int, report: Mapping[str, float]) -> None:
            numbers = ""
            if report:
                numbers = (
                    f"loss {report['loss']:.4f}  {report['pairs_per_s']:.1f} pairs/s  "
                    f"data wait {report['data_wait_share']:.0%}"
                )
            progress.update(task, completed=done, numbers=numbers)

        yield tick
