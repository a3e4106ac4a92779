"""Kills commands at any moment, and looks at what the next run makes of the rest."""

import contextlib
import fnmatch
import json
import os
import pathlib
import random
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import attack_inputs
import launch_local
from attack_inputs import Inputs

# What of a report depends on how fast a run was.
_TIMED = ("fps", "speed")
# Of the kills, those from the first change of a file on: few moments, many dangers.
_AMONG_WRITES = 0.5
# No two runs share what these names say.
_PRIVATE = ("*/checkpoints/[0-9]*/*", "*/tensorboard/*", "dst-jax*")
_GROW = (".jsonl",)  # files whose growth counts as a change
_LOOK_S = 0.001
_HUNG_S = 900.0


class Victim(NamedTuple):
    """A command to kill.

    Attributes:
      words: Returns its words for a work folder.
      begin: Prepares an empty work folder.
      result: Returns what a finished run leaves, without what depends on time.
      cold: Whether each run compiles all programs anew, into its work folder.
    """

    words: Callable[[Inputs, pathlib.Path], list[str]]
    begin: Callable[[Inputs, pathlib.Path], object]
    result: Callable[[pathlib.Path], Any]
    cold: bool = False


class Clean(NamedTuple):
    """A run that nobody kills.

    Attributes:
      names: All files and folders that it leaves.
      changes: Seconds until each change of them, in order.
      seconds: Seconds until its end.
    """

    names: list[str]
    changes: list[float]
    seconds: float


class Moment(NamedTuple):
    """When a run is killed.

    Attributes:
      changes: How often its files have changed before.
      seconds: Seconds after the last of these changes, or after the start.
      process: Number of the process that is killed; None for all at once.
    """

    changes: int
    seconds: float
    process: int | None = None


class Kill(NamedTuple):
    """What came of a moment.

    Attributes:
      killed: Whether the run had not ended before.
      seconds: Seconds from the start until all its processes had ended.
      survived: Seconds until the processes that were not killed had ended.
      stopped: How many of those had to be killed after all.
    """

    killed: bool
    seconds: float
    survived: float = 0.0
    stopped: int = 0


class Place(NamedTuple):
    """Where a victim runs.

    Attributes:
      victim: The victim.
      folder: Folder of the inputs.
      work: Its work folder.
    """

    victim: Victim
    folder: pathlib.Path
    work: pathlib.Path

    def empty(self) -> None:
        """Empties the work folder, for a first start."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.victim.begin(attack_inputs.inputs(self.folder), self.work)

    def start(self, processes: int) -> list[attack_inputs.Child]:
        """Starts the command, in one process or in several that are joined."""
        words = self.victim.words(attack_inputs.inputs(self.folder), self.work)
        joined = launch_local.joined(processes) if processes > 1 else [[]]
        kept = os.environ["XDG_CACHE_HOME"]
        if self.victim.cold:
            os.environ["XDG_CACHE_HOME"] = str(self.work)
        try:
            return [
                attack_inputs.start([*words, *own], self.log(number))
                for number, own in enumerate(joined)
            ]
        finally:
            os.environ["XDG_CACHE_HOME"] = kept

    def log(self, number: int) -> pathlib.Path:
        """Returns the file with what a process prints."""
        return self.work.with_name(f"{self.work.name}-{number}.log")

    def result(self) -> Any:
        """Returns what a finished run has left."""
        return self.victim.result(self.work)

    def names(self) -> list[str]:
        """Returns what lies in the work folder, but for names that no two runs share.

        Those are names inside a checkpoint, which is there as a whole or not, those of
        TensorBoard, which reads a file of each run, and those of compiled programs.
        """
        return sorted(self._sizes())

    def _sizes(self) -> dict[str, int]:
        found = {}
        for path in self.work.rglob("*"):
            name = str(path.relative_to(self.work))
            if not any(fnmatch.fnmatch(name, pattern) for pattern in _PRIVATE):
                # A name may be gone when its size is asked for.
                with contextlib.suppress(FileNotFoundError):
                    found[name] = path.lstat().st_size if path.suffix in _GROW else 0
        return found

    def watch(
        self, runs: Sequence[attack_inputs.Child], *, until: int | None = None
    ) -> list[float]:
        """Watches a run until its end, or until its files have changed so often.

        Returns:
          Seconds from its start until each change.
        """
        before, changes = self._sizes(), []
        while any(run.process.is_alive() for run in runs):
            if until is not None and len(changes) >= until:
                break
            if (now := self._sizes()) != before:
                before = now
                changes.append(time.monotonic() - runs[0].began)
            time.sleep(_LOOK_S)
        return changes


def kill_runs(name: str, folder: pathlib.Path, seed: int, count: int) -> dict[str, Any]:
    """Kills `count` runs of a command, each followed by a run that must succeed.

    Args:
      name: Which of `VICTIMS`.
      folder: Folder of the inputs.
      seed: Decides the moments, as shares of a whole run.
      count: Number of kills.

    Returns:
      How many runs were "killed", had "ended before", were followed by a "failed" run
      or left "leftovers"; "notes" has a line for each of the last two.
    """
    rng = random.Random(f"{seed} {name}")
    place = Place(VICTIMS[name], folder, folder / f"kills-{name}")
    run_clean(place)
    clean = run_clean(place)  # with all programs compiled
    expected = place.result()
    counts: dict[str, Any] = {"killed": 0, "ended before": 0}
    counts |= {"failed": 0, "leftovers": 0, "notes": []}
    for number in range(count):
        writes = number < count * _AMONG_WRITES
        # Beyond 1 lies the moment after the last write, when the process still ends.
        first = min(clean.changes, default=clean.seconds) if writes else 0.0
        moment = Moment(0, rng.uniform(first, 1.02 * clean.seconds))
        place.empty()
        counts["killed" if kill(place, moment).killed else "ended before"] += 1
        left = place.names()
        outcome, note = rerun(place, clean, expected)
        if outcome:
            counts[outcome] += 1
            counts["notes"].append(
                f"{name}, killed after {moment.seconds:.3f} of {clean.seconds:.3f} s: "
                f"{note}; the kill had left {sorted(set(left) - set(clean.names))}"
            )
    shutil.rmtree(place.work)
    return counts


def run_clean(place: Place, processes: int = 1) -> Clean:
    """Runs a command from an empty folder, and kills nothing.

    Raises:
      RuntimeError: If it fails.
    """
    place.empty()
    runs = place.start(processes)
    changes = place.watch(runs)
    seconds = time.monotonic() - runs[0].began
    if any(run.code() for run in runs):
        raise RuntimeError(f"{place.work.name}: {place.log(0).read_text()}")
    return Clean(place.names(), changes, seconds)


def kill(
    place: Place, moment: Moment, *, processes: int = 1, grace: float = 0.0
) -> Kill:
    """Starts a command in the folder as it is, and kills it.

    Args:
      place: Where it runs.
      moment: When.
      processes: In how many processes.
      grace: Seconds that processes have to end by themselves when one was killed.
    """
    runs = place.start(processes)
    changes = place.watch(runs, until=moment.changes) if moment.changes else []
    if len(changes) < moment.changes:
        return Kill(killed=False, seconds=time.monotonic() - runs[0].began)
    own = [moment.process] if moment.process is not None else range(processes)
    after = sum(changes[-1:]) + moment.seconds
    killed = [runs[number].kill_at(after) for number in own]
    died = time.monotonic()
    for run in runs:
        run.process.join(max(died + grace - time.monotonic(), 0.0))
    stopped = [run.kill_at(0.0) for run in runs]
    now = time.monotonic()
    return Kill(any(killed), now - runs[0].began, now - died, sum(stopped))


def rerun(
    place: Place, clean: Clean, expected: Any, *, processes: int = 1
) -> tuple[str, str]:
    """Starts a command in the folder as it is, and looks what it makes.

    Args:
      place: Where it runs.
      clean: A run that nobody killed.
      expected: What that left; None if it is not compared.
      processes: In how many processes.

    Returns:
      "failed", "leftovers" or "", and what is wrong.
    """
    runs = place.start(processes)
    limit = time.monotonic() + _HUNG_S
    for run in runs:
        run.process.join(max(limit - time.monotonic(), 0.0))
    hung = [run.kill_at(0.0) for run in runs]
    for number, run in enumerate(runs):
        if code := run.code():
            how = f"hung for {_HUNG_S} s" if hung[number] else f"exit {code}"
            said = place.log(number).read_text().strip()[-500:]
            return "failed", f"process {number} of {processes}, {how}: {said}"
    if expected is not None and place.result() != expected:
        return "failed", "another result"
    more = set(place.names()) ^ set(clean.names)
    return ("leftovers", f"{sorted(more)} differ") if more else ("", "")


def _evaluate_words(made: Inputs, work: pathlib.Path) -> list[str]:
    trackers = [f"--tracker={made.run / 'bundles' / n}" for n in ("one", "two")]
    return [
        *("evaluate", "--dataset", f"got10k:{made.data}", *trackers),
        *("--results-out", str(work / "boxes"), "--json", str(work / "scores.json")),
    ]


def _scores(work: pathlib.Path) -> Any:
    report = json.loads((work / "scores.json").read_text())
    boxes = {p.name: p.read_text() for p in sorted(work.glob("boxes/*/*.txt"))}
    return {n: s for n, s in report.items() if n != "trackers"}, _untimed(report), boxes


def _untimed(values: Any) -> Any:
    if isinstance(values, dict):
        return {n: _untimed(one) for n, one in values.items() if n not in _TIMED}
    return [_untimed(one) for one in values] if isinstance(values, list) else values


def _track_words(made: Inputs, work: pathlib.Path, suffix: str) -> list[str]:
    video = min(path for path in made.data.iterdir() if path.is_dir())
    box = (video / "groundtruth.txt").read_text().split()[0]
    return [
        *("track", "--tracker", str(made.tracker), "--video", str(video)),
        *("--box", box, "--out", str(work / f"out{suffix}")),
    ]


def _bytes(work: pathlib.Path) -> Any:
    return {p.name: p.read_bytes() for p in sorted(work.glob("out.*"))}


def _bundles(work: pathlib.Path) -> Any:
    files = sorted(work.glob("run/bundles/*/*"))
    return {str(p.relative_to(work)): p.read_bytes() for p in files}


def _copy_run(made: Inputs, work: pathlib.Path) -> None:
    shutil.copytree(made.run, work / "run")
    for bundle in ("one", "two-best"):
        # One is missing and one is replaced: both ways of writing are met.
        shutil.rmtree(work / "run" / "bundles" / bundle)
    (work / "run" / "bundles" / "two" / "tracking.json").write_text("{}")


VICTIMS = {
    "evaluate": Victim(_evaluate_words, lambda made, work: None, _scores),
    "track-txt": Victim(
        lambda made, work: _track_words(made, work, ".txt"),
        lambda made, work: None,
        _bytes,
    ),
    "track-mp4": Victim(
        lambda made, work: _track_words(made, work, ".mp4"),
        lambda made, work: None,
        _bytes,
    ),
    "export": Victim(
        lambda made, work: attack_inputs.train_words(made._replace(run=work / "run")),
        _copy_run,
        _bundles,
    ),
    "train": Victim(
        lambda made, work: attack_inputs.train_words(made._replace(run=work / "run")),
        lambda made, work: None,
        _bundles,
    ),
}
