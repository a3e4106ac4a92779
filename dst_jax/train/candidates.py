"""Trains many networks of one shape side by side, spread over devices."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dst_jax.errors import InputError
from dst_jax.ops.kernels import compiled
from dst_jax.train.parallel import Device, placing_once
from dst_jax.train.step import Constants, TrainStep

CANDIDATES = "candidates"


def over_candidates(
    step: TrainStep,
    *,
    batching: Literal["unrolled", "vmapped"] = "unrolled",
    devices: Sequence[Device] | None = None,
) -> TrainStep:
    """Returns a compiled step that trains several candidates at once.

    Args:
      step: Step of one candidate, made with `axis_name=None`.
      batching: Whether the program computes the candidates of a device one after
        another ("unrolled") or in batched operations ("vmapped"). Convolutions with a
        kernel for each candidate are slow in the latter form on a CPU.
      devices: Devices over which the candidates are spread; None for all of this
        process.

    Returns:
      `step(states, constants, batch)`. `states` and `constants` have a leading axis of
      candidates, a multiple of the number of devices; the batch is the same for all.
      States are donated.
    """
    local = list(devices) if devices is not None else jax.local_devices()
    mesh = jax.make_mesh(
        (len(local),), (CANDIDATES,), axis_types=(AxisType.Auto,), devices=local
    )
    spread, everywhere = PartitionSpec(CANDIDATES), PartitionSpec()
    inner = jax.vmap(step, in_axes=(0, 0, None))
    mapped = jax.shard_map(
        inner if batching == "vmapped" else _unrolled(step),
        mesh=mesh,
        in_specs=(spread, spread, everywhere),
        out_specs=(spread, spread),
        check_vma=False,
    )
    trained = compiled(mapped, options=quick_compilation(), donate_argnums=(0,))
    place = functools.partial(jax.device_put, device=NamedSharding(mesh, spread))
    place_once = placing_once(place)

    def run(states: Any, constants: Constants, batch: Any) -> Any:
        # States are placed as the step returns them; otherwise the second step would
        # compile anew.
        return trained(place(states), place_once(constants), batch)

    return run


def quick_compilation() -> dict[str, int] | None:
    """Returns XLA options that shorten compilation on a CPU; None elsewhere.

    They are for programs that run for seconds. On a CPU, convolutions and products call
    compiled libraries. One candidate of the miniature family compiled in 15 s instead
    of 35 s, and ran as fast.
    """
    on_cpu = jax.default_backend() == "cpu"
    return {"xla_backend_optimization_level": 1} if on_cpu else None


def places_for(candidates: int, *, devices: int) -> int:
    """Returns the least multiple of `devices` that is at least `candidates`.

    Raises:
      InputError: If there is no candidate or no device.

    Example:
      >>> places_for(3, devices=2)
      4
    """
    if candidates < 1 or devices < 1:
        raise InputError(f"{candidates} candidates on {devices} devices: at least 1.")
    return -(-candidates // devices) * devices


def _unrolled(step: TrainStep) -> TrainStep:
    def run(states: Any, constants: Constants, batch: Any) -> Any:
        count = jax.tree.leaves(states)[0].shape[0]
        each = [
            jax.tree.map(lambda x, i=i: x[i], (states, constants)) for i in range(count)
        ]
        results = [step(state, constant, batch) for state, constant in each]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return run
