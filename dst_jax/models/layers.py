"""Parameterised layers that the backbones share."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from dst_jax.arch.spec import ConvSpec
from dst_jax.ops.conv import conv2d, max_pool
from dst_jax.typing import Array, Float

# Kaiming's normal initialisation by fan-out, as in StrangerZhang's SiamFC, the
# recipe that DST's SiamFC teacher follows.
KERNEL_INIT: Callable[..., Any] = nn.initializers.variance_scaling(
    2.0, "fan_out", "normal"
)


class Conv(nn.Module):
    """A convolution with bias; `ops.conv` chooses how it is computed."""

    spec: ConvSpec
    dtype: DTypeLike
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b u v d"]:
        """Convolves `x`; sizes follow from the spec."""
        spec = self.spec
        inputs = x.shape[-1] // spec.groups
        shape = (spec.kernel, spec.kernel, inputs, spec.features)
        kernel = self.param("kernel", KERNEL_INIT, shape, self.param_dtype)
        bias = self.param(
            "bias", nn.initializers.zeros, (spec.features,), self.param_dtype
        )
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=spec.stride,
            padding=spec.padding,
            groups=spec.groups,
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
