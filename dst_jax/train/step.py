"""Makes the training step, which is the same for any number of devices.

A step is one function of state, constants and host batch. It makes the crops, runs the
teacher forward and every student forward and backward, and updates every student.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from dst_jax.arch import InputSpec
from dst_jax.distill import Metrics, Objective, of_adapters, of_network, psum
from dst_jax.models import Variables
from dst_jax.models.parts import ADAPTERS
from dst_jax.ops.augment import AugmentConfig, augment
from dst_jax.ops.examples import Examples
from dst_jax.train.accumulate import accumulated
from dst_jax.train.phases import ONLY_PHASE, Phase, keep_rate, update
from dst_jax.train.state import TrainState
from dst_jax.typing import Array, Params, Scalar


class StepMetrics(NamedTuple):
    """Metrics of a step over the global batch.

    Attributes:
      loss: The objective.
      terms: Its parts by "student/term", which add up to `loss`.
      globals: Losses on the labels, "gt/NAME", and logs of terms, such as "sigma/NAME"
        and "gate/NAME". Where the host draws windows, "redrawn" and "narrowed" are the
        shares of those that were drawn anew and narrowed. Where steps may be left out,
        `SKIPPED` is 1 for a step that changed nothing, else 0.
      gradient_norm: Norm of the gradient by student, before clipping; where terms have
        parameters, theirs is apart, as "STUDENT/adapters". The limit is on both.
    """

    loss: Scalar
    terms: Mapping[str, Scalar]
    globals: Mapping[str, Scalar]
    gradient_norm: Mapping[str, Array]


_NONE: Mapping[str, Any] = {}
# Entries of a host batch that are logged as means over the batch of all devices.
_NOTES = ("redrawn", "narrowed")
# Name of the share of steps that changed nothing, see `OptimConfig.skip_above`.
SKIPPED = "skipped"


class Constants(NamedTuple):
    """Arrays that a step reads and never changes; those that it lacks are empty.

    Attributes:
      teacher: Variables of the frozen teacher.
      patches: Patches of a `DeviceSet`, for a step made by `gathering`.
      masks: Factors on parameters by student, 0 for those that a reduced network
        lacks. Students without an entry have all parameters.
    """

    teacher: Variables = _NONE
    patches: Mapping[str, Array] = _NONE
    masks: Mapping[str, Params] = _NONE


# A step is a function (state, constants, batch) -> (state, metrics).
TrainStep: TypeAlias = Callable[
    [TrainState, Constants, Mapping[str, Array]], tuple[TrainState, StepMetrics]
]


class Crops(NamedTuple):
    """Settings with which host patches become crops for all networks.

    Attributes:
      input: The widest input of all networks with the teacher, see `arch.widest`.
      augment: Settings of the augmentation.
      seed: Seed of all randomness in a step.
      dtype: Type of the crops.
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
    phase: Phase = ONLY_PHASE,
    skip_above: float | None = None,
    microbatches: int = 1,
) -> TrainStep:
    """Returns the training step.

    Args:
      objective: The objective, made with the same `axis_name`.
      tx: Optimizer of every student, each with its own state.
      crops: Settings of the crops. The crops of an example depend on seed and index.
      steps_per_epoch: Number of steps in an epoch of the objective.
      axis_name: Device axis over which the batch is split, or None.
      phase: Phase of the run; the objective is made with its frozen parts.
      skip_above: Loss above which the step changes nothing but its number, as where
        the loss is not finite; None for no such limit.
      microbatches: Number of parts of a device's share of the batch that are computed
        one after another, see `train.accumulate`.

    Returns:
      `step(state, constants, batch) -> (state, metrics)`.
    """
    gradient_of = _gradient_of(microbatches, axis_name)

    def step(
        state: TrainState, constants: Constants, batch: Mapping[str, Array]
    ) -> tuple[TrainState, StepMetrics]:
        crop_key, model_key = jax.random.split(jax.random.key(crops.seed))
        examples = _finished_crops(crop_key, batch, crops)
        steps = jnp.asarray(steps_per_epoch, crops.dtype)
        epoch = state.step.astype(crops.dtype) / steps
        key = jax.random.fold_in(model_key, state.step)

        def loss(
            params: Any, examples: Examples, **sums: Callable[[Any], Any]
        ) -> tuple[Scalar, tuple[Any, Metrics]]:
            kept = _masked(params, constants.masks)
            fixed = state.batch_stats, constants.teacher, examples
            return objective(kept, *fixed, epoch=epoch, key=key, **sums)

        (value, (stats, metrics)), gradients = gradient_of(loss, state.params, examples)
        gradients = psum(gradients, axis_name)
        value, terms = psum((value, metrics.terms), axis_name)
        params, opt_state = _updated(tx, phase, gradients, state)
        new_state = TrainState(state.step + 1, params, stats, opt_state)
        logs = {**metrics.globals, **_notes(batch, axis_name)}
        found = StepMetrics(value, terms, logs, _norms(gradients))
        if skip_above is None:
            return new_state, found
        return _unless_above(skip_above, state, new_state, found)

    return step


def _finished_crops(key: Array, batch: Mapping[str, Array], crops: Crops) -> Examples:
    """Returns the crops of a batch, which what reads them does not compute anew.

    In an order of sums of its own it would differ with the number of devices (by 4e-5
    of a constant of a normalisation, and once by .8 %).
    """
    examples = augment(
        key, batch, input=crops.input, config=crops.augment, dtype=crops.dtype
    )
    return jax.lax.optimization_barrier(examples)


def _gradient_of(parts: int, axis_name: str | None) -> Callable[..., Any]:
    """Returns a function (loss, params, examples) to values and gradients of a loss."""
    if parts > 1:
        return functools.partial(accumulated, parts=parts, axis_name=axis_name)
    return lambda loss, *of: jax.value_and_grad(loss, has_aux=True)(*of)


def _updated(
    tx: optax.GradientTransformation, phase: Phase, gradients: Any, state: TrainState
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns parameters and optimizer states of all students after a step."""
    params, opt_state = {}, {}
    for name, gradient in gradients.items():
        before = state.opt_state[name], state.params[name]
        opt_state[name], params[name] = update(tx, phase, name, gradient, before)
    return params, opt_state


def _notes(batch: Mapping[str, Array], axis_name: str | None) -> dict[str, Scalar]:
    """Returns the means of what the host notes of each example."""
    held = {name: jnp.asarray(batch[name]) for name in _NOTES if name in batch}
    sums = psum({n: (jnp.sum(x), float(x.size)) for n, x in held.items()}, axis_name)
    return {name: total / count for name, (total, count) in sums.items()}


def _unless_above(
    most: float, before: TrainState, after: TrainState, found: StepMetrics
) -> tuple[TrainState, StepMetrics]:
    """Returns the state before a step whose loss is not finite or above `most`.

    The number of the step and the place of the learning rate go on.
    """
    fits = jnp.isfinite(found.loss) & (found.loss <= most)
    kept = jax.tree.map(lambda new, old: jnp.where(fits, new, old), after, before)
    going_on = {
        name: keep_rate(after.opt_state[name], own)
        for name, own in kept.opt_state.items()
    }
    skipped = 1.0 - fits.astype(found.loss.dtype)
    state = kept._replace(step=after.step, opt_state=going_on)
    return state, found._replace(globals={**found.globals, SKIPPED: skipped})


def _norms(gradients: Mapping[str, Params]) -> dict[str, Array]:
    """Returns the norms of gradients by student, and apart those of adapters."""
    norms = {}
    for name, gradient in gradients.items():
        norms[name] = optax.tree.norm(of_network(gradient))
        if adapters := of_adapters(gradient):
            norms[f"{name}/{ADAPTERS}"] = optax.tree.norm(adapters)
    return norms


def _masked(
    params: Mapping[str, Params], masks: Mapping[str, Params]
) -> dict[str, Params]:
    """Returns the parameters times their masks, which mask the gradients as well."""
    return {
        name: jax.tree.map(lambda x, keep: x * keep.astype(x.dtype), own, masks[name])
        if name in masks
        else own
        for name, own in params.items()
    }
