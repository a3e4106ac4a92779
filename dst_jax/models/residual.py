"""Residual stages, built from their specs."""

from collections.abc import Sequence

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.backbones.residual import Block, ResidualSpec
from dst_jax.models.layers import ConvStage
from dst_jax.typing import Array, Float


class ResidualBlock(nn.Module):
    """The convolutions of one block, their sum with its input, and a ReLU.

    Its parts are "conv1" and so on, and "projection". The other attributes are those of
    `ConvStage`.
    """

    spec: Block
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ _"]], *, train: bool
    ) -> Sequence[Float[Array, "_ _ _ _"]]:
        """Returns the block's features, image by image."""
        found = images
        for index, conv in enumerate(self.spec.main, start=1):
            found, _ = self._stage(conv, f"conv{index}")(found, train=train)
        if self.spec.projection is not None:
            projection = self._stage(self.spec.projection, "projection")
            images, _ = projection(images, train=train)
        return [jax.nn.relu(x + y) for x, y in zip(found, images, strict=True)]

    def _stage(self, conv: ConvSpec, name: str) -> ConvStage:
        norm = self.norm_epsilon, self.norm_momentum
        types = self.dtype, self.param_dtype
        return ConvStage(conv, *norm, *types, self.axis_name, name=name)


class ResidualStage(nn.Module):
    """The blocks of a `ResidualSpec`, "block1" and so on.

    The other attributes are those of `ConvStage`, and so are its calls.
    """

    spec: ResidualSpec
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ _"]], *, train: bool
    ) -> tuple[Sequence[Float[Array, "_ _ _ _"]], Sequence[Float[Array, "_ _ _ _"]]]:
        """Returns the features of the last block, image by image, twice.

        In training all images together are normalised by their common statistics.
        """
        for number, block in enumerate(self.spec.members(images[0].shape[-1]), start=1):
            images = ResidualBlock(
                block,
                self.norm_epsilon,
                self.norm_momentum,
                self.dtype,
                self.param_dtype,
                self.axis_name,
                name=f"block{number}",
            )(images, train=train)
        return images, images
