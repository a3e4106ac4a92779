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
from dst_jax.experiment import differences
from dst_jax.files import read_json, remove_leftovers, write_json

LEDGER = "ledger.jsonl"
ROWS = "rows"  # folder of an ablation's runs, each in a workdir of its own


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
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--workdir {folder}: is a file; give a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--workdir {folder}: {error.strerror}.") from None
    with _hold(folder):
        remove_leftovers(folder)
        path = folder / "config.json"
        if path.exists() and _holds_work(folder):
            _check_same(path, config)
        else:
            # A run that ended before its first checkpoint begins anew.
            (folder / "metrics.jsonl").unlink(missing_ok=True)
            write_json(path, config)
        yield folder


def _holds_work(folder: pathlib.Path) -> bool:
    """Returns whether there are checkpoints, a search ledger or runs of an ablation."""
    saved = folder / "checkpoints"
    trained = saved.is_dir() and any(child.name.isdigit() for child in saved.iterdir())
    return trained or (folder / LEDGER).exists() or (folder / ROWS).is_dir()


@contextlib.contextmanager
def _hold(folder: pathlib.Path) -> Iterator[None]:
    """Locks the folder; the system drops the lock however the process ends."""
    try:
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
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_same(path: pathlib.Path, config: Mapping[str, Any]) -> None:
    ours, theirs = json.loads(json.dumps(config)), read_json(path)
    for name, kind in interactive_terms(theirs).items():
        if interactive_terms(ours).get(name) != kind:
            raise InputError(
                f"--workdir {path.parent}: its run has the term {name!r}, a class of a "
                f"notebook ({kind}); go on in the notebook, or put the class into a "
                ".py configuration and choose another folder."
            )
    found = differences(ours, theirs)
    if found:
        shown = "; ".join(found[:3]) + ("; ..." if len(found) > 3 else "")
        raise InputError(
            f"--workdir {path.parent}: holds a run with another configuration "
            f"({shown}); choose another folder."
        )
