"""Parameterised layers that the backbones share."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dst_jax.arch.backbones.conv import ConvSpec, PoolSpec
from dst_jax.models.initial import Constant, Normal
from dst_jax.models.kinds import Kinds
from dst_jax.ops.channels import add_bias, normalise, power_sums
from dst_jax.ops.conv import conv2d, max_pool
from dst_jax.typing import Array, Float


def kernel_deviation(shape: Sequence[int]) -> float:
    """Returns the standard deviation of a fresh kernel of shape [kh, kw, i, d].

    It is that of Kaiming by fan-out, as in StrangerZhang's SiamFC, whose recipe the
    SiamFC teacher of DST follows.
    """
    height, width, _, features = shape
    return math.sqrt(2.0 / (height * width * features))


# Kaiming's normal distribution.
KAIMING = Normal(kernel_deviation)


def cropped(maps: Sequence[Array], crop: int) -> Sequence[Array]:
    """Returns maps without `crop` cells at each side."""
    if not crop:
        return maps
    return [x[:, crop:-crop, crop:-crop] for x in maps]


def pooled(maps: Sequence[Array], pool: PoolSpec | None) -> Sequence[Array]:
    """Returns pooled maps, or the maps themselves where there is no pooling."""
    if pool is None:
        return maps
    window, stride, padding = pool.window, pool.stride, pool.padding
    return [max_pool(x, window=window, stride=stride, padding=padding) for x in maps]


class Conv(nn.Module):
    """A convolution; `ops.conv` chooses the formulation.

    Attributes:
      spec: Sizes; its normalisation, activation and pooling are not applied here.
      kinds: Settings that all modules share.
      gain: Factor on the kernel's first values.
      first: Distribution of the kernel's first values.
      first_bias: The bias's first value.
    """

    spec: ConvSpec
    kinds: Kinds
    gain: float = 1.0
    first: Normal = KAIMING
    first_bias: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b u v d"]:
        """Returns the convolution of `x`, whose sizes follow from the spec."""
        spec, kinds = self.spec, self.kinds
        inputs = x.shape[-1] // spec.groups
        shape = (spec.kernel, spec.kernel, inputs, spec.features)
        fresh = dataclasses.replace(self.first, gain=self.gain)
        kernel: Any = self.param("kernel", fresh, shape, kinds.param_dtype)
        y = conv2d(
            x.astype(kinds.dtype),
            kinds.learnt((*self.path, "kernel"), kernel).astype(kinds.dtype),
            stride=spec.stride,
            padding=(spec.padding, spec.padding - spec.trim),
            groups=spec.groups,
            dilation=spec.dilation,
        )
        if not spec.bias:
            return y
        set_to = Constant(self.first_bias) if self.first_bias else nn.initializers.zeros
        bias: Any = self.param("bias", set_to, (spec.features,), kinds.param_dtype)
        bias = kinds.learnt((*self.path, "bias"), bias)
        return add_bias(y, bias.astype(kinds.dtype))


class BatchNorm(nn.Module):
    """Flax's batch normalisation of several maps by their common statistics.

    Its variables, their first values and its float32 arithmetic are those of
    `flax.linen.BatchNorm`, which would need the maps copied into one array. Where it is
    frozen, training computes as inference does.

    Attributes:
      kinds: Settings that all modules share.
    """

    kinds: Kinds

    @nn.compact
    def __call__(
        self, maps: Sequence[Float[Array, "_ _ _ c"]], *, train: bool
    ) -> list[Float[Array, "_ _ _ c"]]:
        """Returns the normalised maps; training changes the running statistics."""
        zeros, ones = nn.initializers.zeros, nn.initializers.ones
        channels = (maps[0].shape[-1],)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels)
        kinds = self.kinds
        scale: Any = self.param("scale", ones, channels, kinds.param_dtype)
        bias: Any = self.param("bias", zeros, channels, kinds.param_dtype)
        scale = kinds.learnt((*self.path, "scale"), scale)
        bias = kinds.learnt((*self.path, "bias"), bias)
        half = jnp.finfo(kinds.dtype).bits < 32
        exact = jnp.float32 if half else kinds.dtype
        mean, variance = running_mean.value, running_var.value
        if train and not kinds.holds(self.path):
            mean, variance = self._statistics([x.astype(exact) for x in maps])
            if not self.is_initializing():
                keep = kinds.norm_momentum
                running_mean.value = keep * running_mean.value + (1 - keep) * mean
                running_var.value = keep * running_var.value + (1 - keep) * variance
        inverse = jax.lax.rsqrt(variance + kinds.norm_epsilon)
        shared = [v.astype(exact) for v in (mean, inverse, scale, bias)]
        return [normalise(x.astype(exact), *shared).astype(kinds.dtype) for x in maps]

    def _statistics(self, maps: Sequence[Array]) -> tuple[Array, Array]:
        """Returns mean and variance of each channel of all maps, of all devices."""
        cells = sum(math.prod(x.shape[:-1]) for x in maps)
        sums = [power_sums(x) for x in maps]
        both = jnp.stack([sum(total) / cells for total in zip(*sums, strict=True)])
        axis_name = self.kinds.axis_name
        if axis_name is not None and not self.is_initializing():
            both = jax.lax.pmean(both, axis_name)
        # Rounding may leave less than nothing.
        return both[0], jnp.maximum(0.0, both[1] - both[0] ** 2)


class ConvStage(nn.Module):
    """The convolution, normalisation, activation, crop and pooling of one `ConvSpec`.

    Attributes:
      spec: The stage.
      kinds: Settings that all modules share.
      first: Distribution of the kernel's first values.
    """

    spec: ConvSpec
    kinds: Kinds
    first: Normal = KAIMING

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ _"]], *, train: bool
    ) -> tuple[Sequence[Float[Array, "_ _ _ _"]], Sequence[Float[Array, "_ _ _ _"]]]:
        """Returns the stage's features before and after pooling, image by image.

        In training all images together are normalised by their common statistics.
        """
        conv = Conv(self.spec, self.kinds, first=self.first, name="conv")
        maps = [conv(x) for x in images]
        if self.spec.batch_norm:
            maps = self._normalised(maps, train)
        if self.spec.activation == "relu":
            maps = [jax.nn.relu(x) for x in maps]
        maps = cropped(maps, self.spec.crop)
        return maps, pooled(maps, self.spec.pool)

    def _normalised(self, maps: Sequence[Array], train: bool) -> Sequence[Array]:
        return BatchNorm(self.kinds, name="norm")(maps, train=train)
