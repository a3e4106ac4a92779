"""The Siamese network: one backbone embeds both images, and a head compares them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.backbones.chain import Chain
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.answers import Answer, Memory
from dst_jax.models.heads.build import Kinds, build_head
from dst_jax.models.layers import ConvStage
from dst_jax.typing import Array, Float

# Feature maps of one image stand under the names of their stages, "conv1" first. They
# are taken after the activation and before the pooling; the last stage of SiamFC has
# neither.
Features: TypeAlias = dict[str, Float[Array, "_ _ _ _"]]


class Output(NamedTuple):
    """The result of a forward pass.

    Attributes:
      answer: The network's answer to the search images.
      taps: Feature maps that a term may look at, under the names "template/STAGE" and
        "search/STAGE", for example "search/conv5".
    """

    answer: Answer
    taps: Mapping[str, Float[Array, "_ _ _ _"]]


class Backbone(nn.Module):
    """The stages of a `Chain`."""

    spec: Chain
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
    """A network that embeds both images with the same weights and correlates them.

    Attributes:
      spec: The architecture.
      dtype: Type of the computation.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
      pair_norm: Whether training normalises template and search crops by common
        statistics. Statistics of their own would differ from those of inference, which
        has one set for both.
    """

    spec: TrackerSpec
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    pair_norm: bool = False

    def setup(self) -> None:
        """Builds the backbone and the head."""
        kinds = Kinds(self.dtype, self.param_dtype, self.axis_name)
        self.backbone = Backbone(self.spec.backbone, *kinds)
        self.head = build_head(self.spec, kinds)

    def remember(
        self, template: Float[Array, "k h w 3"], *, train: bool = False
    ) -> Memory:
        """Returns what the head correlates search images with; it serves a video.

        Args:
          template: Template images, RGB 0-255.
          train: Whether normalisation uses and updates the batch's statistics.
        """
        return self._remember(self._embed([template], train)[0], train)

    def respond(
        self, memory: Memory, search: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Answer:
        """Returns the answer to search images.

        Args:
          memory: From `remember`; its batch is that of the search images, or 1.
          search: Search images, RGB 0-255.
          train: Whether normalisation uses and updates the batch's statistics.
        """
        return self._respond(memory, self._embed([search], train)[0], train)

    def __call__(
        self,
        template: Float[Array, "k h w 3"],
        search: Float[Array, "b u v 3"],
        *,
        train: bool = False,
    ) -> Output:
        """Returns the answer and the feature maps of all stages.

        Training embeds first the template, then the search image, and updates the
        running statistics twice; with `pair_norm` it updates them once.
        """
        if train and self.pair_norm:
            seen, shown = self._embed([template, search], train)
        else:
            (seen,), (shown,) = (self._embed([x], train) for x in (template, search))
        answer = self._respond(self._remember(seen, train), shown, train)
        taps = {f"template/{name}": map_ for name, map_ in seen.items()}
        taps |= {f"search/{name}": map_ for name, map_ in shown.items()}
        return Output(answer, taps)

    def _embed(
        self, images: Sequence[Float[Array, "_ _ _ 3"]], train: bool
    ) -> list[Features]:
        return self.backbone([self._scaled(one) for one in images], train=train)

    def _scaled(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        convention = self.spec.input
        mean = jnp.asarray(convention.mean, images.dtype)[None, None, None]
        std = jnp.asarray(convention.std, images.dtype)[None, None, None]
        return (images * convention.scale - mean) / std

    def _remember(self, template: Features, train: bool) -> Memory:
        return self.head.kernels(template[self._last_stage], train=train)

    def _respond(self, memory: Memory, search: Features, train: bool) -> Answer:
        return self.head(memory, search[self._last_stage], train=train)

    @property
    def _last_stage(self) -> str:
        """Returns the name of the stage whose features are correlated."""
        return f"conv{len(self.spec.backbone.layers)}"
