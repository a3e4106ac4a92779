"""The heads of SiamRPN, which give two logits and four offsets per anchor.

A head has two halves, so that a tracker runs the first one once a video: `kernels`
makes kernels from the template, and a call correlates the search map with them.
"""

import dataclasses
import math

import flax.linen as nn

from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.heads import RegionHeadSpec
from dst_jax.models.heads.answers import Features, Memory, RegionAnswer, only
from dst_jax.models.heads.channels import HeadChannels
from dst_jax.models.kinds import Kinds
from dst_jax.models.layers import Conv, ConvStage
from dst_jax.ops.xcorr_region import xcorr_depthwise, xcorr_up
from dst_jax.typing import Array, Float


class UpChannelHead(nn.Module):
    """SiamRPN's classification and regression branches (eq. 3, 4).

    Names of the parts follow DaSiamRPN: `cls1` and `r1` make kernels from the template,
    `cls2` and `r2` read the search map, and `regress_adjust` mixes the offsets. In
    their channels the anchor varies fastest and the logit or coordinate slowest, as in
    the public weights.

    The layers that make kernels start with small values. Otherwise sums over hundreds
    of products would give logits of 20 and boxes far from their anchors. With small
    values the first logits have a spread of about 1 and the first offsets of about 0.1.

    Attributes:
      spec: The head.
      kinds: Settings that all modules share.
      template_side: Number of cells per side of the template's feature map.
    """

    spec: RegionHeadSpec
    kinds: Kinds
    template_side: int

    def setup(self) -> None:
        """Declares the five convolutions."""
        k, width, kernel = self.spec.anchors, self.spec.features, self.spec.kernel
        side = self.template_side - kernel + 1
        unit = (side * side * width) ** -0.5

        def conv(features: int, kernel: int, *, gain: float = 1.0) -> Conv:
            return Conv(ConvSpec(features, kernel), self.kinds, gain=gain)

        self.cls1 = conv(2 * k * width, kernel, gain=unit)
        self.r1 = conv(4 * k * width, kernel, gain=0.1 * unit)
        self.cls2, self.r2 = conv(width, kernel), conv(width, kernel)
        self.regress_adjust = conv(4 * k, 1)

    def kernels(self, template: Features, *, train: bool = False) -> Memory:
        """Returns a kernel for each logit and offset, [k, a, b, width, n]."""
        del train  # this head has no normalisation
        width, made = self.spec.features, {}
        for name, conv in (("cls", self.cls1), ("r", self.r1)):
            flat = conv(only(template))
            outputs = flat.shape[-1] // width
            split = flat.reshape(*flat.shape[:3], outputs, width)
            made[name] = split.swapaxes(-1, -2)
        return made

    def __call__(
        self, memory: Memory, search: Features, *, train: bool = False
    ) -> RegionAnswer:
        """Returns logits and offsets of every anchor."""
        del train
        shown = only(search)
        logits = xcorr_up(self.cls2(shown), memory["cls"])
        offsets = xcorr_up(self.r2(shown), memory["r"])
        return _by_anchor(self.spec.anchors, logits, self.regress_adjust(offsets))

    @staticmethod
    def channels(spec: RegionHeadSpec) -> dict[str, HeadChannels]:
        """Returns, by name, the layers whose channels follow from the head's width.

        In the channels of `cls1` and `r1` the width varies fastest.
        """
        k, kernel = spec.anchors, spec.kernel
        return {
            "cls1": HeadChannels(kernel, "backbone", 2 * k),
            "r1": HeadChannels(kernel, "backbone", 4 * k),
            "cls2": HeadChannels(kernel, "backbone", 1),
            "r2": HeadChannels(kernel, "backbone", 1),
        }


class DepthwiseHead(nn.Module):
    """Classification and regression branches of pysot, those of one level.

    Both maps go through `adjust`, where the spec has it; then the template's is cut to
    its middle. In each branch `template` and `search` read the two maps, and the
    results are correlated channel by channel. Then `mix` and `read` make logits or
    offsets of it, whose channels have the order of those in `UpChannelHead`.

    Attributes:
      spec: The head; of its levels this is one.
      kinds: Settings that all modules share.
    """

    spec: RegionHeadSpec
    kinds: Kinds

    def setup(self) -> None:
        """Declares four layers for each branch, and the adjustment."""
        if self.spec.adjusting is not None:
            self.adjust = ConvStage(self.spec.adjusting, self.kinds)
        conv, mix = self.spec.stage, dataclasses.replace(self.spec.stage, kernel=1)
        for branch in ("cls", "r"):
            setattr(self, f"{branch}_template", ConvStage(conv, self.kinds))
            setattr(self, f"{branch}_search", ConvStage(conv, self.kinds))
            setattr(self, f"{branch}_mix", ConvStage(mix, self.kinds))
        k = self.spec.anchors
        self.cls_read, self.r_read = self._read(2 * k, 1.0), self._read(4 * k, 0.1)

    def kernels(self, template: Features, *, train: bool = False) -> Memory:
        """Returns for each branch a kernel with the channels of its search map."""
        seen = self._adjusted(only(template), train)
        # In training the adjustment's statistics are of the whole map.
        if cells := self.spec.template_cells:
            edge = (seen.shape[1] - cells) // 2
            seen = seen[:, edge : edge + cells, edge : edge + cells]
        return {
            "cls": _alone(self.cls_template, seen, train),
            "r": _alone(self.r_template, seen, train),
        }

    def __call__(
        self, memory: Memory, search: Features, *, train: bool = False
    ) -> RegionAnswer:
        """Returns logits and offsets of every anchor."""
        shown = self._adjusted(only(search), train)
        branches = {
            "cls": (self.cls_search, self.cls_mix, self.cls_read),
            "r": (self.r_search, self.r_mix, self.r_read),
        }
        maps = {}
        for name, (stage, mix, read) in branches.items():
            x = xcorr_depthwise(_alone(stage, shown, train), memory[name])
            maps[name] = read(_alone(mix, x, train))
        return _by_anchor(self.spec.anchors, maps["cls"], maps["r"])

    def _adjusted(self, features: Array, train: bool) -> Array:
        if self.spec.adjusting is None:
            return features
        return _alone(self.adjust, features, train)

    @staticmethod
    def channels(spec: RegionHeadSpec) -> dict[str, HeadChannels]:
        """Returns, by name, the layers whose channels follow from the head's width."""
        layers: dict[str, HeadChannels] = {}
        for name, outputs in (("cls", 2 * spec.anchors), ("r", 4 * spec.anchors)):
            layers[f"{name}_template"] = HeadChannels(spec.kernel, "backbone", 1)
            layers[f"{name}_search"] = HeadChannels(spec.kernel, "backbone", 1)
            layers[f"{name}_mix"] = HeadChannels(1, "features", 1)
            layers[f"{name}_read"] = HeadChannels(1, "features", outputs, widens=False)
        return layers

    def _read(self, outputs: int, spread: float) -> Conv:
        """Returns the last layer of a branch.

        Where several levels are fused, the first logits have a spread of about 1 and
        the first offsets of about 0.1, as in `UpChannelHead`: half of the normalised
        features pass the ReLU, with a mean square of 1.
        """
        gain = 1.0
        if self.spec.levels:
            gain = spread * math.sqrt(outputs / self.spec.features)
        return Conv(ConvSpec(outputs, 1), self.kinds, gain=gain)


def _alone(stage: ConvStage, x: Array, train: bool) -> Array:
    return stage([x], train=train)[0][0]


def _by_anchor(
    k: int, logits: Float[Array, "b u v _"], offsets: Float[Array, "b u v _"]
) -> RegionAnswer:
    sides = logits.shape[:3]
    logits = logits.reshape(*sides, 2, k).swapaxes(-1, -2)
    return RegionAnswer(logits, offsets.reshape(*sides, 4, k).swapaxes(-1, -2))
