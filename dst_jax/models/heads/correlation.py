"""The head of SiamFC, which is the correlation itself."""

import flax.linen as nn

from dst_jax.arch.heads import CorrelationHeadSpec
from dst_jax.models.heads.answers import CellAnswer, Features, Memory, only
from dst_jax.models.heads.channels import HeadChannels
from dst_jax.models.kinds import Kinds
from dst_jax.ops.xcorr import xcorr


class CorrelationHead(nn.Module):
    """SiamFC's response: the scaled correlation of the last feature maps (eq. 1).

    Attributes:
      spec: The head.
      kinds: Settings that all modules share.
    """

    spec: CorrelationHeadSpec
    kinds: Kinds

    def setup(self) -> None:
        """Declares the bias, if there is one."""
        if self.spec.bias:
            zeros, dtype = nn.initializers.zeros, self.kinds.param_dtype
            self.bias = self.param("bias", zeros, (), dtype)

    def kernels(self, template: Features, *, train: bool = False) -> Memory:
        """Returns the template's features themselves."""
        del train  # this head has no normalisation
        return {"cls": only(template)}

    def __call__(
        self, memory: Memory, search: Features, *, train: bool = False
    ) -> CellAnswer:
        """Returns the correlation of memory and search map.

        Args:
          memory: From `kernels`; its batch is that of the search map, or 1.
          search: Features of the search images.
          train: Ignored, because this head has no normalisation.
        """
        del train
        response = xcorr(only(search), memory["cls"]) * self.spec.scale
        if self.spec.bias:
            bias = self.kinds.learnt((*self.path, "bias"), self.bias)
            response = response + bias.astype(response.dtype)
        return CellAnswer(response)

    @staticmethod
    def channels(spec: CorrelationHeadSpec) -> dict[str, HeadChannels]:
        """Returns an empty mapping, because no layer of this head has a width."""
        del spec
        return {}
