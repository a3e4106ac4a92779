"""Saves checkpoints of training with Orbax, and checks them when a run resumes.

A checkpoint appears whole or not at all. Beside the arrays it keeps a record: whose
they are, and digests of both, so that a damaged file is refused and never believed.
"""

import contextlib
import errno
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dst_jax.digests import json_sha256, parts_sha256
from dst_jax.errors import InputError
from dst_jax.files import naming, plain_folder, remove_folder, set_aside
from dst_jax.train.keep import NEWEST_TWO, Keep
from dst_jax.train.record import (
    DamagedCheckpoint,
    damaged,
    read_record,
    saved_steps,
)
from dst_jax.train.snapshot import OpenWindow, Snapshot, as_leaves, from_leaves

ASIDE = "damaged-"  # begins the names of checkpoints that could not be read
# Orbax writes a checkpoint under a name with this part and then renames it.
UNFINISHED = ".orbax-checkpoint-tmp"


class Checkpoints:
    """The checkpoints of a run.

    With several processes, one alone has them.

    Args:
      folder: Folder of the checkpoints.
      config_hash: Hash of the run's configuration, which is stored and compared.
      card: JSON values that say how the run is made, which are stored too.
      keep: Which of them stay when another is written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        config_hash: str,
        card: Mapping[str, Any] | None = None,
        keep: Keep = NEWEST_TWO,
    ):
        self._folder = folder.absolute()
        self._hash = config_hash
        self._card = dict(card or {})
        self._losses: dict[int, Mapping[str, float]] = {}
        self._sweep()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_Preserved(keep, self._losses_of),
            enable_async_checkpointing=False,
            **_alone(),
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = contextlib.ExitStack()
        self._plain = self._name.enter_context(plain_folder(self._folder))
        self._manager = ocp.CheckpointManager(self._plain, options=options)

    def save(
        self, snapshot: Snapshot, *, losses: Mapping[str, float] | None = None
    ) -> None:
        """Writes a checkpoint of the state's step unless there is one already.

        Args:
          snapshot: State, best weights and open report.
          losses: Validation losses of this step by student; None without a validation.

        Raises:
          OSError: If the disk is full, for instance; the earlier checkpoints stand.
        """
        step = int(snapshot.state.step)
        if step in self._manager.all_steps():
            return
        leaves = as_leaves(snapshot)
        record = {
            "config_hash": self._hash,
            "card": self._card,
            "window": snapshot.window._asdict(),
            "losses": dict(losses or {}),
            "snapshot_sha256": _leaves_sha256(leaves),
        }
        made = {**record, "sha256": json_sha256(record)}
        self._losses[step] = record["losses"]
        with self._writing(step):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    snapshot=ocp.args.StandardSave(leaves),
                    made=ocp.args.JsonSave(made),
                ),
            )
            self._manager.wait_until_finished()

    def _losses_of(self, step: int) -> Mapping[str, float]:
        """Returns the validation losses of a checkpoint by student."""
        if step not in self._losses:
            try:
                # Older releases noted none.
                losses = read_record(self._folder, step).get("losses", {})
            except InputError:
                losses = {}
            self._losses[step] = losses
        return self._losses[step]

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def restore(
        self, like: Snapshot, *, step: int | None = None, part: bool = False
    ) -> Snapshot | None:
        """Reads the newest checkpoint, or that of a step.

        Args:
          like: A snapshot with the same structure, shapes and types.
          step: The step; None for the newest.
          part: Whether the checkpoint may hold more than `like`, such as parameters of
            terms, which is left out.

        Returns:
          The snapshot; None if there is no checkpoint yet.

        Raises:
          InputError: If it is damaged or belongs to another configuration, or there is
            none of that step.
        """
        step = self._manager.latest_step() if step is None else step
        if step is None:
            return None
        record = read_record(self._folder, step)
        where = self._folder / str(step)
        if record["config_hash"] != self._hash:
            raise InputError(
                f"{where}: made by another configuration; use a new --workdir."
            )
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, as_leaves(like))
        _forgive_late_reads()
        try:
            target = {**(self._shapes(step) if part else {}), **target}
            args = ocp.args.Composite(snapshot=ocp.args.StandardRestore(target))
            leaves = self._manager.restore(step, args=args)["snapshot"]
        except Exception as error:
            # Orbax raises errors of many types; a user needs to know the damaged file.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise damaged(self._folder, step, reason[:120]) from error
        if _leaves_sha256(leaves) != record["snapshot_sha256"]:
            raise damaged(self._folder, step, "its arrays are not those that it saved")
        return from_leaves(leaves, like)._replace(window=OpenWindow(**record["window"]))

    def restore_newest(self, like: Snapshot) -> tuple[Snapshot | None, list[str]]:
        """Reads the newest checkpoint that is whole, and sets aside those that are not.

        Args:
          like: A snapshot with the same structure, shapes and types.

        Returns:
          The snapshot, None if there is no checkpoint yet; and a line about each that
          was set aside, which is kept under another name.

        Raises:
          InputError: If none is whole, or the newest belongs to another configuration.
        """
        lines: list[str] = []
        steps = saved_steps(self._folder)
        while steps:
            step = steps.pop()
            try:
                return self.restore(like, step=step), lines
            except DamagedCheckpoint as error:
                if not steps:
                    raise
                aside = set_aside(self._folder / str(step), f"{ASIDE}{step}")
                self._manager.reload()
                lines.append(
                    f"{self._folder / str(step)}: this checkpoint cannot be read "
                    f"({error.reason}); it is kept as {aside.name}."
                )
        return None, lines

    def _shapes(self, step: int) -> dict[str, Any]:
        """Returns shapes and types of the arrays that a checkpoint holds."""
        folder: Any = self._plain / str(step) / "snapshot"
        stored: Any = ocp.StandardCheckpointHandler().metadata(folder)
        return {
            name: jax.ShapeDtypeStruct(found.shape, found.dtype)
            for name, found in stored.items()
        }

    def close(self) -> None:
        """Closes Orbax's manager of the folder."""
        self._manager.close()
        self._name.close()

    @contextlib.contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        """Turns what Orbax raises on a full disk into an OSError with a name."""
        path = self._folder / str(step)
        try:
            with naming(path):
                yield
        except Exception as error:
            self._sweep()
            code = _disk_error(error)
            if code is None:
                raise
            raise OSError(code, os.strerror(code), str(path)) from error

    def _sweep(self) -> None:
        """Removes what a killed or failed save left."""
        for leftover in self._folder.glob(f"*{UNFINISHED}*"):
            remove_folder(leftover)


class _Preserved(ocp.checkpoint_managers.PreservationPolicy):
    """Tells Orbax which checkpoints stay."""

    def __init__(self, keep: Keep, losses_of: Callable[[int], Mapping[str, float]]):
        self._keep, self._losses_of = keep, losses_of

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> Sequence[bool]:
        del context
        steps = [checkpoint.step for checkpoint in checkpoints]
        read = self._losses_of if self._keep.best else lambda step: {}
        kept = self._keep.chosen({step: read(step) for step in steps})
        return [step in kept for step in steps]


def _alone() -> dict[str, Any]:
    """Returns options by which Orbax waits for no other process of the run."""
    if jax.process_count() == 1:
        return {}
    number = jax.process_index()
    return {
        "multiprocessing_options": ocp.options.MultiprocessingOptions(
            primary_host=number,
            active_processes={number},
            barrier_sync_key_prefix=f"process_{number}",
        ),
        # Orbax makes no folders where only some processes are active.
        "create": False,
    }


def _forgive_late_reads() -> None:
    """Silences what Python prints of reads that end after one of them failed.

    Orbax closes its event loop at the first array that cannot be read; each of the
    others then raises where nobody can catch it, and a traceback is printed for it.
    """
    logging.getLogger("asyncio").addFilter(_is_no_late_read)
    before: Any = sys.unraisablehook

    def forgiving(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    if getattr(before, "__qualname__", "") != forgiving.__qualname__:
        sys.unraisablehook = forgiving


def _is_no_late_read(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def _disk_error(error: BaseException) -> int | None:
    """Returns the number of the system's error that a library's error speaks of."""
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG):
        of_system = isinstance(error, OSError) and error.errno == code
        if of_system or os.strerror(code) in str(error):
            return code
    return None


def _leaves_sha256(leaves: Mapping[str, Any]) -> str:
    def parts() -> Iterator[bytes]:
        for name in sorted(leaves):
            array = np.asarray(leaves[name])
            yield f"{name}:{array.dtype.str}{array.shape}".encode()
            yield array.tobytes()

    return parts_sha256(parts())
