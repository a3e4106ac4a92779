"""Locks a folder for one process; the system drops the lock however that ends."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def locked(folder: pathlib.Path, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a folder during the block.

    Args:
      folder: The folder.
      wait: Whether to wait for another holder.

    Raises:
      BlockingIOError: If another holder has it and this one does not wait.
      OSError: If there is no such folder, or its disk knows no locks.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
