"""The head of SiamRPN++, which reads several stages and fuses what they answer."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.heads import RegionHeadSpec
from dst_jax.models.heads.answers import Features, Memory, RegionAnswer
from dst_jax.models.heads.region import DepthwiseHead
from dst_jax.models.initial import Constant
from dst_jax.typing import Array, Float


class LevelsHead(nn.Module):
    """One `DepthwiseHead` for each level, named like it, and the fusion of all.

    The mean of their answers is taken, or their sum weighted by the softmax of
    `cls_weight` for logits and of `r_weight` for offsets.

    Attributes:
      spec: The head.
      norm_epsilon: Constant added to the variance in its normalisations.
      norm_momentum: Share of the old running statistic that an update keeps.
      dtype: Type of the computation.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises its normalisations.
    """

    spec: RegionHeadSpec
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    def setup(self) -> None:
        """Declares the levels' heads and the vectors of the fusion."""
        norm = self.norm_epsilon, self.norm_momentum
        types = self.dtype, self.param_dtype
        for level in self.spec.levels:
            head = DepthwiseHead(self.spec, *norm, *types, self.axis_name)
            setattr(self, level, head)
        if self.spec.fusion == "learned":
            ones, shape = Constant(1.0), (len(self.spec.levels),)
            names = "cls_weight", "r_weight"
            weights: Any = [self.param(n, ones, shape, self.param_dtype) for n in names]
            self.cls_weight, self.r_weight = weights

    def kernels(self, template: Features, *, train: bool = False) -> Memory:
        """Returns the kernels of each level's branches, "layer2.cls" and so on."""
        return {
            f"{level}.{branch}": kernel
            for level, features in template.items()
            for branch, kernel in self._head(level)
            .kernels({level: features}, train=train)
            .items()
        }

    def __call__(
        self, memory: Memory, search: Features, *, train: bool = False
    ) -> RegionAnswer:
        """Returns logits and offsets of every anchor, fused over the levels."""
        answers = []
        for level, features in search.items():
            own = _of_level(memory, level)
            answers.append(self._head(level)(own, {level: features}, train=train))
        logits, offsets = (jnp.stack(maps) for maps in zip(*answers, strict=True))
        if self.spec.fusion == "mean":
            return RegionAnswer(logits.mean(0), offsets.mean(0))
        return RegionAnswer(
            _weighted(self.cls_weight, logits), _weighted(self.r_weight, offsets)
        )

    def _head(self, level: str) -> DepthwiseHead:
        return getattr(self, level)


def _of_level(memory: Mapping[str, Array], level: str) -> Memory:
    """Returns what is remembered of one level, by branch."""
    stem = f"{level}."
    kept = {name: kernel for name, kernel in memory.items() if name.startswith(stem)}
    return {name.removeprefix(stem): kernel for name, kernel in kept.items()}


def _weighted(
    weight: Float[Array, " n"], maps: Float[Array, "n b u v k c"]
) -> Float[Array, "b u v k c"]:
    """Returns the sum of maps weighted by the softmax of a vector."""
    shares = jax.nn.softmax(weight.astype(maps.dtype))
    return jnp.tensordot(shares, maps, axes=1)
