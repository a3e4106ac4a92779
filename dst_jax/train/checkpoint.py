"""Saves checkpoints of training with Orbax, and checks them when a run resumes.

A checkpoint appears whole or not at all.
"""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from dst_jax.errors import InputError
from dst_jax.files import plain_folder
from dst_jax.train.state import TrainState


class Best(NamedTuple):
    """The weights with the lowest validation loss so far.

    Attributes:
      loss: That loss by student; infinite before the first validation.
      variables: Those weights by student, on the host.
    """

    loss: dict[str, Any]
    variables: dict[str, Any]


class Snapshot(NamedTuple):
    """The content of one checkpoint.

    Attributes:
      state: The networks in training.
      best: The best weights so far.
    """

    state: TrainState
    best: Best


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
    return {"params": state.params[name], "batch_stats": state.batch_stats[name]}


class Checkpoints:
    """The newest two checkpoints of a run.

    Args:
      folder: Folder of the checkpoints.
      config_hash: Hash of the run's configuration, which is stored and compared.
    """

    def __init__(self, folder: pathlib.Path, *, config_hash: str):
        self._folder = folder.absolute()
        self._hash = config_hash
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = contextlib.ExitStack()
        plain = self._name.enter_context(plain_folder(self._folder))
        self._manager = ocp.CheckpointManager(plain, options=options)

    def save(self, snapshot: Snapshot) -> None:
        """Writes a checkpoint of the state's step unless there is one already."""
        step = int(snapshot.state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                snapshot=ocp.args.StandardSave(_as_dict(snapshot)),
                made=ocp.args.JsonSave({"config_hash": self._hash}),
            ),
        )
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def restore(self, like: Snapshot) -> Snapshot | None:
        """Reads the newest checkpoint.

        Args:
          like: A snapshot with the same structure, shapes and types.

        Returns:
          The snapshot; None if there is no checkpoint yet.

        Raises:
          InputError: If it is damaged or belongs to another configuration.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        where = self._folder / str(step)
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _as_dict(like))
        args = ocp.args.Composite(
            snapshot=ocp.args.StandardRestore(target), made=ocp.args.JsonRestore()
        )
        try:
            restored = self._manager.restore(step, args=args)
        except Exception as error:
            # Orbax raises errors of many types; a user needs to know the damaged file.
            reason = str(error).strip().splitlines()[0][:120]
            raise InputError(
                f"{where}: this checkpoint cannot be read ({reason}); remove the "
                "folder to go on from the one before it."
            ) from error
        if restored["made"]["config_hash"] != self._hash:
            raise InputError(
                f"{where}: made by another configuration; use a new --workdir."
            )
        return _from_dict(restored["snapshot"], like)

    def close(self) -> None:
        """Closes Orbax's manager of the folder."""
        self._manager.close()
        self._name.close()


def _as_dict(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the leaves by their paths, so that Orbax stores no classes."""
    leaves = jax.tree_util.tree_leaves_with_path(snapshot)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _from_dict(values: Mapping[str, Any], like: Snapshot) -> Snapshot:
    paths, treedef = jax.tree_util.tree_flatten_with_path(like)
    leaves = [values[jax.tree_util.keystr(path)] for path, _ in paths]
    return jax.tree_util.tree_unflatten(treedef, leaves)
