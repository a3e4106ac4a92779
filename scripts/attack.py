"""Damages, kills and fuzzes the program at length, and says what it believed.

    python scripts/attack.py
    python scripts/attack.py --only bundle ledger --count 1000 --seed 7

Three kinds of attack, each on tiny inputs that the script makes itself:

flips   of single bits in a checkpoint, bundle, pack, index and ledger. What the program
        then does is one line and exit code 2 (refused), the same as before (without
        effect), or a fault: another result (believed), or any other ending (crash).
kills   of evaluate, track, training's export and training, at moments spread over the
        whole run, half of them from the first change of a file on. The next run must
        succeed, give the same result, and leave the same files as a run without kills.
fuzz    of every file that is read: the hypothesis tests of the suite, with `--times` as
        many examples.

The table at the end has a row for each; the script ends with 1 if anything was
believed, crashed, failed or left over. All of it took 33 minutes on two cores that
others used at the same time.
"""

import argparse
import importlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import attack_inputs
from attack_flips import TARGETS, flip_bits
from attack_fuzz import FILES
from attack_kills import VICTIMS, kill_runs
from rich.console import Console
from rich.table import Table

ROOT = pathlib.Path(__file__).parents[1]
FUZZ = "fuzz"
FAULTS = ("believed", "crash", "failed", "leftovers")
# Loaded before any process is forked, so that none has to load them again.
_LOADED = ("evaluate", "track", "train", "search", "pack", "info", "verify")


def parse_arguments() -> argparse.Namespace:
    """Returns the arguments of the command line."""
    names = (*TARGETS, *VICTIMS, FUZZ)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--count", type=int, help="flips or kills of each; 100 and 40 if not given"
    )
    parser.add_argument("--times", type=int, default=5, help="examples of the fuzz")
    parser.add_argument("--workdir", type=pathlib.Path, help="a new folder, kept")
    return parser.parse_args()


def attack(name: str, folder: pathlib.Path, options: argparse.Namespace) -> Any:
    """Runs one attack and returns its counts and "notes"."""
    if name == FUZZ:
        return fuzz(folder, options.seed, options.times)
    if name in VICTIMS:
        return kill_runs(name, folder, options.seed, options.count or 40)
    return flip_bits(name, folder, options.seed, options.count or 100)


def fuzz(folder: pathlib.Path, seed: int, times: int) -> dict[str, Any]:
    """Runs the hypothesis tests of files with `times` as many examples."""
    report, log = folder / "fuzz.json", folder / "fuzz.log"
    here = str(pathlib.Path(__file__).parent)
    paths = os.pathsep.join([here, str(ROOT), os.environ.get("PYTHONPATH", "")])
    settings = {"ATTACK_TIMES": str(times), "ATTACK_REPORT": str(report)}
    environment = os.environ | settings | {"PYTHONPATH": paths}
    with log.open("w") as file:
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-m", "hypothesis"),
                *("-p", "attack_fuzz", f"--hypothesis-seed={seed}", *FILES),
            ],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if not report.exists():
        return {"crash": 1, "notes": [f"fuzz: pytest died, see {log}"]}
    counts = json.loads(report.read_text())
    notes = [f"fuzz: {failure}" for failure in counts.pop("failed")]
    return {**counts, "failed": len(notes), "notes": notes}


def table(counts: dict[str, dict[str, Any]]) -> Table:
    """Returns the table of all attacks."""
    shown = Table("attack", "outcomes", "faults", "s")
    for name, each in counts.items():
        harmless = {n: c for n, c in each.items() if n not in (*FAULTS, "seconds")}
        outcomes = ", ".join(
            f"{count} {outcome}" for outcome, count in harmless.items()
        )
        faults = [f"{each[name]} {name}" for name in FAULTS if each.get(name)]
        seconds = f"{each['seconds']:.0f}"
        shown.add_row(name, outcomes, ", ".join(faults) or "none", seconds)
    return shown


def run(folder: pathlib.Path, options: argparse.Namespace, console: Console) -> int:
    """Runs the attacks in a folder and returns the exit code."""
    if set(options.only) != {FUZZ}:
        began = time.monotonic()
        attack_inputs.make_inputs(folder, options.seed)
        console.print(f"inputs: {time.monotonic() - began:.0f} s")
    counts: dict[str, dict[str, Any]] = {}
    for name in options.only:
        began = time.monotonic()
        found = attack(name, folder, options)
        for note in found.pop("notes", []):
            console.print(note, markup=False, soft_wrap=True)
        counts[name] = {**found, "seconds": time.monotonic() - began}
        console.print(f"{name}: {counts[name]}", markup=False, soft_wrap=True)
    console.print(table(counts))
    return int(any(each.get(fault) for each in counts.values() for fault in FAULTS))


def main() -> int:
    """Runs the attacks that the command line names."""
    options, console = parse_arguments(), Console()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in _LOADED:
        importlib.import_module(f"dst_jax.workflows.{name}")
    # Libraries give it handlers as they are loaded; a command of its own comes first.
    logging.root.handlers.clear()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.workdir or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        # Compiled programs of these runs stay out of the user's own.
        (folder / "cache").mkdir(exist_ok=True)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        return run(folder, options, console)


if __name__ == "__main__":
    sys.exit(main())
