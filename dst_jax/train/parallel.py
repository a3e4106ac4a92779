"""How a step is spread over devices: the only file that knows.

Only the batch is split; the state has no device axis, so that checkpoints and
evaluation look the same on one device and on a thousand.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dst_jax.errors import InputError
from dst_jax.train.step import Constants, TrainStep

Device: TypeAlias = Any  # jax.Device is no type to a type checker
AXIS_NAME = "data"


def data_parallel(
    step: TrainStep, *, devices: Sequence[Device] | None = None
) -> TrainStep:
    """Maps `step`, made with `axis_name=AXIS_NAME`, over devices with `jax.pmap`.

    The state is donated. The batch's leading axis is split evenly over the devices
    of this process.

    Args:
      step: One step, as every device takes it.
      devices: None for all devices of all processes; else some of the only process.

    Raises:
      InputError: If devices are given to one of several processes.
    """
    if devices is not None and jax.process_count() > 1:
        raise InputError(
            f"devices={list(devices)}: each of {jax.process_count()} processes would "
            "train on its own; leave devices out to use all of them together."
        )
    local = list(devices) if devices is not None else jax.local_devices()
    mapped = jax.pmap(
        step,
        axis_name=AXIS_NAME,
        in_axes=(None, None, 0),
        out_axes=(None, None),
        devices=None if devices is None else local,
        donate_argnums=(0,),
    )

    place = functools.partial(_place, sharding=on_all(local))
    place_once = placing_once(place)

    def run(state: Any, constants: Constants, batch: Mapping[str, Any]) -> Any:
        # State of unknown placement in, state of known placement out: without this
        # the second step would compile anew.
        return mapped(place(state), place_once(constants), split(batch, len(local)))

    return run


def sharded(step: TrainStep, *, devices: Sequence[Device] | None = None) -> TrainStep:
    """The same by `jit` over a mesh, for a `step` made with `axis_name=None`.

    XLA finds the collectives itself from the sharding of the batch.
    """
    local = list(devices) if devices is not None else jax.local_devices()
    everywhere = on_all(local)
    by_example = NamedSharding(everywhere.mesh, PartitionSpec(AXIS_NAME))
    return jax.jit(
        step,
        in_shardings=(everywhere, everywhere, by_example),
        out_shardings=(everywhere, everywhere),
        donate_argnums=(0,),
    )


def placing_once(place: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns `place` for a tree that comes again at every step.

    A tree that is the very one of the call before is not placed again.

    Args:
      place: Copies a tree to devices.
    """
    last: list[tuple[Any, Any]] = []

    def placed(tree: Any) -> Any:
        if not last or last[0][0] is not tree:
            last[:] = [(tree, place(tree))]
        return last[0][1]

    return placed


def _place(tree: Any, sharding: NamedSharding) -> Any:
    """Copies to every device, or leaves what is there already; pods place alone."""
    return jax.device_put(tree, sharding) if jax.process_count() == 1 else tree


def on_all(devices: Sequence[Device]) -> NamedSharding:
    """A whole copy on each device."""
    # In the order given, which is `pmap`'s: `jax.make_mesh` may choose another.
    return NamedSharding(Mesh(np.array(devices), (AXIS_NAME,)), PartitionSpec())


def split(batch: Mapping[str, Any], devices: int) -> dict[str, Any]:
    """Reshapes every array [b, ...] to [devices, b / devices, ...]."""
    return {
        name: np.reshape(array, (devices, array.shape[0] // devices, *array.shape[1:]))
        for name, array in batch.items()
    }


def check_batch(batch: int) -> None:
    """Checks that the global batch divides over all devices of the run.

    Raises:
      InputError: Naming the nearest batches that do.
    """
    devices = jax.device_count()
    if batch % devices:
        lower, upper = batch - batch % devices, batch + devices - batch % devices
        choice = f"{lower} or {upper}" if lower else f"{upper}"
        raise InputError(
            f"DataConfig.batch={batch} does not divide over {devices} devices; "
            f"use {choice}."
        )
