"""The progress bar of a training run."""

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


@contextlib.contextmanager
def training_bar(
    console: Console, total_steps: int, step: int
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A progress bar: loss, pairs per second, share of waiting, time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
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
