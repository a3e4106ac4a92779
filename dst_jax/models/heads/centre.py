"""The head of OSTrack, which gives a score, an offset and a size per cell."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from dst_jax.arch.heads import CentreHeadSpec
from dst_jax.models.heads.answers import CentreAnswer, Features, Memory, only
from dst_jax.models.heads.channels import HeadChannels
from dst_jax.models.initial import Normal
from dst_jax.models.kinds import Kinds
from dst_jax.models.layers import Conv, ConvStage
from dst_jax.ops.centre import clamped_sigmoid
from dst_jax.ops.precision import at_least_single
from dst_jax.typing import Array, Float


def xavier_deviation(shape: Sequence[int]) -> float:
    """Returns the standard deviation of Xavier for a kernel of shape [kh, kw, i, d]."""
    height, width, inputs, features = shape
    return math.sqrt(2.0 / (height * width * (inputs + features)))


XAVIER = Normal(xavier_deviation, uniform=True)


class Branch(nn.Module):
    """One branch of the head: "conv1" to "conv4", and "read".

    Attributes:
      spec: The head.
      outputs: Numbers per cell.
      kinds: Settings that all modules share.
      first: First value of each number, apart from the map.
    """

    spec: CentreHeadSpec
    outputs: int
    kinds: Kinds
    first: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b u v d"], *, train: bool
    ) -> Float[Array, "b u v _"]:
        """Returns the numbers of every cell."""
        for index, conv in enumerate(self.spec.stages, start=1):
            stage = ConvStage(conv, self.kinds, first=XAVIER, name=f"conv{index}")
            ((x,), _) = stage([x], train=train)
        last = self.spec.reading(self.outputs)
        read = Conv(last, self.kinds, first=XAVIER, first_bias=self.first, name="read")
        return read(x)


class CentreHead(nn.Module):
    """The branches "score", "offset" and "size".

    Attributes:
      spec: The head.
      kinds: Settings that all modules share.
    """

    spec: CentreHeadSpec
    kinds: Kinds

    def setup(self) -> None:
        """Declares the branches."""
        odds = self.spec.prior / (1.0 - self.spec.prior)
        for name, outputs in self.spec.branches:
            first = math.log(odds) if name == "score" else 0.0
            setattr(self, name, Branch(self.spec, outputs, self.kinds, first))

    def kernels(self, template: Features, *, train: bool = False) -> Memory:
        """Returns an empty mapping, because the backbone compares both images."""
        del template, train
        return {}

    def __call__(
        self, memory: Memory, search: Features, *, train: bool = False
    ) -> CentreAnswer:
        """Returns score, offset and size of every cell, in float32 at least."""
        del memory
        shown, found = only(search), {}
        for name, _ in self.spec.branches:
            branch: Branch = getattr(self, name)
            x = branch(shown.astype(self.kinds.dtype), train=train)
            found[name] = x.astype(at_least_single(x.dtype))
        offsets = jnp.concatenate(
            [found["offset"], clamped_sigmoid(found["size"])], axis=-1
        )
        return CentreAnswer(found["score"][..., 0], offsets)

    @staticmethod
    def channels(spec: CentreHeadSpec) -> dict[str, HeadChannels]:
        """Returns an empty mapping, because no search shrinks this head."""
        del spec
        return {}
