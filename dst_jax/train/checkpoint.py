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
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from dst_jax.digests import json_sha256, parts_sha256
from dst_jax.distill import of_network
from dst_jax.errors import InputError
from dst_jax.files import naming, plain_folder, read_json, remove_folder
from dst_jax.train.pod import Pod
from dst_jax.train.state import TrainState

RECORD = pathlib.Path("made", "metadata")  # where Orbax writes the item "made"
# Orbax writes a checkpoint under a name with this part and then renames it.
UNFINISHED = ".orbax-checkpoint-tmp"


class Best(NamedTuple):
    """The weights with the lowest validation loss so far.

    Attributes:
      loss: That loss by student; infinite before the first validation.
      variables: Those weights by student, on the host.
    """

    loss: dict[str, Any]
    variables: dict[str, Any]


class OpenWindow(NamedTuple):
    """Sums of metrics over the steps since the last report.

    Attributes:
      steps: Number of those steps.
      sums: Sum of each metric over them, by its name in a report.
    """

    steps: int = 0
    sums: Mapping[str, float] = {}


class Snapshot(NamedTuple):
    """The content of one checkpoint.

    Attributes:
      state: The networks in training.
      best: The best weights so far.
      window: What the next report will average besides the steps to come.
    """

    state: TrainState
    best: Best
    window: OpenWindow = OpenWindow()


def first_best(state: TrainState) -> Best:
    """Returns the best weights before any validation: those of `state`."""
    # Weights are copied to the host: the next step reuses the buffers of `state`.
    names = state.params
    return Best(
        loss={name: np.asarray(np.inf, np.float32) for name in names},
        variables={n: jax.device_get(student_variables(state, n)) for n in names},
    )


def student_variables(state: TrainState, name: str) -> dict[str, Any]:
    """Returns the variables of one student, as the models take them."""
    params = of_network(state.params[name])
    return {"params": params, "batch_stats": state.batch_stats[name]}


def not_finite(tree: Any) -> str | None:
    """Returns the name of a leaf that holds a number that is not finite, or None.

    Args:
      tree: Arrays, such as the state of training; they are copied to the host.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not np.all(np.isfinite(np.asarray(leaf))):
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None


def of_first(pod: Pod, restored: Snapshot | None, like: Snapshot) -> Snapshot | None:
    """Returns what the first process has restored, in every process.

    Only the first needs the folder of checkpoints. The others begin their next report
    anew, which nobody reads.

    Args:
      pod: The processes of the run.
      restored: What this process has restored; None in all but the first, and if there
        is no checkpoint yet.
      like: A snapshot with the same structure, shapes and types.
    """
    if pod.count == 1 or not pod.gather(np.uint8(restored is not None))[0]:
        return restored
    sent = _from_dict(pod.of_first(_as_dict(restored or like)), like)
    return sent._replace(window=restored.window) if restored else sent


class Checkpoints:
    """The newest two checkpoints of a run.

    With several processes, one alone has them.

    Args:
      folder: Folder of the checkpoints.
      config_hash: Hash of the run's configuration, which is stored and compared.
      card: JSON values that say how the run is made, which are stored too.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        config_hash: str,
        card: Mapping[str, Any] | None = None,
    ):
        self._folder = folder.absolute()
        self._hash = config_hash
        self._card = dict(card or {})
        self._sweep()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, **_alone()
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = contextlib.ExitStack()
        self._plain = self._name.enter_context(plain_folder(self._folder))
        self._manager = ocp.CheckpointManager(self._plain, options=options)

    def save(self, snapshot: Snapshot) -> None:
        """Writes a checkpoint of the state's step unless there is one already.

        Raises:
          OSError: If the disk is full, for instance; the earlier checkpoints stand.
        """
        step = int(snapshot.state.step)
        if step in self._manager.all_steps():
            return
        leaves = _as_dict(snapshot)
        record = {
            "config_hash": self._hash,
            "card": self._card,
            "window": snapshot.window._asdict(),
            "snapshot_sha256": _leaves_sha256(leaves),
        }
        made = {**record, "sha256": json_sha256(record)}
        with self._writing(step):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    snapshot=ocp.args.StandardSave(leaves),
                    made=ocp.args.JsonSave(made),
                ),
            )
            self._manager.wait_until_finished()

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
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _as_dict(like))
        _forgive_late_reads()
        try:
            target = {**(self._shapes(step) if part else {}), **target}
            args = ocp.args.Composite(snapshot=ocp.args.StandardRestore(target))
            leaves = self._manager.restore(step, args=args)["snapshot"]
        except Exception as error:
            # Orbax raises errors of many types; a user needs to know the damaged file.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise _damaged(self._folder, step, reason[:120]) from error
        if _leaves_sha256(leaves) != record["snapshot_sha256"]:
            raise _damaged(self._folder, step, "its arrays are not those that it saved")
        return _from_dict(leaves, like)._replace(window=OpenWindow(**record["window"]))

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


def saved_steps(folder: pathlib.Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal())


def read_record(folder: pathlib.Path, step: int) -> dict[str, Any]:
    """Reads the record of a checkpoint, but none of its arrays.

    Args:
      folder: Folder of the checkpoints.
      step: Step of the checkpoint.

    Returns:
      "config_hash", "card", "window" and "snapshot_sha256".

    Raises:
      InputError: If there is no such checkpoint, or its record is damaged.
    """
    steps = saved_steps(folder)
    if step not in steps:
        there = ", ".join(map(str, steps)) or "none"
        raise InputError(f"{folder}: no checkpoint of step {step}; there is {there}.")
    try:
        record = read_json(folder / str(step) / RECORD)
    except (InputError, OSError) as error:
        reason = getattr(error, "strerror", None) or "its record is not JSON"
        raise _damaged(folder, step, reason) from error
    if "sha256" not in record and "config_hash" in record:
        raise _damaged(folder, step, "it has no digest, as those of older releases")
    digest = record.pop("sha256", None)
    if json_sha256(record) != digest:
        raise _damaged(folder, step, "its record is not what it saved")
    return record


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


def _damaged(folder: pathlib.Path, step: int, reason: str) -> InputError:
    before = [other for other in saved_steps(folder) if other < step]
    then = f"go on from step {before[-1]}" if before else "begin anew"
    return InputError(
        f"{folder / str(step)}: this checkpoint cannot be read ({reason}); remove the "
        f"folder to {then}."
    )


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


def _as_dict(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the arrays by their paths, so that Orbax stores no classes."""
    leaves = jax.tree_util.tree_leaves_with_path((snapshot.state, snapshot.best))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _from_dict(values: Mapping[str, Any], like: Snapshot) -> Snapshot:
    paths, treedef = jax.tree_util.tree_flatten_with_path((like.state, like.best))
    leaves = [values[jax.tree_util.keystr(path)] for path, _ in paths]
    return Snapshot(*jax.tree_util.tree_unflatten(treedef, leaves))
