"""Residual stages as values: blocks whose convolutions add to what they read.

The stages follow pysot's dilated ResNets, in which strided convolutions have no padding
and the projections of strided and dilated stages are 3 x 3, and SiamDW's networks,
whose blocks cut off the cells that their padding touched.
"""

import dataclasses
import functools
from typing import ClassVar, Literal, NamedTuple

from dst_jax.arch.backbones.conv import Convolution, ConvSpec, PoolSpec
from dst_jax.arch.limits import MAX_KERNEL, MAX_LAYERS, MAX_WIDTH
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.require import require, require_one_of, require_whole


class Block(NamedTuple):
    """The convolutions of one residual block, and what follows their sum.

    None of the convolutions has a bias.

    Attributes:
      main: The convolutions that are applied one after another, called "conv1" and so
        on. The last one has no activation, because that follows the sum.
      projection: The convolution that brings the block's input to the same size; None
        where the input itself is added.
      activation: Function that follows the sum.
      crop: Cells cut off each side after the activation.
      pool: Pooling that comes last, or None.
    """

    main: tuple[ConvSpec, ...]
    projection: ConvSpec | None
    activation: Literal["relu", "none"] = "relu"
    crop: int = 0
    pool: PoolSpec | None = None

    def side(self, side: int) -> int:
        """Returns the side of its map of a map of `side` cells, none below 0."""
        for conv in self.main:
            side = conv.conv_side(side)
        side = max(side - 2 * self.crop, 0)
        return side if self.pool is None else max(self.pool.side(side), 0)


@dataclasses.dataclass(frozen=True, slots=True)
class ResidualSpec:
    """A stage of residual blocks; a ReLU follows each sum.

    JSON leaves the last three fields out while they have their defaults.

    The first block of a strided stage steps with its (first) 3 x 3 convolution, which
    then has no padding, and with a 3 x 3 projection like it. In a dilated stage these
    two have half the stage's dilation and as much padding; all other 3 x 3
    convolutions have the stage's dilation and as much padding.

    Attributes:
      features: Output channels.
      inner: Channels inside of a block.
      blocks: Number of blocks.
      form: "bottleneck" (1 x 1, 3 x 3, 1 x 1) or "basic" (3 x 3, 3 x 3).
      stride: Step of the first block, 1 or 2 cells.
      dilation: Cells from one tap to the next, 1 or an even number.
      crop: Cells cut off each side after the activation of each block.
      pool_after_first: Pooling behind the first block, in the place of a stride, or
        None.
      last_activation: Function that follows the sum of the last block.
    """

    features: int
    inner: int
    blocks: int
    form: Literal["bottleneck", "basic"] = "bottleneck"
    stride: int = 1
    dilation: int = 1
    crop: int = dataclasses.field(default=0, metadata=OMIT_DEFAULT)
    pool_after_first: PoolSpec | None = dataclasses.field(
        default=None, metadata=OMIT_DEFAULT
    )
    last_activation: Literal["relu", "none"] = dataclasses.field(
        default="relu", metadata=OMIT_DEFAULT
    )

    KIND: ClassVar[str] = "residual"  # written to JSON, where it tells the class
    word: ClassVar[str] = "layer"

    def __post_init__(self):
        require_whole(1, MAX_WIDTH, self, "features", "inner")
        require_whole(1, MAX_LAYERS, self, "blocks")
        require_one_of(("bottleneck", "basic"), self, "form")
        require_whole(1, 2, self, "stride")
        require_whole(1, MAX_KERNEL, self, "dilation")
        halves = self.dilation == 1 or self.dilation % 2 == 0
        require(halves, self, "dilation", "must be 1 or even; the first block has half")
        one = self.stride == 1 or self.dilation == 1
        require(one, self, "dilation", f"must be 1 beside stride={self.stride}")
        require_whole(0, MAX_KERNEL, self, "crop")
        require_one_of(("relu", "none"), self, "last_activation")
        one = self.stride == 1 or self.pool_after_first is None
        require(one, self, "stride", "must be 1 beside pool_after_first")

    @property
    def depth(self) -> int:
        """Returns the number of its convolutions that lie one after another."""
        return self.blocks * (3 if self.form == "bottleneck" else 2)

    @property
    def total_stride(self) -> int:
        """Returns the cells of its input per cell of its output."""
        pool = self.pool_after_first
        return self.stride * (1 if pool is None else pool.stride)

    @property
    def map_stride(self) -> int:
        """Returns the same, because its map is taken behind all of its blocks."""
        return self.total_stride

    def sides(self, side: int) -> tuple[int, int]:
        """Returns the side of its map twice, because no pooling follows it."""
        # The number of input channels does not change a side.
        for block in self.members(self.features):
            side = max(block.side(side), 0)
        return side, side

    def members(self, inputs: int) -> tuple[Block, ...]:
        """Returns its blocks, first to last.

        Args:
          inputs: Channels of its input.
        """
        return _members(self, inputs)

    def convolutions(
        self, inputs: int, side: int, *, name: str = ""
    ) -> tuple[Convolution, ...]:
        """Returns all its convolutions, block by block, the projection last of each.

        Args:
          inputs: Channels of its input.
          side: Side of its input, cells.
          name: Name of the stage, with which their names begin.
        """
        found = []
        for number, block in enumerate(self.members(inputs), start=1):
            start, stem = (side, inputs), f"{name}/block{number}"
            for index, conv in enumerate(block.main, start=1):
                found.append(Convolution(f"{stem}/conv{index}", conv, side, inputs))
                side, inputs = conv.conv_side(side), conv.features
            side = block.side(start[0])
            if block.projection is not None:
                path = f"{stem}/projection"
                found.append(Convolution(path, block.projection, *start))
        return tuple(found)


# Sizes of a network are asked for often, and each `ConvSpec` checks its fields.
@functools.cache
def _members(stage: ResidualSpec, inputs: int) -> tuple[Block, ...]:
    d, half, strided = stage.dilation, max(stage.dilation // 2, 1), stage.stride == 2
    single = ConvSpec(stage.features, 1, bias=False)
    inside = ConvSpec(stage.features, 3, padding=d, dilation=d, bias=False)
    begin = dataclasses.replace(inside, padding=half, dilation=half)
    if strided:
        begin = dataclasses.replace(inside, stride=2, padding=0)
    projection = None
    if strided or d > 1:
        projection = _sum(begin)
    elif inputs != stage.features:
        projection = _sum(single)
    blocks = []
    for index in range(stage.blocks):
        first = dataclasses.replace(inside if index else begin, features=stage.inner)
        if stage.form == "bottleneck":
            narrow = dataclasses.replace(single, features=stage.inner)
            main = narrow, first, _sum(single)
        else:
            main = first, _sum(inside)
        last = index == stage.blocks - 1
        block = Block(
            main,
            None if index else projection,
            stage.last_activation if last else "relu",
            stage.crop,
            None if index else stage.pool_after_first,
        )
        blocks.append(block)
    return tuple(blocks)


def _sum(conv: ConvSpec) -> ConvSpec:
    """Returns a convolution that is summed before the activation."""
    return dataclasses.replace(conv, activation="none")
