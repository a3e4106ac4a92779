"""Adapters: 1 x 1 convolutions that bring a student's maps to the teacher's channels.

They learn beside the student as a term's own parameters, and are no part of it.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from dst_jax.typing import Array, Float, Params


def init_adapter(
    rng: np.random.Generator, given: int, wanted: int, *, dtype: DTypeLike
) -> Params:
    """Returns the first values of an adapter, "kernel" and "bias".

    The kernel is normal with the deviation that keeps the size of features; the bias is
    0. They are drawn on the host, as the networks' are.

    Args:
      rng: Randomness of the kernel.
      given: Channels of the student's map.
      wanted: Channels of the teacher's map.
      dtype: Type of the parameters.
    """
    kernel = rng.standard_normal((given, wanted)) / math.sqrt(given)
    return {
        "kernel": jnp.asarray(kernel, dtype),
        "bias": jnp.zeros((wanted,), dtype),
    }


def adapted(
    adapter: Params, features: Float[Array, "b h w d"]
) -> Float[Array, "b h w e"]:
    """Returns the student's map in the teacher's channels."""
    mixed = jnp.einsum("bhwd,de->bhwe", features, adapter["kernel"])
    return mixed + adapter["bias"][None, None, None]
