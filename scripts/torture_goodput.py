"""Kills a training every 60 steps, and checks what it says of its time."""

import itertools
import json
import pathlib
import time
from collections.abc import Iterator

import attack_inputs
from attack_inputs import Inputs
from attack_kills import Place, Victim
from rich.console import Console

from dst_jax.train import METRICS, TIMES, read_metrics

BATCH, STEPS, KILL_EVERY, SAVE_EVERY, LOG_EVERY = 4, 240, 60, 25, 10
# Of the figure that is checked: the processes' first steps compile, and no two steps
# take the same time.
TOLERANCE = 0.2


def goodput(folder: pathlib.Path, console: Console) -> bool:
    """Kills a training every 60 steps, and prints its goodput beside one by hand.

    Args:
      folder: Folder of the inputs.
      console: Console for the lines.

    Returns:
      Whether what it printed at its end agrees with the arithmetic.
    """
    place = Place(Victim(_words, _begin, _nothing), folder, folder / "goodput")
    place.empty()
    began = time.monotonic()
    spans = list(_spans())
    for first, last in spans:
        (run,) = place.start(1)
        if last < STEPS:
            while run.process.is_alive() and _reached(place) < last:
                time.sleep(0.002)
            run.kill_at(0.0)
        elif run.code():
            raise RuntimeError(place.log(0).read_text())
        console.print(f"steps {first} to {last}", highlight=False)
    seconds = time.monotonic() - began
    said = next(x for x in place.log(0).read_text().splitlines() if "goodput" in x)
    return _check(place, spans, seconds, said, console)


def _spans() -> Iterator[tuple[int, int]]:
    """Yields the steps between which each process lives, by hand."""
    first = 0
    while first + KILL_EVERY < STEPS:
        yield first, first + KILL_EVERY
        first = (first + KILL_EVERY) // SAVE_EVERY * SAVE_EVERY
    yield first, STEPS


def _check(
    place: Place,
    spans: list[tuple[int, int]],
    seconds: float,
    said: str,
    console: Console,
) -> bool:
    rows = [json.loads(x) for x in (place.work / "run" / TIMES).open()]
    lived = [
        (first, max(row["step"] for row in own))
        for first, own in itertools.groupby(rows, key=lambda row: row["began"])
        for own in [list(own)]
    ]
    again = sum(last - first for first, last in lived) - STEPS
    each = _seconds_a_step(place)
    share = STEPS * each / seconds
    told = int(said.split("goodput ")[1].split("%")[0]) / 100
    told_again = next(
        (int(x.split()[-1][:-1]) / 100 for x in said.split(",") if "redone" in x), 0.0
    )
    console.print(f"processes lived from step to step {lived}, by hand {spans}")
    console.print(f"it says: {said}", markup=False)
    console.print(
        f"by hand: {STEPS} steps of {1000 * each:.1f} ms in {seconds:.1f} s are "
        f"{share:.1%}; {again} steps taken again are {again * each / seconds:.1%}"
    )
    # Percentages are printed without decimals.
    fits = abs(told - share) <= TOLERANCE * share + 0.005
    fits_again = abs(told_again - again * each / seconds) <= TOLERANCE * told + 0.005
    return lived == spans and fits and fits_again


def _seconds_a_step(place: Place) -> float:
    """Returns how long a step takes, from windows in which none was compiled."""
    total, steps = 0.0, 0
    begun = {first + LOG_EVERY - first % LOG_EVERY for first, _ in _spans()}
    for row in read_metrics(place.work / "run" / METRICS):
        if "pairs_per_s" in row and row["step"] not in begun:
            window = row["steps"] * BATCH / row["pairs_per_s"]
            total += window * (1.0 - row["data_wait_share"])
            steps += row["steps"]
    return total / steps


def _reached(place: Place) -> int:
    path = place.work / "run" / TIMES
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return max((json.loads(line)["step"] for line in lines), default=0)


def _words(made: Inputs, work: pathlib.Path) -> list[str]:
    return [
        *attack_inputs.train_words(made._replace(run=work / "run")),
        *("--data.batch", str(BATCH), "--optim.pairs_per_epoch", str(60 * BATCH)),
        *("--optim.epochs", str(STEPS // 60), "--loop.log_every", str(LOG_EVERY)),
        *("--loop.checkpoint_every", str(SAVE_EVERY)),
    ]


def _begin(made: Inputs, work: pathlib.Path) -> None:
    """Begins with nothing but the empty folder."""


def _nothing(work: pathlib.Path) -> None:
    """Compares nothing but the account of time."""
