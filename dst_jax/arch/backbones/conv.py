"""Convolutional stages as values, and what their convolutions cost on a map."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

from dst_jax.arch.limits import MAX_KERNEL, MAX_WIDTH
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.require import require, require_whole


@dataclasses.dataclass(frozen=True, slots=True)
class PoolSpec:
    """Max pooling over `window` x `window` cells.

    Attributes:
      window: Side of the pooled square, cells.
      stride: Step in both directions, cells.
      padding: Cells added on each side, which never are the largest of a window.
    """

    window: int = 3
    stride: int = 2
    padding: int = dataclasses.field(default=0, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        require_whole(1, MAX_KERNEL, self, "window", "stride")
        require_whole(0, MAX_KERNEL, self, "padding")
        within = 2 * self.padding <= self.window
        require(within, self, "padding", "must be at most half of the window")

    def side(self, side: int) -> int:
        """Returns the side of the pooled map of a map of `side` cells."""
        return (side + 2 * self.padding - self.window) // self.stride + 1


@dataclasses.dataclass(frozen=True, slots=True)
class ConvSpec:
    """Convolution, then batch normalisation, activation and pooling.

    JSON leaves the last three fields out while they have their defaults.

    Attributes:
      features: Output channels.
      kernel: Side of the square kernel.
      stride: Step in both directions, cells.
      padding: Zeros added on each side; negative padding crops.
      trim: Rows and columns that are then cut off the high edges. A kernel that was
        shrunk in place by an odd number leaves them unread.
      groups: Number of groups into which input and output channels are split.
      batch_norm: Whether a normalisation follows the convolution.
      activation: Function that follows the normalisation.
      pool: Pooling that follows the activation, or None.
      bias: Whether the convolution adds a bias.
      crop: Cells cut off each side after the activation, before the pooling.
      dilation: Cells from one tap of the kernel to the next.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    trim: int = 0
    groups: int = 1
    batch_norm: bool = True
    activation: Literal["relu", "none"] = "relu"
    pool: PoolSpec | None = None
    bias: bool = dataclasses.field(default=True, metadata=OMIT_DEFAULT)
    crop: int = dataclasses.field(default=0, metadata=OMIT_DEFAULT)
    dilation: int = dataclasses.field(default=1, metadata=OMIT_DEFAULT)

    word: ClassVar[str] = "conv"
    depth: ClassVar[int] = 1

    def __post_init__(self):
        require_whole(1, MAX_WIDTH, self, "features", "groups")
        require_whole(1, MAX_KERNEL, self, "kernel", "stride", "dilation")
        require_whole(-MAX_KERNEL, MAX_KERNEL, self, "padding")
        require_whole(0, MAX_KERNEL, self, "trim", "crop")
        divides = self.features % self.groups == 0
        require(divides, self, "features", f"must divide into {self.groups} groups")
        known = self.activation in ("relu", "none")
        require(known, self, "activation", 'must be "relu" or "none"')

    @property
    def total_stride(self) -> int:
        """Returns the cells of its input per cell of its output, pooling included."""
        return self.stride * (self.pool.stride if self.pool else 1)

    @property
    def map_stride(self) -> int:
        """Returns the cells of its input per cell of its map before the pooling."""
        return self.stride

    def conv_side(self, side: int) -> int:
        """Returns the side of what the convolution makes of a map of `side` cells."""
        padded = side + 2 * self.padding - self.trim
        return (padded - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def sides(self, side: int) -> tuple[int, int]:
        """Returns the sides of its map before and after pooling, none below 0."""
        before = max(self.conv_side(side) - 2 * self.crop, 0)
        return before, max(self.pool.side(before), 0) if self.pool else before

    def convolutions(
        self, inputs: int, side: int, *, name: str = ""
    ) -> tuple["Convolution", ...]:
        """Returns its only convolution; see `Convolution` for the arguments."""
        return (Convolution(name, self, side, inputs),)


class Convolution(NamedTuple):
    """One convolution and the map that it is applied to.

    Attributes:
      name: Its path in the network, "conv1" or "layer2/block1/conv2".
      conv: The convolution, with its normalisation.
      side: Side of its input, cells.
      inputs: Channels of its input.
    """

    name: str
    conv: ConvSpec
    side: int
    inputs: int

    @property
    def out_side(self) -> int:
        """Returns the side of what it makes of its input, cells."""
        return self.conv.conv_side(self.side)

    @property
    def weights(self) -> int:
        """Returns the number of weights of its kernel."""
        per_group = self.inputs // self.conv.groups
        return self.conv.kernel**2 * per_group * self.conv.features

    @property
    def parameters(self) -> int:
        """Returns its learnable scalars.

        They are weights and bias of the convolution, and scale and shift of its
        normalisation.
        """
        per_channel = int(self.conv.bias) + 2 * int(self.conv.batch_norm)
        return self.weights + per_channel * self.conv.features

    @property
    def statistics(self) -> int:
        """Returns the running means and variances of its normalisation."""
        return 2 * self.conv.features if self.conv.batch_norm else 0

    @property
    def macs(self) -> int:
        """Returns its multiply-adds on one image."""
        return self.weights * self.out_side**2
