"""The head of SiamRPN++, which reads several stages and fuses what they answer."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from dst_jax.arch.heads import RegionHeadSpec
from dst_jax.models.heads.answers import Features, Memory, RegionAnswer
from dst_jax.models.heads.region import DepthwiseHead
from dst_jax.models.initial import Constant
from dst_jax.models.kinds import Kinds
from dst_jax.typing import Array, Float


class LevelsHead(nn.Module):
    """One `DepthwiseHead` for each level, named like it, and the fusion of all.

    The mean of their answers is taken, or their sum weighted by the softmax of
    `cls_weight` for logits and of `r_weight` for offsets.

    Attributes:
      spec: The head.
      kinds: Settings that all modules share.
    """

    spec: RegionHeadSpec
    kinds: Kinds

    def setup(self) -> None:
        """Declares the levels' heads and the vectors of the fusion."""
        for level in self.spec.levels:
            setattr(self, level, DepthwiseHead(self.spec, self.kinds))
        if self.spec.fusion == "learned":
            ones, shape = Constant(1.0), (len(self.spec.levels),)
            self.cls_weight = self.param(
                "cls_weight", ones, shape, self.kinds.param_dtype
            )
            self.r_weight = self.param("r_weight", ones, shape, self.kinds.param_dtype)

    def kernels(self, template: Features, *, train: bool = False) -> Memory:
        """Returns the kernels of each level's branches, "layer2.cls" and so on."""
        memory = {}
        for level in self.spec.levels:
            head: DepthwiseHead = getattr(self, level)
            made = head.kernels({level: template[level]}, train=train)
            memory |= {f"{level}.{branch}": kernel for branch, kernel in made.items()}
        return memory

    def __call__(
        self, memory: Memory, search: Features, *, train: bool = False
    ) -> RegionAnswer:
        """Returns logits and offsets of every anchor, fused over the levels."""
        answers = []
        for level in self.spec.levels:
            head: DepthwiseHead = getattr(self, level)
            own = _of_level(memory, level)
            answers.append(head(own, {level: search[level]}, train=train))
        logits, offsets = (jnp.stack(maps) for maps in zip(*answers, strict=True))
        if self.spec.fusion == "mean":
            return RegionAnswer(logits.mean(0), offsets.mean(0))
        return RegionAnswer(
            self._weighted("cls_weight", logits), self._weighted("r_weight", offsets)
        )

    def _weighted(
        self, name: str, maps: Float[Array, "n b u v k c"]
    ) -> Float[Array, "b u v k c"]:
        """Returns the sum of maps weighted by the softmax of a learned vector."""
        weight = self.kinds.learnt((*self.path, name), getattr(self, name))
        shares = jax.nn.softmax(weight.astype(maps.dtype))
        return jnp.tensordot(shares, maps, axes=1)


def _of_level(memory: Mapping[str, Array], level: str) -> Memory:
    """Returns what is remembered of one level, by branch."""
    stem = f"{level}."
    kept = {name: kernel for name, kernel in memory.items() if name.startswith(stem)}
    return {name.removeprefix(stem): kernel for name, kernel in kept.items()}
