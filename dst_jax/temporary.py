"""What is being written lies under a temporary name, locked while its writer lives.

A kill leaves such a file or folder behind; the next writer in the same folder finds it
unlocked, because the system gives locks back when a process ends, and removes it.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterator

TEMPORARY = ".tmp-"
_LEFTOVER = re.compile(r"\.tmp-[0-9a-f]{8}-")
# A temporary name adds to a name that may have the most bytes that a name can have.
_KEPT_NAME = 100


@contextlib.contextmanager
def held_temporary(path: pathlib.Path, *, folder: bool) -> Iterator[pathlib.Path]:
    """Yields a new temporary file or folder beside `path`; removes it unless renamed.

    What killed writers left there is removed first.

    Args:
      path: Of what is to be written; its suffix stays.
      folder: Whether a folder is made, else an empty file.

    Raises:
      OSError: With the name `path`, if nothing can be made there.
    """
    remove_unlocked(path.parent)
    temporary, lock = _locked_temporary(path, folder=folder)
    try:
        yield temporary
    finally:
        remove(temporary)
        os.close(lock)


def remove(path: pathlib.Path) -> None:
    """Removes a file or a folder with all that is in it; it may be absent."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _locked_temporary(path: pathlib.Path, *, folder: bool) -> tuple[pathlib.Path, int]:
    # FFmpeg takes no name but UTF-8, so the temporary one keeps what is ASCII.
    kept = path.name.encode("ascii", "ignore").decode()[-_KEPT_NAME:]
    while True:
        # Random, so that two writers of one target do not meet in it.
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}-{kept}")
        try:
            make = temporary.mkdir if folder else temporary.touch
            make(exist_ok=False)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        # Another writer may take it for a leftover until it is locked.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(temporary, os.O_RDONLY)
            with contextlib.suppress(OSError):  # some network disks know no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if temporary.exists():
                return temporary, lock
            os.close(lock)


def remove_unlocked(folder: pathlib.Path) -> None:
    """Removes from a folder the temporaries of writers that live no more."""
    with contextlib.suppress(OSError):  # whoever writes there reports what is wrong
        for name in os.listdir(folder):
            if _LEFTOVER.match(name):
                _remove_if_unlocked(folder / name)


def _remove_if_unlocked(leftover: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        lock = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(leftover)
        finally:
            os.close(lock)
