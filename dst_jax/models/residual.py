"""Residual stages, built from their specs."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from dst_jax.arch.backbones.residual import Block, ResidualSpec
from dst_jax.models.kinds import Kinds
from dst_jax.models.layers import ConvStage, cropped, pooled
from dst_jax.typing import Array, Float


class ResidualBlock(nn.Module):
    """The convolutions of one block, their sum with its input, and what follows it.

    Its parts are "conv1" and so on, and "projection".

    Attributes:
      spec: The block.
      kinds: Settings that all modules share.
    """

    spec: Block
    kinds: Kinds

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ _"]], *, train: bool
    ) -> Sequence[Float[Array, "_ _ _ _"]]:
        """Returns the block's features, image by image."""
        found = images
        for index, conv in enumerate(self.spec.main, start=1):
            stage = ConvStage(conv, self.kinds, name=f"conv{index}")
            found, _ = stage(found, train=train)
        if self.spec.projection is not None:
            stage = ConvStage(self.spec.projection, self.kinds, name="projection")
            images, _ = stage(images, train=train)
        sums = [x + y for x, y in zip(found, images, strict=True)]
        if self.spec.activation == "relu":
            sums = [jax.nn.relu(x) for x in sums]
        return pooled(cropped(sums, self.spec.crop), self.spec.pool)


class ResidualStage(nn.Module):
    """The blocks of a `ResidualSpec`, "block1" and so on.

    It is called as a `ConvStage` is.

    Attributes:
      spec: The stage.
      kinds: Settings that all modules share.
    """

    spec: ResidualSpec
    kinds: Kinds

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ _"]], *, train: bool
    ) -> tuple[Sequence[Float[Array, "_ _ _ _"]], Sequence[Float[Array, "_ _ _ _"]]]:
        """Returns the features of the last block, image by image, twice.

        In training all images together are normalised by their common statistics.
        """
        for number, block in enumerate(self.spec.members(images[0].shape[-1]), start=1):
            made = ResidualBlock(block, self.kinds, name=f"block{number}")
            images = made(images, train=train)
        return images, images
