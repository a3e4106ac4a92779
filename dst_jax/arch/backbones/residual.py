"""Residual stages as values: blocks whose convolutions add to what they read.

The stages follow pysot's dilated ResNets, in which strided convolutions have no padding
and the projections of strided and dilated stages are 3 x 3.
"""

import dataclasses
import functools
from typing import ClassVar, Literal, NamedTuple

from dst_jax.arch.backbones.conv import Convolution, ConvSpec
from dst_jax.arch.limits import MAX_KERNEL, MAX_LAYERS, MAX_WIDTH
from dst_jax.require import require, require_one_of, require_whole


class Block(NamedTuple):
    """The convolutions of one residual block, none of which has a bias.

    Attributes:
      main: The convolutions that are applied one after another, called "conv1" and so
        on. The last one has no activation, because that follows the sum.
      projection: The convolution that brings the block's input to the same size; None
        where the input itself is added.
    """

    main: tuple[ConvSpec, ...]
    projection: ConvSpec | None


@dataclasses.dataclass(frozen=True, slots=True)
class ResidualSpec:
    """A stage of residual blocks; a ReLU follows each sum.

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
    """

    features: int
    inner: int
    blocks: int
    form: Literal["bottleneck", "basic"] = "bottleneck"
    stride: int = 1
    dilation: int = 1

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

    @property
    def depth(self) -> int:
        """Returns the number of its convolutions that lie one after another."""
        return self.blocks * (3 if self.form == "bottleneck" else 2)

    @property
    def total_stride(self) -> int:
        """Returns the cells of its input per cell of its output."""
        return self.stride

    def sides(self, side: int) -> tuple[int, int]:
        """Returns the side of its map twice, because no pooling follows."""
        after = max((side - 3) // 2 + 1, 0) if self.stride == 2 else side
        return after, after

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
        blocks.append(Block(main, None if index else projection))
    return tuple(blocks)


def _sum(conv: ConvSpec) -> ConvSpec:
    """Returns a convolution that is summed before the activation."""
    return dataclasses.replace(conv, activation="none")
