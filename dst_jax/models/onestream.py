"""A network of one stream, whose blocks read template and search image together."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.answers import Answer, Memory
from dst_jax.models.heads.build import build_head
from dst_jax.models.kinds import Kinds
from dst_jax.models.moment import Moment, share_kept
from dst_jax.models.output import Output, scaled
from dst_jax.models.tokens import Draws, TokenBackbone
from dst_jax.ops.attention import Formulation
from dst_jax.typing import Array, Float


class OneStream(nn.Module):
    """A transformer over both images, and a head that reads its search cells.

    Attributes:
      spec: The architecture.
      dtype: Type of the computation. Softmax, layer normalisation, taps and answers are
        in float32 at least.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
      frozen: Names of the parts that do not learn, see `build`.
      taps: Names of the maps beside "norm" that `__call__` gives, see `build`.
      scanned: Whether neighbouring blocks of equal form are computed in a loop.
      keep_all_epochs: Epochs of training in which no token is eliminated.
      keep_fall_epochs: Epochs over which the share that is kept then falls.
      attention: Formulation of `ops.attention`.
    """

    spec: TrackerSpec
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    frozen: tuple[str, ...] = ()
    taps: tuple[str, ...] | None = None
    scanned: bool = False
    keep_all_epochs: float = 20.0
    keep_fall_epochs: float = 80.0
    attention: Formulation | None = None

    def setup(self) -> None:
        """Builds the backbone and the head."""
        spec, crops = self.spec, self.spec.input
        tokens: Any = spec.backbone
        head: Any = spec.head
        kinds = Kinds(
            self.dtype,
            self.param_dtype,
            self.axis_name,
            head.norm_epsilon,
            head.norm_momentum,
            self.frozen,
        )
        self.backbone = TokenBackbone(
            tokens,
            kinds,
            spec.feature_side(crops.template_px),
            spec.feature_side(crops.search_px),
            self.scanned,
            self.attention,
        )
        self.head = build_head(spec, kinds)

    def remember(
        self, template: Float[Array, "k h w 3"], *, train: bool = False
    ) -> Memory:
        """Returns the tokens of template images with their positions.

        Args:
          template: Template images, RGB 0-255.
          train: Whether a stem of convolutions uses and updates the batch's statistics;
            without one nothing here differs in training.
        """
        shown = scaled(template, self.spec.input)
        return self.backbone.embed({"template": shown}, train=train)["template"]

    def respond(
        self, memory: Memory, search: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Answer:
        """Returns the answer to search images.

        Args:
          memory: From `remember`; its batch is that of the search images, or 1.
          search: Search images, RGB 0-255.
          train: Whether normalisation uses and updates the batch's statistics.
        """
        shown = scaled(search, self.spec.input)
        found = self.backbone.embed({"search": shown}, train=train)["search"]
        maps = self.backbone(memory, found)
        return self._read(maps["search"]["norm"], train)

    def __call__(
        self,
        template: Float[Array, "k h w 3"],
        search: Float[Array, "b u v 3"],
        *,
        train: bool = False,
        moment: Moment | None = None,
    ) -> Output:
        """Returns the answer, the last maps and the maps of `taps`.

        Args:
          template: Template images, RGB 0-255.
          search: Search images, RGB 0-255.
          train: Whether normalisation uses and updates the batch's statistics.
          moment: Moment of the training, from which blocks are dropped at random and
            the share of eliminated tokens follows. None drops no block and eliminates
            as in tracking.
        """
        crops = self.spec.input
        tokens = self.backbone.embed(
            {"template": scaled(template, crops), "search": scaled(search, crops)},
            train=train,
        )
        draws = self._draws(moment) if train and moment is not None else None
        maps = self.backbone(**tokens, draws=draws, taps=self.taps)
        taps = {
            f"{role}/{name}": map_
            for role, found in maps.items()
            for name, map_ in found.items()
        }
        return Output(self._read(maps["search"]["norm"], train), taps)

    def _read(self, last: Float[Array, "b u v d"], train: bool) -> Answer:
        return self.head({}, {"norm": last}, train=train)

    def _draws(self, moment: Moment) -> Draws:
        """Returns what the blocks take from the moment of the training."""
        backbone: Any = self.spec.backbone
        assert isinstance(backbone, TokenBackboneSpec)
        paths = None
        if backbone.drop_path:
            paths = self.backbone.paths(moment.uniform((backbone.depth, 2)))
        shares = {
            block: share_kept(
                moment.epoch,
                share,
                start=self.keep_all_epochs,
                over=self.keep_fall_epochs,
            )
            for block, share in backbone.eliminate
        }
        return Draws(paths, shares)
