"""Settings of a run's optimizer, and the optax chain that they describe."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dst_jax.decode import OMIT_DEFAULT
from dst_jax.errors import InputError
from dst_jax.require import (
    require,
    require_not_negative,
    require_one_of,
    require_positive,
    require_whole,
)
from dst_jax.typing import Array, Float, Params

# Far beyond what anyone uses; the latter are the powers of ten that float32 holds.
MOST_EPOCHS, MOST_PAIRS, MOST_PARTS = 1e6, 10**9, 4096
LEAST_RATE, MOST_RATE = 1e-30, 1e30


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """Settings of length, learning rate and optimizer of a run.

    Attributes:
      epochs: Number of epochs, each of `pairs_per_epoch` pairs.
      pairs_per_epoch: Number of pairs in an epoch, over all devices.
      learning_rate: Learning rate at the first step, or after it has risen.
      final_learning_rate: Learning rate at the last step, to which it changes
        exponentially; equal to `learning_rate` for a constant rate.
      hold_epochs: Epochs at `learning_rate` before it changes.
      rise_epochs: Epochs at the beginning in which the rate rises exponentially to
        `learning_rate`.
      rise_from: Learning rate at the first step if it rises.
      rise_reaches: Whether the last step (or epoch) of the rise has `learning_rate`, as
        recipes are written, or is one short of it, as in public code.
      rate_per: Whether the rate changes with every step or every epoch.
      parts: Parts of networks that learn otherwise: (path, factor on the learning
        rate, epoch from which the part learns). A path is the beginning of parameters'
        names, such as "backbone" or "layer2", or "NAME:layer2" of one student. Until
        the epoch a part is frozen: its weights, statistics and momentum stand still.
        Factor 0 freezes it for good. "adapters" are the parameters of terms, such as
        point's; unless they are named they learn from the start at the whole rate,
        whatever of the network is frozen. Where no term has any it names nothing.
      on_thaw: Whether a student keeps its momentum when a part begins to learn, or its
        optimizer begins anew ("reset"), as in public code.
      skip_above: Loss above which a step changes nothing, as one whose loss is not
        finite; "skipped" in the metrics is their share. None leaves out none: a loss
        that is not finite ends the run.
      fall: Whether the rate falls exponentially after `hold_epochs`, or at once, to
        `final_learning_rate` ("step").
      method: Stochastic gradient descent ("sgd"), Adam ("adam"), or Adam whose decay is
        apart from the gradient ("adamw"), as in OSTrack.
      momentum: Momentum of SGD.
      weight_decay: Factor on the weights that are added to the gradient, as in the SGD
        of the papers; with "adamw", to Adam's step before its rate.
      decay_norms: Whether scales, biases and other vectors decay too, as in public
        code; positions do in any case.
      early_weight_decay: The factor until the first of a network's frozen parts begins
        to learn, as in SiamDW's public code; None for `weight_decay`.
      clip_norm: Largest norm of a student's gradient, which is scaled down to it; None
        for no limit.
      microbatches: Number of parts of each device's share of a batch that are computed
        one after another, so that memory holds one. The step is that of the whole
        batch, but for batch normalisation, which normalises each part by its own
        statistics. A search takes its batches whole.
    """

    epochs: float = 30.0
    pairs_per_epoch: int = 53_200
    learning_rate: float = 1e-2
    final_learning_rate: float = 1e-2
    hold_epochs: float = 0.0
    method: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    # The JSON leaves these out at their defaults, so that older runs can go on.
    rise_epochs: float = dataclasses.field(default=0.0, metadata=OMIT_DEFAULT)
    rise_from: float = dataclasses.field(default=1e-3, metadata=OMIT_DEFAULT)
    rise_reaches: bool = dataclasses.field(default=False, metadata=OMIT_DEFAULT)
    rate_per: Literal["step", "epoch"] = dataclasses.field(
        default="step", metadata=OMIT_DEFAULT
    )
    parts: tuple[tuple[str, float, float], ...] = dataclasses.field(
        default=(), metadata=OMIT_DEFAULT
    )
    on_thaw: Literal["keep", "reset"] = dataclasses.field(
        default="keep", metadata=OMIT_DEFAULT
    )
    skip_above: float | None = dataclasses.field(default=None, metadata=OMIT_DEFAULT)
    fall: Literal["exponential", "step"] = dataclasses.field(
        default="exponential", metadata=OMIT_DEFAULT
    )
    decay_norms: bool = dataclasses.field(default=True, metadata=OMIT_DEFAULT)
    early_weight_decay: float | None = dataclasses.field(
        default=None, metadata=OMIT_DEFAULT
    )
    microbatches: int = dataclasses.field(default=1, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        require_positive(self, "epochs", "pairs_per_epoch")
        rates = "learning_rate", "final_learning_rate", "rise_from"
        require_positive(self, *rates)
        for field, most in (("epochs", MOST_EPOCHS), ("pairs_per_epoch", MOST_PAIRS)):
            fits = getattr(self, field) <= most
            require(fits, self, field, f"must be at most {most:,.0f}")
        for field in rates:
            fits = LEAST_RATE <= getattr(self, field) <= MOST_RATE
            require(fits, self, field, f"must lie in [{LEAST_RATE}, {MOST_RATE}]")
        self._require_stretches()
        require(0.0 <= self.momentum < 1.0, self, "momentum", "must lie in [0, 1)")
        require_not_negative(self, "weight_decay")
        if self.clip_norm is not None:
            require_positive(self, "clip_norm")
        for field in ("weight_decay", "clip_norm"):
            fits = (getattr(self, field) or 0.0) <= MOST_RATE
            require(fits, self, field, f"must be at most {MOST_RATE}")
        if self.skip_above is not None:
            require_positive(self, "skip_above")
        require_whole(1, MOST_PARTS, self, "microbatches")
        require_one_of(("keep", "reset"), self, "on_thaw")
        require_one_of(("exponential", "step"), self, "fall")
        require_one_of(("sgd", "adam", "adamw"), self, "method")
        for part in self.parts:
            self._require_part(*part)
        if self.early_weight_decay is not None:
            self._require_early_decay(self.early_weight_decay)

    def _require_stretches(self) -> None:
        """Raises InputError if rise and hold leave no time for the rest."""
        text = f"must be at least 0 and below the {self.epochs} epochs in all"
        for field in ("rise_epochs", "hold_epochs"):
            fits = 0.0 <= getattr(self, field) < self.epochs
            require(fits, self, field, text)
        fits = self.rise_epochs + self.hold_epochs < self.epochs
        text = f"with hold_epochs={self.hold_epochs} leaves none of {self.epochs}"
        require(fits, self, "rise_epochs", text)
        require_one_of(("step", "epoch"), self, "rate_per")
        for field in ("rise_epochs", "hold_epochs"):
            whole = self.rate_per == "step" or getattr(self, field) % 1.0 == 0.0
            require(whole, self, field, 'must be whole where rate_per="epoch"')

    def _require_early_decay(self, decay: float) -> None:
        """Raises InputError if nothing thaws, or a decay is not above 0."""
        field = "early_weight_decay"
        require(0.0 < decay <= MOST_RATE, self, field, "must be positive")
        fits = self.weight_decay > 0.0
        require(fits, self, field, "needs a weight_decay above 0, which follows it")
        fits = any(rate and thaw for _, rate, thaw in self.parts)
        require(fits, self, field, "needs parts that learn from a later epoch")

    def _require_part(self, path: str, rate: float, thaw: float) -> None:
        """Raises InputError if a part's path, factor or epoch is unfit."""
        if not all(path.rpartition(":")[2].split("/")):
            raise InputError(
                f"OptimConfig.parts: {path!r}: expected a path such as backbone/conv1."
            )
        if not 0.0 <= rate <= MOST_RATE:
            raise InputError(
                f"OptimConfig.parts: {path}: the factor {rate} must lie in "
                f"[0, {MOST_RATE}]."
            )
        if not 0.0 <= thaw < self.epochs:
            raise InputError(
                f"OptimConfig.parts: {path} is to learn from epoch {thaw:g}, and the "
                f"run has {self.epochs:g}; give an earlier one, or the factor 0 to "
                "freeze it for good."
            )

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
    schedule = _by_epoch if config.rate_per == "epoch" else _by_step
    rate = schedule(config, total_steps)
    parts = []
    if config.clip_norm is not None:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    decayed = None if config.decay_norms else _kernels
    if config.weight_decay and config.method != "adamw":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=decayed))
    if config.method == "adam":
        parts.append(optax.adam(rate))
    elif config.method == "adamw":
        decay = config.weight_decay
        parts.append(optax.adamw(rate, weight_decay=decay, mask=decayed))
    else:
        parts.append(optax.sgd(rate, momentum=config.momentum or None))
    return optax.chain(*parts)


def _kernels(params: Params) -> Any:
    """Returns which arrays have more than one axis."""
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)


def _by_step(config: OptimConfig, total_steps: int) -> optax.Schedule:
    """Returns the rate as a function of the step, which changes with every step."""
    held = round(total_steps * config.hold_epochs / config.epochs)
    rising = round(total_steps * config.rise_epochs / config.epochs)
    if config.fall == "step":
        final = optax.constant_schedule(config.final_learning_rate)
        held_rate = optax.constant_schedule(config.learning_rate)
        fall = optax.join_schedules([held_rate, final], [held])
    else:
        fall = _exponential(config, held, total_steps - 1 - held - rising)
    if not rising:
        return fall
    rise = optax.exponential_decay(
        config.rise_from,
        transition_steps=max(rising - config.rise_reaches, 1),
        decay_rate=config.learning_rate / config.rise_from,
    )
    return optax.join_schedules([rise, fall], [rising])


def _exponential(config: OptimConfig, held: int, steps: int) -> optax.Schedule:
    """Returns the rate that falls over so many steps after those in which it holds."""
    return optax.exponential_decay(
        config.learning_rate,
        transition_steps=max(steps, 1),
        decay_rate=config.final_learning_rate / config.learning_rate,
        transition_begin=held,
    )


def _by_epoch(config: OptimConfig, total_steps: int) -> optax.Schedule:
    """Returns the rate as a function of the step, the same within an epoch."""
    rates = jnp.asarray(_epoch_rates(config))
    # At least 1, and too long only where the whole run is shorter than an epoch.
    steps_per_epoch = max(math.floor(total_steps / config.epochs + 1e-9), 1)

    def rate(count: Any) -> Array:
        return rates[jnp.minimum(count // steps_per_epoch, len(rates) - 1)]

    return rate


def _epoch_rates(config: OptimConfig) -> Float[np.ndarray, " n"]:
    """Returns the learning rate of every epoch for `rate_per="epoch"`."""
    rising, held = round(config.rise_epochs), round(config.hold_epochs)
    falling = math.ceil(config.epochs) - rising - held
    peak = config.learning_rate
    rise = np.geomspace(config.rise_from, peak, rising, endpoint=config.rise_reaches)
    fall = np.geomspace(peak, config.final_learning_rate, falling)
    if config.fall == "step":
        fall = np.full(falling, config.final_learning_rate)
    return np.concatenate([rise, np.full(held, peak), fall])
