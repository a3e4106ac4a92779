"""What a run holds at a step: state, best weights and open report."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from dst_jax.distill import of_network
from dst_jax.train.pod import Pod
from dst_jax.train.state import TrainState


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
    sent = from_leaves(pod.of_first(as_leaves(restored or like)), like)
    return sent._replace(window=restored.window) if restored else sent


def as_leaves(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the arrays by their paths, so that Orbax stores no classes."""
    leaves = jax.tree_util.tree_leaves_with_path((snapshot.state, snapshot.best))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def from_leaves(values: Mapping[str, Any], like: Snapshot) -> Snapshot:
    """Returns the snapshot whose arrays those of `as_leaves` are."""
    paths, treedef = jax.tree_util.tree_flatten_with_path((like.state, like.best))
    leaves = [values[jax.tree_util.keystr(path)] for path, _ in paths]
    return Snapshot(*jax.tree_util.tree_unflatten(treedef, leaves))
