"""Kills commands with SIGKILL at random moments, and compares what they make later.

    python scripts/torture.py --workdir runs/torture
    python scripts/torture.py --workdir runs/torture --only train-1 --kills 12

A trial starts a tiny command anew, kills it once to three times, and lets it end. Of
several processes one dies, or all at once as in a power cut; those that are left have
--grace seconds to end by themselves, then they are killed too, as an operator would.
Half of the moments are drawn from the whole duration of a run that nobody killed, half
from the gaps between the changes of its files, so that saving is met as often.

On the same number of processes all bundles, the state of the last checkpoints and all
that was reported must be the same bit for bit; on another number weights and losses
must lie within --apart, and norms of gradients within ten times of it. Each trial is a
line of results.jsonl in the workdir: the script may be stopped at any time, and goes
on. It ends with 1 if anything differs, fails or is left over.

The table at the end has a row for each command and its processes. "died in" is what the
work folder tells of the moment, "apart" the largest difference of weights on another
number of processes, "s lost" the time that a kill has cost, and "s outlived" how long
processes have at most outlived the one that was killed.
"""

import argparse
import contextlib
import importlib
import itertools
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import sys
import time
from typing import Any, NamedTuple

import attack_inputs
from attack_kills import Clean, Moment, Place, kill, rerun, run_clean
from rich.console import Console
from rich.table import Table
from torture_goodput import goodput
from torture_victims import TORTURED, accounts, died_in, distance

_LOADED = ("evaluate", "train", "search", "pack")
# Programs with these kernels are kept between starts, small ones too.
_WARM = {
    "JAX_PLATFORMS": "cpu",
    "DST_JAX_KERNELS": "ynnpack",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_NEED_MORE = ("distill", "search", "evaluate")  # commands that need a tracker
_AT_MOST = 3  # kills of a trial
_ONE_DIES = 0.7  # of the kills of several processes; in the others all die
_AMONG_CHANGES = 0.5  # of the moments, those for which all gaps count alike
_NORMS = 10.0  # times as far apart may norms of gradients lie


class Row(NamedTuple):
    """A command to kill.

    Attributes:
      command: Which of `TORTURED`.
      kills: How often it is killed.
      processes: Processes of the starts that are killed.
      then: Processes of the last start.
    """

    command: str
    kills: int
    processes: int = 1
    then: int = 1

    @property
    def same(self) -> bool:
        """Returns whether all starts have as many processes."""
        return self.processes == self.then

    @property
    def name(self) -> str:
        """Returns a name of the row, which a folder may have too."""
        then = "" if self.same else f"-then-{self.then}"
        return f"{self.command}-{self.processes}{then}"


# 60 kills with one process, 30 with two, 10 with four.
ROWS = (
    Row("train", 18),
    Row("compile", 8),
    Row("distill", 8),
    Row("search", 8),
    Row("pack", 6),
    Row("evaluate", 8),
    Row("train", 4, 1, 2),
    Row("train", 14, 2, 2),
    Row("distill", 6, 2, 2),
    Row("train", 6, 2, 1),
    Row("train", 4, 2, 4),
    Row("train", 4, 4, 4),
    Row("train", 3, 4, 1),
    Row("train", 3, 4, 2),
)


def parse_arguments() -> argparse.Namespace:
    """Returns the arguments of the command line."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--kills", type=int, help="of each row; 100 in all if not given"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grace", type=float, default=130.0, metavar="SECONDS")
    parser.add_argument("--apart", type=float, default=1e-6, help="relative difference")
    parser.add_argument(
        "--table", action="store_true", help="print it and kill nothing"
    )
    parser.add_argument(
        "--goodput",
        action="store_true",
        help="kill a training every 60 steps, and check what it says of its time",
    )
    return parser.parse_args()


class Torture:
    """The trials of one workdir.

    Args:
      options: The arguments of the command line.
    """

    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._folder = options.workdir.absolute()
        self._results = self._folder / "results.jsonl"

    def results(self, row: Row) -> list[dict[str, Any]]:
        """Returns the trials of a row so far."""
        if not self._results.exists():
            return []
        lines = self._results.read_text().split("\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [trial for trial in found if trial["row"] == row.name]

    def share(self, row: Row) -> float:
        """Returns which share of its kills a row has had."""
        wanted = self._options.kills or row.kills
        return sum(len(t["died in"]) for t in self.results(row)) / wanted

    def next_trial(self, rows: list[Row]) -> Row | None:
        """Returns the row that is furthest behind; None if all have had their kills."""
        row = min(rows, key=self.share)
        return row if self.share(row) < 1.0 else None

    def clean(self, command: str, processes: int) -> tuple[Place, Clean]:
        """Returns a run that nobody kills, which is made once."""
        name = f"clean-{command}-{processes}"
        place = Place(TORTURED[command], self._folder, self._folder / name)
        told = self._folder / f"{name}.json"
        if not told.exists():
            run_clean(place, processes)
            found = run_clean(place, processes)  # with all programs compiled
            told.write_text(json.dumps(found._asdict()))
        return place, Clean(**json.loads(told.read_text()))

    def attempt(self, row: Row) -> dict[str, Any]:
        """Makes a trial of a row, and writes what came of it."""
        number = len(self.results(row))
        rng = random.Random(f"{self._options.seed} {row.name} {number}")
        cleanly, clean = self.clean(row.command, row.processes)
        place = cleanly._replace(work=self._folder / row.name)
        place.empty()
        began = time.monotonic()
        trial = {"row": row.name, **self._kills(row, place, clean, rng)}
        expected = cleanly.result() if row.same else None
        outcome, note = rerun(place, clean, expected, processes=row.then)
        trial["lost"] = round(time.monotonic() - began - clean.seconds, 2)
        if not outcome and not row.same:
            trial["apart"] = distance(place, cleanly)
            limits = {name: self._options.apart for name in trial["apart"]}
            limits["norms"] *= _NORMS
            if any(value > limits[n] for n, value in trial["apart"].items()):
                outcome = "differing"
        trial |= {"outcome": outcome, "note": note}
        with self._results.open("a") as file:
            file.write(json.dumps(trial) + "\n")
        if outcome:
            place.work.rename(self._folder / f"{row.name}-faulty-{number}")
        else:
            shutil.rmtree(place.work)
        return trial

    def _kills(
        self, row: Row, place: Place, clean: Clean, rng: random.Random
    ) -> dict[str, Any]:
        """Kills a row's command some times; returns where, and what survivors did."""
        where, survived = [], []
        trains = (place.work / "run").name in clean.names
        # A second start that ends would leave nothing to the other processes.
        for number in range(rng.randint(1, _AT_MOST) if row.same else 1):
            before = accounts(place) if trains else 0
            moment = _moment(clean, row.processes, rng, first=number == 0)
            done = kill(
                place, moment, processes=row.processes, grace=self._options.grace
            )
            if not done.killed:
                break
            where.append(died_in(place, before) if trains else row.command)
            survived.append([round(done.survived, 2), done.stopped])
        return {"died in": where, "survived": survived}


def _moment(clean: Clean, processes: int, rng: random.Random, *, first: bool) -> Moment:
    """Draws when to kill a start, and which of its processes.

    Args:
      clean: A run that nobody killed.
      processes: How many there are.
      rng: Draws.
      first: Whether it is the first start of a trial, whose changes are those of
        `clean`; a later one has fewer.
    """
    own = rng.randrange(processes) if rng.random() < _ONE_DIES else None
    at = [0.0, *clean.changes, clean.seconds]
    gaps = [end - begin for begin, end in itertools.pairwise(at)]
    gaps = gaps if first else gaps[: len(gaps) // 2 + 1]
    # A moment is told from the change before it: a busy machine shifts all of them.
    even = rng.random() < _AMONG_CHANGES
    (number,) = rng.choices(range(len(gaps)), None if even else gaps)
    return Moment(number, rng.uniform(0.0, gaps[number]), own)


def table(torture: Torture, rows: list[Row]) -> Table:
    """Returns what came of the kills of each row."""
    shown = Table("command", "kills", "resumed", "faults", "died in")
    for name in ("apart", "s lost", "s outlived"):
        shown.add_column(name, justify="right")
    for row in rows:
        trials = torture.results(row)
        where = [one for trial in trials for one in trial["died in"]]
        good = sum(len(t["died in"]) for t in trials if not t["outcome"])
        bad = [t["outcome"] for t in trials if t["outcome"]]
        apart = [t["apart"]["weights"] for t in trials if "apart" in t]
        lost = sum(trial["lost"] for trial in trials) / max(len(where), 1)
        after = [after for trial in trials for after, _ in trial["survived"]]
        shown.add_row(
            row.name,
            str(len(where)),
            f"{good} {'identical' if row.same else 'within'}",
            ", ".join(f"{bad.count(n)} {n}" for n in sorted(set(bad))) or "none",
            ", ".join(f"{where.count(n)} {n}" for n in sorted(set(where))),
            f"{max(apart):.1e}" if apart else "",
            f"{lost:.0f}",
            f"{max(after):.1f}" if row.processes > 1 and after else "",
        )
    all_kills = sum(len(t["died in"]) for r in rows for t in torture.results(r))
    shown.caption = f"{all_kills} kills"
    return shown


def main() -> int:
    """Goes on with the trials until all kills are done, and prints the table."""
    options, console = parse_arguments(), Console()
    # What was started ends with this process: all of it is one group.
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _end_all)
    rows = [row for row in ROWS if row.name in options.only]
    torture = Torture(options)
    options.workdir.mkdir(parents=True, exist_ok=True)
    if not options.table:
        _prepare(options.workdir.absolute())
        more = any(row.command in _NEED_MORE for row in rows) and not options.goodput
        makes = attack_inputs.make_inputs if more else attack_inputs.make_data
        makes(options.workdir.absolute(), options.seed)
        if options.goodput:
            return int(not goodput(options.workdir.absolute(), console))
        while row := torture.next_trial(rows):
            trial = torture.attempt(row)
            console.print(json.dumps(trial), markup=False, soft_wrap=True)
    console.print(table(torture, rows))
    return int(any(t["outcome"] for row in rows for t in torture.results(row)))


def _end_all(number: int, frame: object) -> None:
    """Ends all that this process has started, and itself."""
    os.killpg(0, signal.SIGKILL)


def _prepare(folder: pathlib.Path) -> None:
    """Loads the libraries, once for all processes, and keeps programs in the folder."""
    (folder / "cache").mkdir(exist_ok=True)
    os.environ.update(_WARM, XDG_CACHE_HOME=str(folder / "cache"))
    for name in ("JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS"):
        os.environ.pop(name, None)
    for name in _LOADED:
        importlib.import_module(f"dst_jax.workflows.{name}")
    # Libraries give it handlers as they are loaded; a command of its own comes first.
    logging.root.handlers.clear()


if __name__ == "__main__":
    sys.exit(main())
