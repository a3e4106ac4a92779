"""Saves snapshots while the steps go on, one after another.

A thread does what the run would do itself: it writes the checkpoint and then all that
goes with it. So a checkpoint is as whole as if the run had waited. Orbax's own way of
saving in the background returns before digests and bundles are written, for which the
run would wait all the same.
"""

import time
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import TypeAlias

import jax
import numpy as np

from dst_jax.train.deadline import Deadline
from dst_jax.train.snapshot import Snapshot
from dst_jax.train.state import TrainState

# Writes a snapshot, with the validation losses of its step by student, and returns once
# everything is on the disk.
Save: TypeAlias = Callable[[Snapshot, Mapping[str, float]], None]


class Saver:
    """Saves a snapshot after the one before is saved.

    Args:
      save: Function that saves one.
      background: Whether the run goes on meanwhile.
      deadline: Time limit of the run, which is told how long saving took.
    """

    def __init__(
        self, save: Save, *, background: bool, deadline: Deadline | None = None
    ):
        self._save, self._deadline = save, deadline
        self._thread = futures.ThreadPoolExecutor(1, "saver") if background else None
        self._running: futures.Future[None] | None = None

    @property
    def background(self) -> bool:
        """Returns whether the run goes on while it is saved."""
        return self._thread is not None

    @property
    def busy(self) -> bool:
        """Returns whether a snapshot is being saved."""
        return self._running is not None and not self._running.done()

    @property
    def failed(self) -> bool:
        """Returns whether saving has failed, which `wait` then raises."""
        running = self._running
        return running is not None and running.done() and bool(running.exception())

    def save(self, snapshot: Snapshot, losses: Mapping[str, float]) -> None:
        """Saves a snapshot, or begins to.

        Args:
          snapshot: Its arrays are on the host.
          losses: Validation losses of its step by student; empty without a validation.

        Raises:
          Exception: What saving this one raises, or in the background the one before.
        """
        self.wait()
        if self._thread is None:
            self._save(snapshot, losses)
        else:
            own = snapshot._replace(state=_copied(snapshot.state))
            self._running = self._thread.submit(self._timed, own, losses)

    def wait(self) -> None:
        """Waits until everything is saved, and raises what that raised."""
        running = self._running
        if running is None:
            return
        futures.wait([running])
        self._running = None
        running.result()

    def close(self) -> None:
        """Waits until everything is saved, and ends the thread."""
        if self._thread:
            self._thread.shutdown()

    def _timed(self, snapshot: Snapshot, losses: Mapping[str, float]) -> None:
        began = time.perf_counter()
        self._save(snapshot, losses)
        if self._deadline:
            self._deadline.took("checkpoint", time.perf_counter() - began)


def _copied(tree: TrainState) -> TrainState:
    """Returns arrays of our own: on a CPU, those of JAX lie in what a step reuses."""
    return jax.tree.map(np.array, tree)
