"""One training step, written once for any number of devices.

Augmentation, the teacher's forward pass, every student's forward and backward pass
and every optimizer: one function of (state, constants, host batch).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from dst_jax.arch import InputSpec
from dst_jax.distill import Metrics, Objective, psum
from dst_jax.models import Variables
from dst_jax.ops.augment import AugmentConfig, augment
from dst_jax.train.state import TrainState
from dst_jax.typing import Array, Params, Scalar


class StepMetrics(NamedTuple):
    """Of the global batch.

    Attributes:
      loss: The objective.
      terms: Its parts, "student/term"; they add up to `loss`.
      globals: "gt/NAME", "sigma/NAME", "gate/NAME".
      gradient_norm: By student, before clipping.
    """

    loss: Scalar
    terms: Mapping[str, Scalar]
    globals: Mapping[str, Scalar]
    gradient_norm: Mapping[str, Array]


_NONE: Mapping[str, Any] = {}


class Constants(NamedTuple):
    """What a step reads and never changes; what a run lacks is an empty mapping.

    Attributes:
      teacher: The frozen teacher's variables.
      patches: A data set on the device, for a step made by `gathering`.
      masks: By student, a factor for each of its parameters: 0 for those that a
        reduced network lacks. Students that are not named are whole.
    """

    teacher: Variables = _NONE
    patches: Mapping[str, Array] = _NONE
    masks: Mapping[str, Params] = _NONE


# Of (state, constants, batch).
TrainStep: TypeAlias = Callable[
    [TrainState, Constants, Mapping[str, Array]], tuple[TrainState, StepMetrics]
]


class Crops(NamedTuple):
    """How host patches become crops for all networks, and with which randomness.

    Attributes:
      input: The widest of all networks, `arch.widest`; the teacher's included.
      augment: How far crops are varied.
      seed: Of their randomness.
      dtype: Of the crops.
    """

    input: InputSpec
    augment: AugmentConfig
    seed: int
    dtype: DTypeLike = jnp.float32


def make_train_step(
    objective: Objective,
    tx: optax.GradientTransformation,
    crops: Crops,
    *,
    steps_per_epoch: int,
    axis_name: str | None = None,
) -> TrainStep:
    """Returns the step.

    Args:
      objective: Made with the same `axis_name`.
      tx: One optimizer for every student's own state.
      crops: The device-side crops; randomness follows from (seed, example index).
      steps_per_epoch: Turns the step into the objective's epoch.
      axis_name: The device axis, or None.

    Returns:
      `step(state, constants, batch) -> (state, metrics)`.
    """

    def step(
        state: TrainState, constants: Constants, batch: Mapping[str, Array]
    ) -> tuple[TrainState, StepMetrics]:
        crop_key, model_key = jax.random.split(jax.random.key(crops.seed))
        examples = augment(
            crop_key,
            batch,
            input=crops.input,
            config=crops.augment,
            dtype=crops.dtype,
        )
        epoch = state.step.astype(crops.dtype) / jnp.asarray(
            steps_per_epoch, crops.dtype
        )
        key = jax.random.fold_in(model_key, state.step)

        def loss(params: Any) -> tuple[Scalar, tuple[Any, Metrics]]:
            kept = _masked(params, constants.masks)
            fixed = state.batch_stats, constants.teacher, examples
            return objective(kept, *fixed, epoch=epoch, key=key)

        (value, (stats, metrics)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.params
        )
        gradients = psum(gradients, axis_name)
        value, terms = psum((value, metrics.terms), axis_name)
        params, opt_state = {}, {}
        for name, gradient in gradients.items():
            updates, opt_state[name] = tx.update(
                gradient, state.opt_state[name], state.params[name]
            )
            params[name] = optax.apply_updates(state.params[name], updates)
        new_state = TrainState(state.step + 1, params, stats, opt_state)
        norms = {name: optax.tree.norm(g) for name, g in gradients.items()}
        return new_state, StepMetrics(value, terms, metrics.globals, norms)

    return step


def _masked(
    params: Mapping[str, Params], masks: Mapping[str, Params]
) -> dict[str, Params]:
    """The parameters times their masks, through which gradients come masked too."""
    return {
        name: jax.tree.map(lambda x, keep: x * keep.astype(x.dtype), own, masks[name])
        if name in masks
        else own
        for name, own in params.items()
    }
