"""Types of computations that must not be half precise."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def at_least_single(dtype: DTypeLike) -> np.dtype:
    """Returns float32 for narrower types, else the type itself.

    Example:
      >>> at_least_single(jnp.bfloat16), at_least_single(jnp.float64)
      (dtype('float32'), dtype('float64'))
    """
    narrow = jnp.finfo(dtype).bits < 32
    return np.dtype(np.float32) if narrow else np.dtype(dtype)
