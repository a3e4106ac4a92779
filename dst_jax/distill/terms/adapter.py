"""Adapters: 1 x 1 convolutions that bring a student's maps to the teacher's channels.

They learn beside the student as a term's own parameters, and are no part of it.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from dst_jax.typing import Array, Float, Params


def init_adapters(
    key: Array, channels: Mapping[str, tuple[int, int]], *, dtype: DTypeLike
) -> dict[str, Params]:
    """Returns the first values of adapters by map, "kernel" and "bias" of each.

    Kernels are normal with the deviation that keeps the size of features; biases are 0.
    They are drawn on the host, as the networks' are.

    Args:
      key: Randomness of the kernels.
      channels: Channels of the student's map and of the teacher's, by map.
      dtype: Type of the parameters.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    adapters = {}
    for name, (given, wanted) in channels.items():
        kernel = rng.standard_normal((given, wanted)) / math.sqrt(given)
        adapters[name] = {
            "kernel": jnp.asarray(kernel, dtype),
            "bias": jnp.zeros((wanted,), dtype),
        }
    return adapters


def adapted(
    adapter: Params, features: Float[Array, "b h w d"]
) -> Float[Array, "b h w e"]:
    """Returns the student's map in the teacher's channels."""
    mixed = jnp.einsum("bhwd,de->bhwe", features, adapter["kernel"])
    return mixed + adapter["bias"][None, None, None]
