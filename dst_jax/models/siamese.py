"""The Siamese network: one backbone embeds both images, and a head compares them."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.backbones.chain import Chain
from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.answers import Answer, Features, Memory
from dst_jax.models.heads.build import build_head
from dst_jax.models.kinds import Kinds
from dst_jax.models.layers import ConvStage
from dst_jax.models.moment import Moment
from dst_jax.models.output import Output, scaled
from dst_jax.models.residual import ResidualStage
from dst_jax.ops.precision import at_least_single
from dst_jax.typing import Array, Float


class Backbone(nn.Module):
    """The stages of a `Chain`.

    Attributes:
      spec: The backbone.
      kinds: Settings that all modules share.
    """

    spec: Chain
    kinds: Kinds

    @nn.compact
    def __call__(
        self, images: Sequence[Float[Array, "_ _ _ 3"]], *, train: bool
    ) -> Sequence[Features]:
        """Returns the features of every stage, image by image."""
        features: list[dict[str, Array]] = [{} for _ in images]
        for name, layer in zip(self.spec.stage_names, self.spec.layers, strict=True):
            if isinstance(layer, ConvSpec):
                stage = ConvStage(layer, self.kinds, name=name)
            else:
                stage = ResidualStage(layer, self.kinds, name=name)
            maps, images = stage(images, train=train)
            for found, one in zip(features, maps, strict=True):
                found[name] = one
        return features


def _single(maps: Any) -> Any:
    """Returns maps that are not half precise, for losses and answers."""
    return jax.tree.map(lambda x: x.astype(at_least_single(x.dtype)), maps)


class Siamese(nn.Module):
    """A network that embeds both images with the same weights and correlates them.

    Attributes:
      spec: The architecture.
      dtype: Type of the computation. Normalisations, taps and answers are at least of
        float32.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
      pair_norm: Whether training normalises template and search crops by common
        statistics. Statistics of their own would differ from those of inference, which
        has one set for both.
      frozen: Names of the parts that do not learn, see `build`.
    """

    spec: TrackerSpec
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    pair_norm: bool = False
    frozen: tuple[str, ...] = ()

    def setup(self) -> None:
        """Builds the backbone and the head."""
        backbone: Any = self.spec.backbone
        kinds = Kinds(
            self.dtype,
            self.param_dtype,
            self.axis_name,
            backbone.norm_epsilon,
            backbone.norm_momentum,
            self.frozen,
        )
        self.backbone = Backbone(backbone, kinds)
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
        moment: Moment | None = None,
    ) -> Output:
        """Returns the answer and the feature maps of all stages.

        Training embeds first the template, then the search image, and updates the
        running statistics twice; with `pair_norm` it updates them once. It does not
        depend on the moment.
        """
        del moment
        if train and self.pair_norm:
            seen, shown = self._embed([template, search], train)
        else:
            (seen,), (shown,) = (self._embed([x], train) for x in (template, search))
        answer = self._respond(self._remember(seen, train), shown, train)
        taps = {f"template/{name}": map_ for name, map_ in seen.items()}
        taps |= {f"search/{name}": map_ for name, map_ in shown.items()}
        return Output(answer, _single(taps))

    def _embed(
        self, images: Sequence[Float[Array, "_ _ _ 3"]], train: bool
    ) -> Sequence[Features]:
        shown = [scaled(one, self.spec.input) for one in images]
        return self.backbone(shown, train=train)

    def _remember(self, template: Features, train: bool) -> Memory:
        return self.head.kernels(self._read(template), train=train)

    def _respond(self, memory: Memory, search: Features, train: bool) -> Answer:
        return _single(self.head(memory, self._read(search), train=train))

    def _read(self, features: Features) -> Features:
        """Returns the maps that the head reads."""
        return {level: features[level] for level in self.spec.levels}
