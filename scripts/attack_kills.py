"""Kills commands at any moment, and looks at what the next run makes of the rest."""

import fnmatch
import json
import pathlib
import random
import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import attack_inputs
from attack_inputs import Inputs

# What of a report depends on how fast a run was.
_TIMED = ("fps", "speed")
# Of the kills, those from the first change of a file on: few moments, many dangers.
_AMONG_WRITES = 0.5


class Victim(NamedTuple):
    """A command to kill.

    Attributes:
      words: Returns its words for a work folder.
      begin: Prepares an empty work folder.
      result: Returns what a finished run leaves, without what depends on time.
    """

    words: Callable[[Inputs, pathlib.Path], list[str]]
    begin: Callable[[Inputs, pathlib.Path], object]
    result: Callable[[pathlib.Path], Any]


class Clean(NamedTuple):
    """A run that nobody kills.

    Attributes:
      names: All files and folders that it leaves.
      result: What they hold.
      writes: Seconds until it first changes a file.
      seconds: Seconds until its end.
    """

    names: list[str]
    result: Any
    writes: float
    seconds: float


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
    rng, work = random.Random(f"{seed} {name}"), folder / f"kills-{name}"
    clean = _clean_run(name, folder, work)
    counts: dict[str, Any] = {"killed": 0, "ended before": 0}
    counts |= {"failed": 0, "leftovers": 0, "notes": []}
    for number in range(count):
        writes = number < count * _AMONG_WRITES
        # Beyond 1 lies the moment after the last write, when the process still ends.
        moment = rng.uniform(clean.writes if writes else 0.0, 1.02 * clean.seconds)
        child = _start(name, folder, work)
        counts["killed" if child.kill_at(moment) else "ended before"] += 1
        left = _names(work)
        outcome, note = _rerun(name, folder, work, clean)
        if outcome:
            counts[outcome] += 1
            counts["notes"].append(
                f"{name}, killed after {moment:.3f} of {clean.seconds:.3f} s: {note}; "
                f"the kill had left {sorted(set(left) - set(clean.names))}"
            )
    shutil.rmtree(work)
    return counts


def _clean_run(name: str, folder: pathlib.Path, work: pathlib.Path) -> Clean:
    """Runs a command twice, for the second time with all programs compiled."""
    _timed_run(name, folder, work)
    writes, seconds = _timed_run(name, folder, work)
    return Clean(_names(work), VICTIMS[name].result(work), writes, seconds)


def _timed_run(
    name: str, folder: pathlib.Path, work: pathlib.Path
) -> tuple[float, float]:
    """Runs a command; returns the seconds to its first change and to its end."""
    child = _start(name, folder, work)
    before, writes = _names(work), None
    while child.process.is_alive():
        if writes is None and _names(work) != before:
            writes = time.monotonic() - child.began
        time.sleep(0.0005)
    seconds = time.monotonic() - child.began
    if child.code():
        raise RuntimeError(f"{name}: {child.log.read_text()}")
    return writes or seconds, seconds


def _start(name: str, folder: pathlib.Path, work: pathlib.Path) -> attack_inputs.Child:
    """Starts a command in an empty folder."""
    made = attack_inputs.inputs(folder)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    VICTIMS[name].begin(made, work)
    words = VICTIMS[name].words(made, work)
    return attack_inputs.start(words, folder / f"{name}.log")


def _rerun(
    name: str, folder: pathlib.Path, work: pathlib.Path, clean: Clean
) -> tuple[str, str]:
    words = VICTIMS[name].words(attack_inputs.inputs(folder), work)
    child = attack_inputs.start(words, folder / f"{name}.log")
    if code := child.code():
        return "failed", f"exit {code}: {child.log.read_text().strip()[-500:]}"
    if VICTIMS[name].result(work) != clean.result:
        return "failed", "another result"
    more = set(_names(work)) ^ set(clean.names)
    return ("leftovers", f"{sorted(more)} differ") if more else ("", "")


def _names(work: pathlib.Path) -> list[str]:
    """Returns what lies in a folder, without names that no two runs share.

    Such are those inside a checkpoint, which is there as a whole or not, and those of
    TensorBoard, which reads a file of each run.
    """
    paths = (path.relative_to(work) for path in work.rglob("*"))
    private = ("*/checkpoints/[0-9]*/*", "*/tensorboard/*")
    return sorted(
        str(path)
        for path in paths
        if not any(fnmatch.fnmatch(str(path), pattern) for pattern in private)
    )


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
