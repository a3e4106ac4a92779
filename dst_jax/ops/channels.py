"""What a layer does channel by channel: a bias, statistics, normalisation.

Each has the closed form of its gradient, whose sums over cells are `channel_sum`. What
JAX would derive reads the maps more often and sums them in a way that XLA's CPU
compiler makes six to fifteen times as slow. They have reverse-mode derivatives only.
"""

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float


def channel_sum(x: Float[Array, "b h w c"]) -> Float[Array, " c"]:
    """Returns the sum of each channel over all images and cells.

    On a CPU it adds images first, then rows, then columns: long rows of memory that
    two threads share.
    """
    if jax.default_backend() != "cpu":
        return jnp.sum(x, axis=(0, 1, 2))
    batch, height, width, channels = x.shape
    images = jnp.sum(x.reshape(batch, height, width * channels), axis=0)
    rows = jnp.sum(jax.lax.optimization_barrier(images), axis=0)
    return jnp.sum(rows.reshape(width, channels), axis=0)


@jax.custom_vjp
def add_bias(
    x: Float[Array, "b h w c"], bias: Float[Array, " c"]
) -> Float[Array, "b h w c"]:
    """Returns the maps with a value of each channel added."""
    return x + _everywhere(bias)


def _add_bias_forward(x: Array, bias: Array) -> tuple[Array, None]:
    return add_bias(x, bias), None


def _add_bias_backward(_: None, gradient: Array) -> tuple[Array, Array]:
    return gradient, channel_sum(gradient)


add_bias.defvjp(_add_bias_forward, _add_bias_backward)


@jax.custom_vjp
def power_sums(
    x: Float[Array, "b h w c"],
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Returns each channel's sum of values and of their squares."""
    return channel_sum(x), channel_sum(x * x)


def _power_sums_forward(x: Array) -> tuple[tuple[Array, Array], Array]:
    return power_sums(x), x


def _power_sums_backward(x: Array, gradients: tuple[Array, Array]) -> tuple[Array]:
    of_sum, of_squares = (_everywhere(gradient) for gradient in gradients)
    return (of_sum + 2.0 * x * of_squares,)


power_sums.defvjp(_power_sums_forward, _power_sums_backward)


@jax.custom_vjp
def normalise(
    x: Float[Array, "b h w c"],
    mean: Float[Array, " c"],
    inverse: Float[Array, " c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
) -> Float[Array, "b h w c"]:
    """Returns (x - mean) inverse scale + bias.

    Args:
      x: Feature maps.
      mean: Of each channel.
      inverse: One over the standard deviation.
      scale: The learnt deviation.
      bias: The learnt mean.
    """
    return (x - _everywhere(mean)) * _everywhere(inverse * scale) + _everywhere(bias)


def _normalise_forward(
    x: Array, mean: Array, inverse: Array, scale: Array, bias: Array
) -> tuple[Array, tuple[Array, ...]]:
    return normalise(x, mean, inverse, scale, bias), (x, mean, inverse, scale)


def _normalise_backward(
    operands: tuple[Array, ...], gradient: Array
) -> tuple[Array, ...]:
    x, mean, inverse, scale = operands
    total = channel_sum(gradient)
    product = channel_sum(gradient * (x - _everywhere(mean)))
    factor = inverse * scale
    of_x, of_mean = gradient * _everywhere(factor), -total * factor
    return of_x, of_mean, product * scale, product * inverse, total


normalise.defvjp(_normalise_forward, _normalise_backward)


def _everywhere(values: Array) -> Array:
    return values[None, None, None, :]
