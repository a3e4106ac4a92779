"""The loss on the labels, L^GT, as logs and gates read it: without gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dst_jax.distill.labels import Labels
from dst_jax.distill.parts import divide, reduce_parts
from dst_jax.distill.task import TaskConfig, task_parts
from dst_jax.models import Answer
from dst_jax.typing import Array, Float, Scalar


def batch_loss(
    answer: Answer,
    labels: Labels,
    config: TaskConfig,
    everywhere: Callable[[Any], Any],
) -> Scalar:
    """Returns the loss on the labels over the batch of all devices.

    Args:
      answer: A network's answer to this device's share of the batch.
      labels: Labels on the grid of the answer.
      config: Settings of the loss.
      everywhere: Function that sums over all devices.
    """
    parts = jax.lax.stop_gradient(task_parts(answer, labels, config))
    sums = everywhere([(part.total, part.number) for part in parts])
    means = [part.weight * divide(*of) for part, of in zip(parts, sums, strict=True)]
    return jnp.sum(jnp.stack(means))


def example_losses(
    answer: Answer, labels: Labels, config: TaskConfig
) -> Float[Array, " b"]:
    """Returns the loss of every example, as if the example were the whole batch.

    Args:
      answer: A network's answer.
      labels: Labels on the grid of the answer.
      config: Settings of the loss. Where it is balanced, each example is.

    Returns:
      One value per example, 0 for examples that do not count.
    """

    def alone(answer: Answer, labels: Labels) -> Scalar:
        one = jax.tree.map(lambda leaf: leaf[None], (answer, labels))
        return reduce_parts(task_parts(one[0], one[1], config), None)

    return jax.vmap(alone)(*jax.lax.stop_gradient((answer, labels)))
