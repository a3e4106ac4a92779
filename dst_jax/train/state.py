"""The state of training: all arrays that a run changes, by student."""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from dst_jax.arch import TrackerSpec
from dst_jax.models import Variables, init_variables, variable_shapes
from dst_jax.models.parts import ADAPTERS, BACKBONE
from dst_jax.typing import Array, Int, Params


class TrainState(NamedTuple):
    """The state of the networks in training.

    Attributes:
      step: Number of optimizer steps taken.
      params: Parameters by student; those of terms stand among them, see
        `distill.adapters`.
      batch_stats: Running statistics of batch normalisation by student.
      opt_state: Optimizer state by student.
    """

    step: Int[Array, ""]
    params: dict[str, Params]
    batch_stats: dict[str, Params]
    opt_state: dict[str, optax.OptState]


def init_state(
    key: Array,
    students: Mapping[str, TrackerSpec],
    tx: optax.GradientTransformation,
    *,
    start: Mapping[str, Variables] | None = None,
    backbones: Mapping[str, Variables] | None = None,
    adapters: Mapping[str, Params] | None = None,
    param_dtype: DTypeLike = jnp.float32,
) -> TrainState:
    """Returns the state before the first step.

    A student's first weights depend on `key`, its name and its architecture, but not on
    other students.

    Args:
      key: Randomness of the first weights.
      students: Architectures by name.
      tx: The optimizer; every student gets a state of its own.
      start: Variables by name, for students that do not begin with random weights.
      backbones: Variables by name of networks with the student's backbone, which the
        student begins with.
      adapters: Parameters of terms by student, as `distill.init_adapters` makes them.
      param_dtype: Type of the parameters.
    """
    variables: dict[str, Any] = {}
    for name, spec in students.items():
        given = (start or {}).get(name)
        if given is None:
            own = jax.random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)
            given = init_variables(own, spec, param_dtype=param_dtype)
        for kind, values in (backbones or {}).get(name, {}).items():
            if BACKBONE in values:
                copied = {**given[kind], BACKBONE: values[BACKBONE]}
                given = {**given, kind: copied}
        shapes = variable_shapes(spec, param_dtype=param_dtype)
        variables[name] = jax.tree.map(
            lambda like, value: jnp.asarray(value, like.dtype), shapes, given
        )
    params = {name: v["params"] for name, v in variables.items()}
    for name, own in (adapters or {}).items():
        params[name] = {**params[name], ADAPTERS: own}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats={name: v["batch_stats"] for name, v in variables.items()},
        opt_state={name: tx.init(p) for name, p in params.items()},
    )
