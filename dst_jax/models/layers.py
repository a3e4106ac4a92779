"""Parameterised layers that the backbones share."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from dst_jax.arch.spec import ConvSpec
from dst_jax.ops.conv import conv2d, max_pool
from dst_jax.typing import Array, Float


def kernel_deviation(shape: Sequence[int]) -> float:
    """Standard deviation of a fresh kernel [kh, kw, i, d]: Kaiming's, by fan-out.

    As in StrangerZhang's SiamFC, the recipe that DST's SiamFC teacher follows.
    """
    height, width, _, features = shape
    return math.sqrt(2.0 / (height * width * features))


def _fresh_kernel(key: Array, shape: Sequence[int], dtype: DTypeLike) -> Array:
    return kernel_deviation(shape) * jax.random.normal(key, shape, dtype)


class Conv(nn.Module):
    """A convolution; `ops.conv` chooses how it is computed."""

    spec: ConvSpec
    dtype: DTypeLike
    param_dtype: DTypeLike
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b u v d"]:
        """Convolves `x`; sizes follow from the spec."""
        spec = self.spec
        inputs = x.shape[-1] // spec.groups
        shape = (spec.kernel, spec.kernel, inputs, spec.features)
        kernel = self.param("kernel", _fresh_kernel, shape, self.param_dtype)
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=spec.stride,
            padding=(spec.padding, spec.padding - spec.trim),
            groups=spec.groups,
        )
        if not self.use_bias:
            return y
        bias = self.param(
            "bias", nn.initializers.zeros, (spec.features,), self.param_dtype
        )
        return y + bias.astype(self.dtype)[None, None, None]


class ConvStage(nn.Module):
    """Convolution, normalisation, activation, pooling: one `ConvSpec`."""

    spec: ConvSpec
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Float[Array, "b u v d"], Float[Array, "b i j d"]]:
        """Returns the stage's features before and after pooling."""
        x = Conv(self.spec, self.dtype, self.param_dtype, name="conv")(x)
        if self.spec.batch_norm:
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=self.norm_momentum,
                epsilon=self.norm_epsilon,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                # Only training reduces over devices.
                axis_name=self.axis_name if train else None,
                name="norm",
            )(x)
        if self.spec.activation == "relu":
            x = jax.nn.relu(x)
        if self.spec.pool is None:
            return x, x
        pool = self.spec.pool
        return x, max_pool(x, window=pool.window, stride=pool.stride)
