"""A backbone of one stream: a transformer that reads both images at once."""

import dataclasses
import math
from typing import ClassVar, Literal

from dst_jax.arch.backbones.chain import MapShape
from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.limits import (
    LEAST,
    MAX_CROP_PX,
    MAX_LAYERS,
    MAX_MAP_VALUES,
    MAX_PARAMETERS,
    MAX_WIDTH,
)
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.errors import InputError
from dst_jax.require import require, require_between, require_whole

# Share of a number of cells that rounding may add to it, in float32 too.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, slots=True)
class TokenBackboneSpec:
    """A vision transformer over the patches of template and search image (OSTrack).

    Its stages are "patch", "positions", "block0", "block1" and so on, and "norm".

    Attributes:
      width: Channels of a token.
      depth: Number of blocks.
      heads: Number of attention heads, which share the width.
      patch: Side of the square of the image that a token stands for, pixels.
      mlp: Width inside of a block's second half, in widths of a token.
      drop_path: Probability that training leaves out the last block for an example. It
        rises linearly from 0 in the first one.
      norm_epsilon: Constant added to the variance in layer normalisation.
      eliminate: Pairs of a block, counted from 0, and the share of the search tokens
        left that it keeps: those to which the middle token of the template attends
        most. A token that goes lacks the second half of that block, and its cell is
        zero in the last map.
      stem: How pixels become tokens, on the same grid. "patch" is one linear layer on
        the pixels of a patch. "conv" is convolutions that halve the map until a cell is
        a patch, and then a linear layer: early convolutions help a transformer that
        learns from little (Xiao et al., 2021). JSON leaves "patch" out.
    """

    width: int
    depth: int
    heads: int
    patch: int = 16
    mlp: int = 4
    drop_path: float = 0.1
    norm_epsilon: float = 1e-6
    eliminate: tuple[tuple[int, float], ...] = ()
    stem: Literal["patch", "conv"] = dataclasses.field(
        default="patch", metadata=OMIT_DEFAULT
    )

    KIND: ClassVar[str] = "token"  # written to JSON, where it tells the class

    def __post_init__(self):
        require_whole(1, MAX_WIDTH, self, "width", "heads")
        require_whole(1, MAX_LAYERS, self, "depth")
        require_whole(1, MAX_CROP_PX, self, "patch")
        require_whole(1, MAX_WIDTH, self, "mlp")
        fits = self.width % self.heads == 0
        require(fits, self, "width", f"must divide into {self.heads} heads")
        require_between(0.0, 1.0 - LEAST, self, "drop_path")
        require_between(LEAST, 1.0, self, "norm_epsilon")
        self._check_elimination()
        self._check_stem()
        kernels = self.depth * (4 + 2 * self.mlp) * self.width**2
        if kernels > MAX_PARAMETERS:
            raise InputError(
                f"TokenBackboneSpec.width={self.width}: the blocks' kernels hold "
                f"{kernels:.1e} numbers; there may be {MAX_PARAMETERS:.0e}, so lower "
                "width, depth or mlp."
            )

    def _check_elimination(self) -> None:
        """Checks that each named block exists and keeps something."""
        blocks = [block for block, _ in self.eliminate]
        ordered = blocks == sorted(set(blocks))
        require(ordered, self, "eliminate", "name blocks once, in their order")
        exist = all(type(block) is int and 0 <= block < self.depth for block in blocks)
        text = f"there are blocks 0 to {self.depth - 1}"
        require(exist, self, "eliminate", text)
        kept = all(0.0 < share <= 1.0 for _, share in self.eliminate)
        text = "shares that are kept must be above 0, up to 1, so that a token is left"
        require(kept, self, "eliminate", text)

    def _check_stem(self) -> None:
        """Checks that convolutions of stride 2 can make this patch and this width."""
        known = self.stem in ("patch", "conv")
        require(known, self, "stem", 'must be "patch" or "conv"')
        if self.stem == "conv":
            whole = self.patch > 1 and self.patch.bit_count() == 1
            text = "must be a power of 2 from 2 on, because convolutions halve the map"
            require(whole, self, "patch", text)
            least = self.patch // 2
            text = f"must be a multiple of {least}, because each convolution doubles it"
            require(self.width % least == 0, self, "width", text)

    @property
    def halvings(self) -> tuple[ConvSpec, ...]:
        """Returns the convolutions of stride 2 that a stem of convolutions begins with.

        Each doubles the channels of the one before, up to the width of a token; batch
        normalisation and a ReLU follow it.

        Example:
          >>> stem = TokenBackboneSpec(96, 4, 3, patch=8, stem="conv")
          >>> [conv.features for conv in stem.halvings]
          [24, 48, 96]
        """
        if self.stem == "patch":
            return ()
        count = self.patch.bit_length() - 1
        return tuple(
            ConvSpec(
                self.width >> (count - 1 - index),
                kernel=3,
                stride=2,
                padding=1,
                bias=False,
            )
            for index in range(count)
        )

    @property
    def blocks(self) -> tuple[str, ...]:
        """Returns the names of the blocks."""
        return tuple(f"block{index}" for index in range(self.depth))

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Returns the name of each stage, under which its parameters are found."""
        return "patch", "positions", *self.blocks, "norm"

    @property
    def widths(self) -> tuple[int, ...]:
        """Returns the output channels of each stage."""
        return (self.width,) * len(self.stage_names)

    @property
    def sizes(self) -> str:
        """Returns its sizes in words."""
        stem = ", stem of convolutions" if self.stem == "conv" else ""
        return (
            f"width {self.width}, depth {self.depth}, heads {self.heads}, "
            f"patch {self.patch} px{stem}"
        )

    @property
    def total_stride(self) -> int:
        """Returns the image pixels per cell of every map."""
        return self.patch

    @property
    def drop_rates(self) -> tuple[float, ...]:
        """Returns the probability that training leaves a block out, block by block."""
        last = max(self.depth - 1, 1)
        return tuple(self.drop_path * index / last for index in range(self.depth))

    def feature_side(self, image_px: int) -> int:
        """Returns the side of every map of an image of `image_px` pixels, cells.

        Raises:
          InputError: If patches do not fill the image, or there are too many.
        """
        side, rest = divmod(image_px, self.patch)
        if rest or not side:
            raise InputError(
                f"an image of {image_px} px does not consist of whole patches of "
                f"{self.patch} px; give a multiple of {self.patch}."
            )
        values = max(side**2 * self.width, self.heads * side**4)
        if values > MAX_MAP_VALUES:
            raise InputError(
                f"{side} x {side} patches of an image of {image_px} px attend to each "
                "other with over 2^30 values; use a smaller crop or larger patches."
            )
        return side

    def maps(self, image_px: int) -> tuple[MapShape, ...]:
        """Returns the maps of an image of `image_px` pixels, first to last.

        Queries, keys and values of block 3 are "q3", "k3" and "v3"; the last map is
        "norm".

        Raises:
          InputError: If patches do not fill the image.
        """
        side = self.feature_side(image_px)
        names = [f"{kind}{n}" for n in range(self.depth) for kind in "qkv"]
        return tuple(
            MapShape(name, side, self.width, self.patch) for name in (*names, "norm")
        )

    def cells_left(self, cells: int) -> tuple[int, ...]:
        """Returns how many search tokens each block leaves, of `cells` at first.

        Example:
          >>> ce = TokenBackboneSpec(768, 4, 12, eliminate=((1, 0.7), (3, 0.7)))
          >>> ce.cells_left(256)
          (256, 180, 180, 126)
        """
        shares, found = dict(self.eliminate), []
        for block in range(self.depth):
            cells = kept_cells(cells, shares.get(block, 1.0))
            found.append(cells)
        return tuple(found)


def kept_cells(cells: int, share: float) -> int:
    """Returns ceil(share * cells), without what rounding adds to a whole number."""
    return math.ceil(share * cells * (1.0 - ROUNDING))
