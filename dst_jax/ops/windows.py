"""Window functions over response maps."""

from typing import Literal

import numpy as np

from dst_jax.typing import Array, Float


def hann(n: int, *, norm: Literal["peak", "sum"] = "peak") -> Float[Array, "{n} {n}"]:
    """Returns the outer product of two symmetric Hann windows of `n` samples.

    Args:
      n: Side of the map; the border is 0, as in NumPy's `hanning`. A side of 1 or 2
        has no interior and gives a flat window.
      norm: "peak" leaves the outer product as it is (1 at the centre of an odd
        side); "sum" makes the values add up to 1.

    Returns:
      A float32 NumPy array, which is a constant in compiled code.

    >>> hann(3)[1]
    array([0., 1., 0.], dtype=float32)
    """
    line = np.hanning(n) if n > 2 else np.ones(n)
    window = np.outer(line, line)
    if norm == "sum":
        window = window / window.sum()
    return window.astype(np.float32)
