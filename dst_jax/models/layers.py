"""Parameterised layers that the backbones share."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.backbones.chain import ConvSpec
from dst_jax.models.initial import Normal
from dst_jax.ops.conv import conv2d, max_pool
from dst_jax.typing import Array, Float


def kernel_deviation(shape: Sequence[int]) -> float:
    """Returns the standard deviation of a fresh kernel of shape [kh, kw, i, d].

    It is that of Kaiming by fan-out, as in StrangerZhang's SiamFC, whose recipe the
    SiamFC teacher of DST follows.
    """
    height, width, _, features = shape
    return math.sqrt(2.0 / (height * width * features))


class Conv(nn.Module):
    """A convolution; `ops.conv` chooses the formulation.

    Attributes:
      spec: Sizes; its normalisation, activation and pooling are not applied here.
      dtype: Type of the computation.
      param_dtype: Type of the parameters.
      use_bias: Whether a bias is added.
      gain: Factor on the kernel's first values.
    """

    spec: ConvSpec
    dtype: DTypeLike
    param_dtype: DTypeLike
    use_bias: bool = True
    gain: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b u v d"]:
        """Returns the convolution of `x`, whose sizes follow from the spec."""
        spec = self.spec
        inputs = x.shape[-1] // spec.groups
        shape = (spec.kernel, spec.kernel, inputs, spec.features)
        fresh = Normal(kernel_deviation, self.gain)
        kernel: Any = self.param("kernel", fresh, shape, self.param_dtype)
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
    """The convolution, normalisation, activation and pooling of one `ConvSpec`."""

    spec: ConvSpec
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None
    use_bias: bool = True

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ _"]], *, train: bool
    ) -> tuple[Sequence[Float[Array, "_ _ _ _"]], Sequence[Float[Array, "_ _ _ _"]]]:
        """Returns the stage's features before and after pooling, image by image.

        In training all images together are normalised by their common statistics.
        """
        types = self.dtype, self.param_dtype
        conv = Conv(self.spec, *types, use_bias=self.use_bias, name="conv")
        maps = [conv(x) for x in images]
        if self.spec.batch_norm:
            maps = self._normalised(maps, train)
        if self.spec.activation == "relu":
            maps = [jax.nn.relu(x) for x in maps]
        if self.spec.pool is None:
            return maps, maps
        window, stride = self.spec.pool.window, self.spec.pool.stride
        return maps, [max_pool(x, window=window, stride=stride) for x in maps]

    def _normalised(self, maps: Sequence[Array], train: bool) -> Sequence[Array]:
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.norm_momentum,
            epsilon=self.norm_epsilon,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            # Only training reduces over devices.
            axis_name=self.axis_name if train else None,
            name="norm",
        )
        if len(maps) == 1:
            return [norm(maps[0])]
        cells = [x.reshape(-1, x.shape[-1]) for x in maps]
        ends = [sum(len(c) for c in cells[:n]) for n in range(1, len(cells))]
        parts = jnp.split(norm(jnp.concatenate(cells)), ends)
        return [part.reshape(x.shape) for part, x in zip(parts, maps, strict=True)]
