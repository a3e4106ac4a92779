"""Read-outs of a Siamese tracker: from two feature maps to a response."""

from typing import NamedTuple

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from dst_jax.arch.spec import ConvSpec, CorrelationHeadSpec, RegionHeadSpec
from dst_jax.models.layers import Conv
from dst_jax.ops.xcorr import xcorr
from dst_jax.ops.xcorr_region import xcorr_depthwise, xcorr_up
from dst_jax.typing import Array, Float


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

    @nn.compact
    def __call__(
        self,
        template: Float[Array, "k i j d"],
        search: Float[Array, "b h w d"],
        *,
        train: bool = False,
    ) -> Answer:
        """Correlates; the template's batch is that of the search, or 1."""
        del train  # nothing here normalises
        response = xcorr(search, template) * self.spec.scale
        if self.spec.bias:
            bias = self.param("bias", nn.initializers.zeros, (), self.param_dtype)
            response = response + bias.astype(response.dtype)
        return Answer(response, None)


class RegionHead(nn.Module):
    """SiamRPN's classification and regression branches (eq. 3, 4).

    Names of the parts follow DaSiamRPN in the up-channel form: `cls1` and `r1` make
    kernels of the template, `cls2` and `r2` read the search map, `regress_adjust`
    mixes the offsets. Their channels count anchors fastest, logits or coordinates
    slowest, as the public weights do.
    """

    spec: RegionHeadSpec
    norm_epsilon: float
    norm_momentum: float
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    @nn.compact
    def __call__(
        self,
        template: Float[Array, "k i j d"],
        search: Float[Array, "b h w d"],
        *,
        train: bool = False,
    ) -> Answer:
        """Logits and offsets of every anchor."""
        k = self.spec.anchors
        branch = self._up if self.spec.form == "up_channel" else self._depthwise
        logits = branch("cls", template, search, 2 * k, train)
        offsets = branch("r", template, search, 4 * k, train)
        if self.spec.form == "up_channel":
            offsets = self._conv("regress_adjust", offsets, 4 * k, 1)
        sides = logits.shape[:3]
        logits = logits.reshape(*sides, 2, k).swapaxes(-1, -2)
        return Answer(logits, offsets.reshape(*sides, 4, k).swapaxes(-1, -2))

    def _up(
        self, name: str, template: Array, search: Array, outputs: int, train: bool
    ) -> Array:
        del train
        width = self.spec.features
        kernels = self._conv(f"{name}1", template, width * outputs, self.spec.kernel)
        kernels = kernels.reshape(*kernels.shape[:3], outputs, width)
        kernels = kernels.swapaxes(-1, -2)
        return xcorr_up(
            self._conv(f"{name}2", search, width, self.spec.kernel), kernels
        )

    def _depthwise(
        self, name: str, template: Array, search: Array, outputs: int, train: bool
    ) -> Array:
        width, kernel = self.spec.features, self.spec.kernel
        z = self._normalised(f"{name}_template", template, width, kernel, train)
        x = self._normalised(f"{name}_search", search, width, kernel, train)
        mixed = xcorr_depthwise(x, z)
        mixed = self._normalised(f"{name}_mix", mixed, width, 1, train)
        return self._conv(f"{name}_read", mixed, outputs, 1)

    def _conv(
        self, name: str, x: Array, features: int, kernel: int, *, bias: bool = True
    ) -> Array:
        spec = ConvSpec(features, kernel)
        return Conv(spec, self.dtype, self.param_dtype, use_bias=bias, name=name)(x)

    def _normalised(
        self, name: str, x: Array, features: int, kernel: int, train: bool
    ) -> Array:
        x = self._conv(name, x, features, kernel, bias=False)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.norm_momentum,
            epsilon=self.norm_epsilon,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            axis_name=self.axis_name if train else None,
            name=f"{name}_norm",
        )(x)
        return jax.nn.relu(x)
