"""Opens the folder of a run for one process and one configuration."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from dst_jax.distill.identity import interactive_terms
from dst_jax.errors import InputError
from dst_jax.experiment import config_hash, differences
from dst_jax.files import naming, read_json, remove_leftovers, write_json
from dst_jax.train import METRICS, TIMES, read_record, saved_steps

CONFIG, CHECKPOINTS, BUNDLES, DATA = "config.json", "checkpoints", "bundles", "data"
LEDGER = "ledger.jsonl"
ROWS = "rows"  # folder of an ablation's runs, each in a workdir of its own
SHOWN_CHARACTERS = 200  # of a difference between two configurations


@contextlib.contextmanager
def open_workdir(
    folder: pathlib.Path, config: Mapping[str, Any]
) -> Iterator[pathlib.Path]:
    """Creates or opens a folder for a run, and locks it for this process.

    Args:
      folder: The folder.
      config: Configuration of the run as JSON values, which the folder keeps.

    Yields:
      The folder.

    Raises:
      InputError: If it cannot be created, another process uses it, or it holds a run
        with another configuration.
    """
    with hold(folder):
        path, work = folder / CONFIG, _work(folder)
        if not work:
            # A run that ended before its first checkpoint begins anew.
            for lines in (METRICS, TIMES):
                (folder / lines).unlink(missing_ok=True)
            write_json(path, config)
        elif path.exists():
            _check_same(path, config)
        else:
            _check_recorded(folder, config, work)
            write_json(path, config)
        yield folder


def _work(folder: pathlib.Path) -> str:
    """Returns the name of what would be lost if the folder began anew, or ""."""
    if saved_steps(folder / CHECKPOINTS):
        return CHECKPOINTS
    there = (name for name in (LEDGER, ROWS, BUNDLES) if (folder / name).exists())
    return next(there, "")


@contextlib.contextmanager
def hold(folder: pathlib.Path) -> Iterator[None]:
    """Creates or opens a folder for this process alone, and sweeps it.

    The system drops the lock however the process ends. What killed processes left half
    written is removed.

    Args:
      folder: The folder.

    Raises:
      InputError: If it cannot be created or another process uses it.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--workdir {folder}: is a file; give a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+")
    except OSError as error:
        raise InputError(f"--workdir {folder}: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise InputError(
                f"--workdir {folder}: process {pid} is using it; wait for it to end "
                "or choose another folder."
            ) from None
        with naming(folder / ".lock"):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        for part in (".", BUNDLES, DATA):
            remove_leftovers(folder / part)
        yield


def _check_same(path: pathlib.Path, config: Mapping[str, Any]) -> None:
    ours, theirs = json.loads(json.dumps(config)), read_json(path)
    try:
        interactive = interactive_terms(theirs)
        found = differences(ours, theirs)
    except RecursionError:
        raise InputError(
            f"{path}: is nested too deep to be read; remove it, and the checkpoints "
            "tell whether they are of this configuration."
        ) from None
    for name, kind in interactive.items():
        if interactive_terms(ours).get(name) != kind:
            raise InputError(
                f"--workdir {path.parent}: its run has the term {name!r}, a class of a "
                f"notebook ({kind}); go on in the notebook, or put the class into a "
                ".py configuration and choose another folder."
            )
    if found:
        raise InputError(
            f"--workdir {path.parent}: holds a run with another configuration "
            f"({_shown(found)}); choose another folder."
        )


def _shown(found: list[str]) -> str:
    shown = "; ".join(line[:SHOWN_CHARACTERS] for line in found[:3])
    return shown + ("; ..." if len(found) > 3 else "")


def _check_recorded(folder: pathlib.Path, config: Mapping[str, Any], work: str) -> None:
    """Checks a configuration whose file is lost by what checkpoints keep of it."""
    steps = saved_steps(folder / CHECKPOINTS)
    if not steps:
        raise InputError(
            f"--workdir {folder}: {CONFIG} is missing, so that nobody can tell which "
            f"configuration {work} is of; put it back or choose another folder."
        )
    record = read_record(folder / CHECKPOINTS, steps[-1])
    if record["config_hash"] != config_hash(config):
        # Checkpoints of older releases keep the hash alone.
        ours, theirs = json.loads(json.dumps(config)), record["card"].get("config")
        found = f" ({_shown(differences(ours, theirs))})" if theirs else ""
        raise InputError(
            f"--workdir {folder}: {CONFIG} is missing, and the checkpoints are of "
            f"another configuration{found}; choose another folder."
        )
