"""Runs the stages of scripts/reproduce_siamfc.py side by side, a process for each."""

import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from claim_stages import result_path
from claim_table import TEACHER
from reproduce_plan import TEACHER_SEED, Plan
from reproduce_stages import TRAINED, Place, reads_teacher

from dst_jax.command.signals import stop_signals

# Seconds between two looks at the processes.
_LOOK_S = 0.2


@dataclasses.dataclass(frozen=True)
class Task:
    """A process that is to be started.

    Attributes:
      name: What it does, for messages.
      words: Its command.
      log: File for what it prints.
      ready: Whether what it needs is there.
      useless: Whether nothing needs it any more, so that it is not started.
      after: Name of another task that must not be running when it starts.
      spares: Whether it only spares others work, which they do themselves if it fails.
    """

    name: str
    words: tuple[str, ...]
    log: pathlib.Path
    ready: Callable[[], bool] = lambda: True
    useless: Callable[[], bool] = lambda: False
    after: str = ""
    spares: bool = False


def tasks_of(
    plan: Plan, place: Place, command: Sequence[str], *, rows: Sequence[str]
) -> list[Task]:
    """Returns what is missing of a plan, in the order in which it is to begin.

    Rows that need no teacher begin at once, the others when it is trained. Until then
    their programs are compiled.

    Args:
      plan: The plan.
      place: Where it works.
      command: Words that start this script with the user's options.
      rows: Rows as "SEED:ROW", the most wanted first.
    """
    ends = [result_path(place.folder, name) for name in (TRAINED, TEACHER)]

    def trained() -> bool:
        return place.teacher is not None or any(end.exists() for end in ends)

    def task(name: str, *options: str, **more: object) -> Task:
        log = result_path(place.folder / "logs", name).with_suffix(".log")
        words = (*command, "--jobs", "1", *options)
        return Task(name, words, log, **more)  # pyright: ignore[reportArgumentType]

    tasks, compiling = [], []
    if plan.stage(place.folder, TEACHER, TEACHER_SEED).read() is None:
        tasks.append(task(TEACHER, "--part", "teacher"))
    for row in dict.fromkeys(rows):
        seed, _, name = row.partition(":")
        if plan.stage(place.folder, name, int(seed)).read() is not None:
            continue
        own = "--rows", name, "--seeds", seed
        title, ahead = f"{name} {seed}", f"programs of {name} {seed}"
        if not reads_teacher(plan, name):
            tasks.append(task(title, "--part", "row", *own))
            continue
        tasks.append(task(title, "--part", "row", *own, ready=trained, after=ahead))
        part = "--part", "programs"
        compiling.append(task(ahead, *part, *own, useless=trained, spares=True))
    return tasks + compiling


def run_tasks(tasks: Sequence[Task], *, jobs: int) -> dict[str, int]:
    """Runs tasks, at most `jobs` at once; returns the exit codes of those that failed.

    A signal is handed on to all. A task whose needs never come is left out.

    Args:
      tasks: The tasks; of those that are ready, earlier ones begin first.
      jobs: Most processes at once.
    """
    waiting, running, failed = list(tasks), dict[str, _Running](), dict[str, int]()
    with stop_signals():
        try:
            while True:
                for name in [n for n, one in running.items() if one.ended]:
                    one = running.pop(name)
                    if one.process.returncode and not one.task.spares:
                        failed[name] = one.process.returncode
                waiting = [task for task in waiting if not task.useless()]
                for task in [task for task in waiting if task.ready()]:
                    if len(running) < jobs and task.after not in running:
                        running[task.name] = _Running(task, _started(task))
                        waiting.remove(task)
                if not running:
                    return failed
                time.sleep(_LOOK_S)
        finally:
            _end([one.process for one in running.values()])


class _Running(NamedTuple):
    task: Task
    process: subprocess.Popen[bytes]

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks processes to end and waits for all; a second signal ends them at once."""
    for one in processes:
        one.terminate()
    try:
        for one in processes:
            one.wait()
    except BaseException:
        for one in processes:
            one.kill()
        raise


def _started(task: Task) -> subprocess.Popen[bytes]:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("ab") as log:
        return subprocess.Popen(
            task.words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A terminal's Ctrl-C would come twice: by itself and handed on.
            start_new_session=True,
        )


def own_command() -> list[str]:
    """Returns the words that start this script anew with the same options."""
    return [sys.executable, *sys.argv]
