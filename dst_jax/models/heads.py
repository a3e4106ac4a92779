"""Read-outs of a Siamese tracker: from two feature maps to a response.

A head has two halves, so that a tracker runs the first once a video: `kernels` makes of
the template what the search map is correlated with, a call does the rest.
"""

from typing import NamedTuple, TypeAlias

import flax.linen as nn
from jax.typing import DTypeLike

from dst_jax.arch.spec import ConvSpec, CorrelationHeadSpec, RegionHeadSpec
from dst_jax.models.layers import Conv, ConvStage
from dst_jax.ops.xcorr import xcorr
from dst_jax.ops.xcorr_region import xcorr_depthwise, xcorr_up
from dst_jax.typing import Array, Float

# What the search map is correlated with, by branch: "cls", and "r" of a region head.
Kernels: TypeAlias = dict[str, Float[Array, "_ _ _ ..."]]


class Answer(NamedTuple):
    """What a head says.

    Attributes:
      response: Logits: [b, u, v] of a correlation head; [b, u, v, k, 2] of a region
        head, background first.
      offsets: (dx, dy, dw, dh) of every anchor [b, u, v, k, 4], or None.
    """

    response: Float[Array, "b u v *anchors"]
    offsets: Float[Array, "b u v k 4"] | None


class CorrelationHead(nn.Module):
    """SiamFC's response: the scaled correlation of the last feature maps (eq. 1)."""

    spec: CorrelationHeadSpec
    param_dtype: DTypeLike

    def setup(self) -> None:
        """Declares the bias, if there is one."""
        if self.spec.bias:
            zeros = nn.initializers.zeros
            self.bias = self.param("bias", zeros, (), self.param_dtype)

    def kernels(
        self, template: Float[Array, "k i j d"], *, train: bool = False
    ) -> Kernels:
        """The template's features themselves."""
        del train  # nothing here normalises
        return {"cls": template}

    def __call__(
        self, kernels: Kernels, search: Float[Array, "b h w d"], *, train: bool = False
    ) -> Answer:
        """Correlates; the template's batch is that of the search, or 1."""
        del train
        response = xcorr(search, kernels["cls"]) * self.spec.scale
        if self.spec.bias:
            response = response + self.bias.astype(response.dtype)
        return Answer(response, None)


class UpChannelHead(nn.Module):
    """SiamRPN's classification and regression branches (eq. 3, 4).

    Names of the parts follow DaSiamRPN: `cls1` and `r1` make kernels of the template,
    `cls2` and `r2` read the search map, `regress_adjust` mixes the offsets. Their
    channels count anchors fastest, logits or coordinates slowest, as the public weights
    do.
    """

    spec: RegionHeadSpec
    dtype: DTypeLike
    param_dtype: DTypeLike

    def setup(self) -> None:
        """Declares the five convolutions."""
        k, width, kernel = self.spec.anchors, self.spec.features, self.spec.kernel

        def conv(features: int, kernel: int) -> Conv:
            return Conv(ConvSpec(features, kernel), self.dtype, self.param_dtype)

        self.cls1, self.r1 = conv(2 * k * width, kernel), conv(4 * k * width, kernel)
        self.cls2, self.r2 = conv(width, kernel), conv(width, kernel)
        self.regress_adjust = conv(4 * k, 1)

    def kernels(
        self, template: Float[Array, "k i j d"], *, train: bool = False
    ) -> Kernels:
        """A kernel for every logit and offset of every anchor, [k, a, b, width, n]."""
        del train  # nothing here normalises
        width, made = self.spec.features, {}
        for name, conv in (("cls", self.cls1), ("r", self.r1)):
            flat = conv(template)
            outputs = flat.shape[-1] // width
            split = flat.reshape(*flat.shape[:3], outputs, width)
            made[name] = split.swapaxes(-1, -2)
        return made

    def __call__(
        self, kernels: Kernels, search: Float[Array, "b h w d"], *, train: bool = False
    ) -> Answer:
        """Logits and offsets of every anchor."""
        del train
        logits = xcorr_up(self.cls2(search), kernels["cls"])
        offsets = xcorr_up(self.r2(search), kernels["r"])
        return _by_anchor(self.spec.anchors, logits, self.regress_adjust(offsets))


class DepthwiseHead(nn.Module):
    """The same of pysot's `alex` network: channel by channel, then mixed.

    In each branch `template` and `search` adjust the maps, `mix` and `read` turn their
    depth-wise correlation into logits or offsets, counted as in `UpChannelHead`.
    """

    spec: RegionHeadSpec
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    def setup(self) -> None:
        """Declares four layers for each branch."""
        kernel = self.spec.kernel
        self.cls_template, self.r_template = self._stage(kernel), self._stage(kernel)
        self.cls_search, self.r_search = self._stage(kernel), self._stage(kernel)
        self.cls_mix, self.r_mix = self._stage(1), self._stage(1)
        k = self.spec.anchors
        self.cls_read, self.r_read = self._read(2 * k), self._read(4 * k)

    def kernels(
        self, template: Float[Array, "k i j d"], *, train: bool = False
    ) -> Kernels:
        """One channel of a kernel for each channel of the search map."""
        return {
            "cls": _alone(self.cls_template, template, train),
            "r": _alone(self.r_template, template, train),
        }

    def __call__(
        self, kernels: Kernels, search: Float[Array, "b h w d"], *, train: bool = False
    ) -> Answer:
        """Logits and offsets of every anchor."""
        branches = {
            "cls": (self.cls_search, self.cls_mix, self.cls_read),
            "r": (self.r_search, self.r_mix, self.r_read),
        }
        maps = {}
        for name, (adjust, mix, read) in branches.items():
            x = xcorr_depthwise(_alone(adjust, search, train), kernels[name])
            maps[name] = read(_alone(mix, x, train))
        return _by_anchor(self.spec.anchors, maps["cls"], maps["r"])

    def _stage(self, kernel: int) -> ConvStage:
        return ConvStage(
            ConvSpec(self.spec.features, kernel, batch_norm=True, activation="relu"),
            self.norm_epsilon,
            self.norm_momentum,
            self.dtype,
            self.param_dtype,
            self.axis_name,
            use_bias=False,
        )

    def _read(self, outputs: int) -> Conv:
        return Conv(ConvSpec(outputs, 1), self.dtype, self.param_dtype)


def _alone(stage: ConvStage, x: Array, train: bool) -> Array:
    return stage([x], train=train)[0][0]


def _by_anchor(
    k: int, logits: Float[Array, "b u v _"], offsets: Float[Array, "b u v _"]
) -> Answer:
    sides = logits.shape[:3]
    logits = logits.reshape(*sides, 2, k).swapaxes(-1, -2)
    return Answer(logits, offsets.reshape(*sides, 4, k).swapaxes(-1, -2))
