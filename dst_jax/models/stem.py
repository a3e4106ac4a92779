"""Early convolutions, which make tokens from pixels in place of one linear layer.

Xiao et al., 2021, "Early Convolutions Help Transformers See Better".
"""

from collections.abc import Sequence

import flax.linen as nn

from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.models.blocks import Linear
from dst_jax.models.kinds import Kinds
from dst_jax.models.layers import ConvStage
from dst_jax.typing import Array, Float


class ConvStem(nn.Module):
    """The stages "conv1", "conv2" and so on, and the linear layer "last".

    Attributes:
      spec: The backbone.
      kinds: Settings that all modules share.
    """

    spec: TokenBackboneSpec
    kinds: Kinds

    @nn.compact
    def __call__(
        self, maps: Sequence[Float[Array, "_ _ _ 3"]], *, train: bool
    ) -> list[Float[Array, "_ _ d"]]:
        """Returns the tokens of images, row by row, without their positions.

        In training all images together are normalised by their common statistics.
        """
        for index, conv in enumerate(self.spec.halvings, start=1):
            stage = ConvStage(conv, self.kinds, name=f"conv{index}")
            maps, _ = stage(maps, train=train)
        width = self.spec.width
        last = Linear(width, width, self.kinds, name="last")()
        return [last(x.reshape(x.shape[0], -1, width)) for x in maps]
