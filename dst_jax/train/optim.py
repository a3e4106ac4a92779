"""Settings of a run's optimizer, and the optax chain that they describe."""

import dataclasses
import math
from typing import Literal

import optax

from dst_jax.require import require, require_not_negative, require_positive

# Far beyond what anyone uses; the latter are the powers of ten that float32 holds.
MOST_EPOCHS, MOST_PAIRS = 1e6, 10**9
LEAST_RATE, MOST_RATE = 1e-30, 1e30


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """Settings of length, learning rate and optimizer of a run.

    Attributes:
      epochs: Number of epochs, each of `pairs_per_epoch` pairs.
      pairs_per_epoch: Number of pairs in an epoch, over all devices.
      learning_rate: Learning rate at the first step.
      final_learning_rate: Learning rate at the last step, to which it changes
        exponentially; equal to `learning_rate` for a constant rate.
      hold_epochs: Epochs at the first learning rate before it changes.
      method: Stochastic gradient descent ("sgd") or Adam ("adam").
      momentum: Momentum of SGD.
      weight_decay: Factor on the weights that are added to the gradient, as in the SGD
        of the papers.
      clip_norm: Largest norm of a student's gradient, which is scaled down to it; None
        for no limit.
    """

    epochs: float = 30.0
    pairs_per_epoch: int = 53_200
    learning_rate: float = 1e-2
    final_learning_rate: float = 1e-2
    hold_epochs: float = 0.0
    method: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self):
        require_positive(self, "epochs", "pairs_per_epoch")
        require_positive(self, "learning_rate", "final_learning_rate")
        for field, most in (("epochs", MOST_EPOCHS), ("pairs_per_epoch", MOST_PAIRS)):
            fits = getattr(self, field) <= most
            require(fits, self, field, f"must be at most {most:,.0f}")
        for field in ("learning_rate", "final_learning_rate"):
            fits = LEAST_RATE <= getattr(self, field) <= MOST_RATE
            require(fits, self, field, f"must lie in [{LEAST_RATE}, {MOST_RATE}]")
        held = 0.0 <= self.hold_epochs < self.epochs
        text = f"must be at least 0 and below the {self.epochs} epochs in all"
        require(held, self, "hold_epochs", text)
        require(0.0 <= self.momentum < 1.0, self, "momentum", "must lie in [0, 1)")
        require_not_negative(self, "weight_decay")
        if self.clip_norm is not None:
            require_positive(self, "clip_norm")
        for field in ("weight_decay", "clip_norm"):
            fits = (getattr(self, field) or 0.0) <= MOST_RATE
            require(fits, self, field, f"must be at most {MOST_RATE}")

    def steps_per_epoch(self, batch: int) -> int:
        """Returns the number of steps of `batch` pairs in an epoch, at least 1."""
        return max(self.pairs_per_epoch // batch, 1)

    def total_steps(self, batch: int) -> int:
        """Returns the number of steps of `batch` pairs in the whole run, at least 1."""
        return max(math.ceil(self.epochs * self.steps_per_epoch(batch)), 1)


def make_optimizer(
    config: OptimConfig, *, total_steps: int
) -> optax.GradientTransformation:
    """Returns the optimizer of one student's parameters.

    It clips the gradient, adds the weight decay, and takes a step of the method at the
    scheduled learning rate.

    Args:
      config: Settings of the optimizer.
      total_steps: Number of steps of the run.
    """
    ratio = config.final_learning_rate / config.learning_rate
    held = round(total_steps * config.hold_epochs / config.epochs)
    schedule = optax.exponential_decay(
        config.learning_rate,
        transition_steps=max(total_steps - 1 - held, 1),
        decay_rate=ratio,
        transition_begin=held,
    )
    parts = []
    if config.clip_norm is not None:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    if config.method == "adam":
        parts.append(optax.adam(schedule))
    else:
        parts.append(optax.sgd(schedule, momentum=config.momentum or None))
    return optax.chain(*parts)
