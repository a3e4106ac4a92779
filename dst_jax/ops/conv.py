"""Convolution and max pooling, each in several formulations behind one function."""

from typing import Literal

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float

Formulation = Literal["lax", "per_example", "im2col"]


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw i d"],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    formulation: Formulation | None = None,
) -> Float[Array, "b u v d"]:
    """Correlates images with a kernel, as `lax.conv_general_dilated` does.

    Args:
      x: Images or feature maps, channels last.
      kernel: Weights; `i` is c / groups.
      stride: Step in both directions.
      padding: Zeros added on each side; negative padding crops.
      groups: Input and output channels are split into this many groups.
      formulation: How it is computed; None chooses for the backend.

    Returns:
      Feature maps of side (h + 2 padding - kh) // stride + 1.
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def max_pool(
    x: Float[Array, "b h w c"], *, window: int, stride: int
) -> Float[Array, "b u v c"]:
    """The largest value of each window, without padding."""
    return jax.lax.reduce_window(
        x,
        -jnp.inf,
        jax.lax.max,
        (1, window, window, 1),
        (1, stride, stride, 1),
        "VALID",
    )
