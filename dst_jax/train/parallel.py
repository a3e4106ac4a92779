"""Spreads a training step over devices.

Only the batch is split. The state has no device axis, so that checkpoints and
evaluation are the same for any number of devices.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from dst_jax.errors import InputError
from dst_jax.ops.kernels import Kernels, chosen_kernels, compiled, suiting
from dst_jax.train.step import Constants, TrainStep

Device: TypeAlias = Any  # jax.Device is no type to a type checker
Form: TypeAlias = Literal["pmap", "shard_map"]
AXIS_NAME = "data"


def data_parallel(
    step: TrainStep,
    *,
    devices: Sequence[Device] | None = None,
    form: Form | None = None,
    kernels: Kernels | None = None,
) -> TrainStep:
    """Returns a step that runs on several devices, each with a part of the batch.

    It donates the state, and splits the batch's leading axis evenly over the devices of
    this process. Both forms give the same program, bit for bit; they differ in how
    arrays reach it. `pmap` knows no options of the compiler where there are several
    processes.

    Args:
      step: Step of one device, made with `axis_name=AXIS_NAME`.
      devices: Devices of a run with one process; None for all devices of all processes.
      form: "pmap" or "shard_map"; None for "pmap" in one process, and "shard_map" in
        several.
      kernels: What it computes by, see `ops.kernels.compiled`.

    Raises:
      InputError: If devices are given and there are several processes.
    """
    if devices is not None and jax.process_count() > 1:
        raise InputError(
            f"devices={list(devices)}: each of {jax.process_count()} processes would "
            "train on its own; leave devices out to use all of them together."
        )
    if form is None:
        form = "pmap" if jax.process_count() == 1 else "shard_map"
    spread = _by_pmap if form == "pmap" else _by_shard_map
    return spread(step, devices, kernels or chosen_kernels())


def _by_pmap(
    step: TrainStep, devices: Sequence[Device] | None, chosen: Kernels
) -> TrainStep:
    local = list(devices) if devices is not None else jax.local_devices()
    mapped = jax.pmap(
        suiting(step, chosen),
        axis_name=AXIS_NAME,
        in_axes=(None, None, 0),
        out_axes=(None, None),
        devices=None if devices is None else local,
        donate_argnums=(0,),
    )
    place = functools.partial(jax.device_put, device=on_all(local))
    place_once = placing_once(place)
    with_options = _compiled_ahead(mapped, dict(chosen.options))

    def run(state: Any, constants: Constants, batch: Mapping[str, Any]) -> Any:
        # The state is placed as the step returns it; otherwise the second step would
        # compile anew.
        operands = place(state), place_once(constants), split(batch, len(local))
        return with_options(operands)(*operands)

    return run


def over_mesh(
    step: TrainStep, mesh: Mesh | AbstractMesh, *, kernels: Kernels | None = None
) -> Any:
    """Returns the step as one program for all devices of a mesh, which can be lowered.

    It is the program of the form "shard_map", and donates the state.

    Args:
      step: Step of one device, made with `axis_name=AXIS_NAME`.
      mesh: Devices along the axis `AXIS_NAME`.
      kernels: What it computes by, see `ops.kernels.compiled`.
    """
    whole, part = PartitionSpec(), PartitionSpec(AXIS_NAME)
    mapped = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(whole, whole, part),
        out_specs=(whole, whole),
        check_vma=False,
    )
    return compiled(mapped, kernels=kernels, donate_argnums=(0,))


def _by_shard_map(
    step: TrainStep, devices: Sequence[Device] | None, chosen: Kernels
) -> TrainStep:
    everywhere = on_all(list(devices) if devices is not None else jax.devices())
    by_example = NamedSharding(everywhere.mesh, PartitionSpec(AXIS_NAME))
    mapped = over_mesh(step, everywhere.mesh, kernels=chosen)
    place = functools.partial(_place, sharding=everywhere)
    place_once = placing_once(place)

    def run(state: Any, constants: Constants, batch: Mapping[str, Any]) -> Any:
        shares = {
            name: jax.make_array_from_process_local_data(by_example, np.asarray(array))
            for name, array in batch.items()
        }
        return mapped(place(state), place_once(constants), shares)

    return run


def sharded(step: TrainStep, *, devices: Sequence[Device] | None = None) -> TrainStep:
    """Returns a step that runs on several devices with `jax.jit` over a mesh.

    XLA adds the sums over devices itself, because the batch is sharded. The state is
    donated.

    Args:
      step: Step of the whole batch, made with `axis_name=None`.
      devices: Devices of this process; None for all.
    """
    local = list(devices) if devices is not None else jax.local_devices()
    everywhere = on_all(local)
    by_example = NamedSharding(everywhere.mesh, PartitionSpec(AXIS_NAME))
    return compiled(
        step,
        in_shardings=(everywhere, everywhere, by_example),
        out_shardings=(everywhere, everywhere),
        donate_argnums=(0,),
    )


def placing_once(place: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns a function like `place` that does not place the same tree again.

    It returns the last result if it is called with the same object as before.

    Args:
      place: Function that copies a tree to devices.
    """
    last: list[tuple[Any, Any]] = []

    def placed(tree: Any) -> Any:
        if not last or last[0][0] is not tree:
            last[:] = [(tree, place(tree))]
        return last[0][1]

    return placed


def _compiled_ahead(
    mapped: Any, options: Mapping[str, Any]
) -> Callable[[tuple[Any, ...]], Callable[..., Any]]:
    """Returns a function that gives the program for some operands.

    `jax.pmap` takes options of the compiler only so, ahead of the first call.
    """
    if not options:
        return lambda operands: mapped
    programs: dict[Any, Callable[..., Any]] = {}

    def program(operands: tuple[Any, ...]) -> Callable[..., Any]:
        leaves, structure = jax.tree.flatten(operands)
        key = structure, tuple((np.shape(x), x.dtype) for x in leaves)
        if key not in programs:
            lowered = mapped.lower(*operands)
            programs[key] = lowered.compile(compiler_options=dict(options))
        return programs[key]

    return program


def _place(tree: Any, sharding: NamedSharding) -> Any:
    """Returns the tree with a whole copy on every device, those of others too.

    Other processes call it with the same values.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def placed(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return leaf
        # `device_put` would send the values to all, to see that they are the same.
        values = np.asarray(leaf)
        return jax.make_array_from_callback(
            values.shape, sharding, lambda index: values[index]
        )

    return jax.tree.map(placed, tree)


def on_every_device(tree: Any) -> Any:
    """Returns a tree on every device of the run, which no step copies again."""
    return _place(tree, on_all(jax.devices()))


def on_all(devices: Sequence[Device]) -> NamedSharding:
    """Returns the sharding that puts a whole copy on each device."""
    # The mesh keeps the given order, which `pmap` needs; `jax.make_mesh` may change it.
    return NamedSharding(Mesh(np.array(devices), (AXIS_NAME,)), PartitionSpec())


def split(batch: Mapping[str, Any], devices: int) -> dict[str, Any]:
    """Returns the batch with every array [b, ...] as [devices, b / devices, ...]."""
    return {
        name: np.reshape(array, (devices, array.shape[0] // devices, *array.shape[1:]))
        for name, array in batch.items()
    }


def check_batch(batch: int, *, microbatches: int = 1) -> None:
    """Checks that the global batch divides over all devices of the run.

    Args:
      batch: Number of pairs in a step.
      microbatches: Number of parts of each device's share.

    Raises:
      InputError: If it does not; the error names the nearest batches that do.
    """
    devices = jax.device_count()
    shares = devices * microbatches
    if batch % shares:
        lower, upper = batch - batch % shares, batch + shares - batch % shares
        choice = f"{lower} or {upper}" if lower else f"{upper}"
        parts = "" if microbatches == 1 else f" with {microbatches} microbatches each"
        raise InputError(
            f"DataConfig.batch={batch} does not divide over {devices} devices{parts}; "
            f"use {choice}."
        )
