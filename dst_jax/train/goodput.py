"""Says how much of a run's time did work that counts, over all its interruptions."""

import json
import math
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dst_jax.errors import InputError
from dst_jax.files import naming

TIMES = "times.jsonl"
# What a second of a process goes to. "start" is all before its first step: reading data
# and bundles, restoring a checkpoint. The first step of a phase compiles its program.
CAUSES = ("start", "compilation", "data", "steps", "validation", "checkpoint")
REDONE, STOPPED = "redone steps", "between"
SAME_S = 0.5  # no process loads its libraries in less


class Account:
    """Adds up what the seconds of this process went to, all of them."""

    def __init__(self):
        self._seconds = {cause: 0.0 for cause in CAUSES}
        self._last = time.perf_counter()

    def spent(self, cause: str) -> None:
        """Puts the seconds since the last call down to a cause, one of `CAUSES`."""
        now = time.perf_counter()
        self._seconds[cause] += now - self._last
        self._last = now

    @property
    def seconds(self) -> dict[str, float]:
        """Returns the seconds by cause so far."""
        return dict(self._seconds)


class Times(NamedTuple):
    """A line of `times.jsonl`: how far a process came, and what it took.

    Attributes:
      began: Step at which the process began.
      step: Step that it had reached.
      seconds: Seconds by cause, from the start of the process on.
      at: Time of the line, seconds since 1970.
    """

    began: int
    step: int
    seconds: Mapping[str, float]
    at: float


class TimesWriter:
    """Appends to `times.jsonl`, of which no line is ever removed.

    Args:
      folder: The workdir.
      began: Step at which this process begins.
      account: Its account.
    """

    def __init__(self, folder: pathlib.Path, *, began: int, account: Account):
        self._path, self._began, self._account = folder / TIMES, began, account
        with naming(self._path):
            self._file = self._path.open("a")

    def write(self, step: int) -> None:
        """Writes what was spent up to a step."""
        values = Times(self._began, step, self._account.seconds, time.time())
        with naming(self._path):
            self._file.write(json.dumps(values._asdict(), allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        with naming(self._path):
            self._file.close()


def read_times(path: pathlib.Path) -> list[Times]:
    """Reads `times.jsonl`, without a last line that was cut short.

    Raises:
      InputError: If another line is not as `TimesWriter` writes it.
    """
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if (times := _times(line)) is None:
            raise InputError(
                f"{path}, line {number}: is no account of a run's time; remove this "
                "line."
            )
        found.append(times)
    return found


def _times(line: bytes) -> Times | None:
    """Returns what a line says; None if it is not as `TimesWriter` writes it."""
    try:
        times = Times(**json.loads(line))
        numbers = (times.began, times.step, times.at, *times.seconds.values())
        fits = set(times.seconds) == {*CAUSES} and all(map(math.isfinite, numbers))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return times if fits else None


def time_shares(lines: Iterable[Times]) -> dict[str, float]:
    """Returns what the time of a run went to, as shares that add up to 1.

    Steps that were taken again, because a process died after its last checkpoint, count
    as "redone steps", and the time in which no process ran as "between". The share of
    "steps" is the goodput: that of the time which did work that counts.

    Args:
      lines: Lines of `times.jsonl`, in their order.

    Example:
      >>> seconds = dict.fromkeys(CAUSES, 0.0) | {"steps": 60.0, "start": 15.0}
      >>> died = Times(0, 60, seconds, at=75.0)
      >>> again = Times(50, 110, seconds, at=155.0)
      >>> shares = time_shares([died, again])
      >>> {name: round(share, 3) for name, share in shares.items() if share}
      {'start': 0.194, 'steps': 0.71, 'redone steps': 0.065, 'between': 0.032}
    """
    last = _last_of_each(lines)
    total = {name: 0.0 for name in (*CAUSES, REDONE, STOPPED)}
    for number, times in enumerate(last):
        for cause, seconds in times.seconds.items():
            total[cause] += seconds
        if number + 1 < len(last):
            after = last[number + 1]
            steps = max(times.step - times.began, 1)
            again = min(max(times.step - after.began, 0), steps)
            redone = times.seconds["steps"] * again / steps
            total["steps"] -= redone
            total[REDONE] += redone
            total[STOPPED] += max(_start(after) - times.at, 0.0)
    whole = sum(total.values())
    return {name: seconds / whole for name, seconds in total.items()} if whole else {}


def _last_of_each(lines: Iterable[Times]) -> list[Times]:
    """Returns the last line of each process."""
    last: list[Times] = []
    for times in lines:
        if last and abs(_start(times) - _start(last[-1])) < SAME_S:
            last[-1] = times
        else:
            last.append(times)
    return last


def _start(times: Times) -> float:
    """Returns when the process of a line started, by the clock."""
    return times.at - sum(times.seconds.values())


def goodput_line(shares: Mapping[str, float]) -> str:
    """Returns a line about shares of `time_shares`, the largest first.

    Example:
      >>> goodput_line({"steps": 0.8, "start": 0.15, "data": 0.05, "validation": 0.0})
      'goodput 80%; the rest: start 15%, data 5%'
    """
    rest = {n: s for n, s in shares.items() if n != "steps" and s >= 0.005}
    ordered = sorted(rest.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {share:.0%}" for name, share in ordered)
    return f"goodput {shares.get('steps', 0.0):.0%}" + (
        f"; the rest: {told}" if told else ""
    )
