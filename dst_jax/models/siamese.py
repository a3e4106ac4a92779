"""The Siamese tracker: one backbone for both images, a correlation, a read-out."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.spec import BackboneSpec, CorrelationHeadSpec, TrackerSpec
from dst_jax.models.heads import (
    Answer,
    CorrelationHead,
    DepthwiseHead,
    Kernels,
    UpChannelHead,
)
from dst_jax.models.layers import ConvStage
from dst_jax.typing import Array, Float

# Feature maps by stage name, "conv1" first. Maps are taken after the activation
# and before the pooling; the last stage of SiamFC has neither.
Features: TypeAlias = dict[str, Float[Array, "_ _ _ _"]]


class Output(NamedTuple):
    """What a forward pass gives.

    Attributes:
      response: Logits [b, u, v], or [b, u, v, k, 2] of a region head (background,
        target); `total_stride` search pixels per cell.
      template: Feature maps of the template image, by stage.
      search: Feature maps of the search image, by stage.
      offsets: Of every anchor, [b, u, v, k, 4], from a region head.
    """

    response: Float[Array, "b u v *anchors"]
    template: Features
    search: Features
    offsets: Float[Array, "b u v k 4"] | None = None


class Backbone(nn.Module):
    """The chain of stages of a `BackboneSpec`."""

    spec: BackboneSpec
    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ 3"]], *, train: bool
    ) -> list[Features]:
        """Returns the features of every stage, image by image."""
        features: list[Features] = [{} for _ in images]
        for index, layer in enumerate(self.spec.layers, start=1):
            stage = ConvStage(
                layer,
                self.spec.norm_epsilon,
                self.spec.norm_momentum,
                self.dtype,
                self.param_dtype,
                self.axis_name,
                name=f"conv{index}",
            )
            maps, images = stage(images, train=train)
            for found, one in zip(features, maps, strict=True):
                found[f"conv{index}"] = one
        return features


class Siamese(nn.Module):
    """A weight-sharing pair: embed both images, correlate, read out.

    Attributes:
      spec: The architecture; the module's only configuration of substance.
      dtype: Of the computation.
      param_dtype: Of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
      pair_norm: Whether training normalises template and search crops by common
        statistics. Each by its own leaves a gap to inference, which has one set.
    """

    spec: TrackerSpec
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    pair_norm: bool = False

    def setup(self) -> None:
        """Builds the parts."""
        self.backbone = Backbone(
            self.spec.backbone, self.dtype, self.param_dtype, self.axis_name
        )
        self.head = self._make_head()

    def embed(
        self, images: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Features:
        """Features of template or search images, RGB 0-255."""
        return self.backbone([self._scaled(images)], train=train)[0]

    def _scaled(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        convention = self.spec.input
        mean = jnp.asarray(convention.mean, images.dtype)[None, None, None]
        std = jnp.asarray(convention.std, images.dtype)[None, None, None]
        return (images * convention.scale - mean) / std

    def _make_head(self) -> CorrelationHead | UpChannelHead | DepthwiseHead:
        head, backbone = self.spec.head, self.spec.backbone
        if isinstance(head, CorrelationHeadSpec):
            return CorrelationHead(head, self.param_dtype)
        if head.form == "up_channel":
            return UpChannelHead(head, self.dtype, self.param_dtype)
        return DepthwiseHead(
            head,
            backbone.norm_epsilon,
            backbone.norm_momentum,
            self.dtype,
            self.param_dtype,
            self.axis_name,
        )

    def kernels(self, template: Features, *, train: bool = False) -> Kernels:
        """What the head correlates with, of an embedded template."""
        return self.head.kernels(template[self.last_stage], train=train)

    def respond(
        self, kernels: Kernels, search: Features, *, train: bool = False
    ) -> Answer:
        """What the head makes of an embedded search image."""
        return self.head(kernels, search[self.last_stage], train=train)

    @property
    def last_stage(self) -> str:
        """Name of the stage whose features are correlated."""
        return f"conv{len(self.spec.backbone.layers)}"

    def __call__(
        self,
        template: Float[Array, "k h w 3"],
        search: Float[Array, "b u v 3"],
        *,
        train: bool = False,
    ) -> Output:
        """Embeds both and responds.

        In training, template, then search: two updates of the running statistics; with
        `pair_norm` a single one.
        """
        if train and self.pair_norm:
            images = [self._scaled(template), self._scaled(search)]
            template_features, search_features = self.backbone(images, train=True)
        else:
            template_features = self.embed(template, train=train)
            search_features = self.embed(search, train=train)
        kernels = self.kernels(template_features, train=train)
        answer = self.respond(kernels, search_features, train=train)
        return Output(
            answer.response, template_features, search_features, answer.offsets
        )
