"""A backbone that is a chain of convolutional stages, from RGB to the last map."""

import dataclasses
from typing import Literal, NamedTuple

from dst_jax.arch.limits import (
    LEAST,
    MAX_KERNEL,
    MAX_LAYERS,
    MAX_MAP_VALUES,
    MAX_PARAMETERS,
    MAX_WIDTH,
)
from dst_jax.errors import InputError
from dst_jax.require import require, require_between, require_whole


class MapShape(NamedTuple):
    """One feature map that a backbone offers.

    Attributes:
      name: Name of the stage, "conv1" and so on.
      side: Cells per side.
      features: Channels.
      stride: Image pixels per cell.
    """

    name: str
    side: int
    features: int
    stride: int


@dataclasses.dataclass(frozen=True, slots=True)
class PoolSpec:
    """Max pooling over `window` x `window` cells, without padding.

    Attributes:
      window: Side of the pooled square, cells.
      stride: Step in both directions, cells.
    """

    window: int = 3
    stride: int = 2

    def __post_init__(self):
        require_whole(1, MAX_KERNEL, self, "window", "stride")


@dataclasses.dataclass(frozen=True, slots=True)
class ConvSpec:
    """Convolution with bias, then batch normalisation, activation and pooling.

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

    def __post_init__(self):
        require_whole(1, MAX_WIDTH, self, "features", "groups")
        require_whole(1, MAX_KERNEL, self, "kernel", "stride")
        require_whole(-MAX_KERNEL, MAX_KERNEL, self, "padding")
        require_whole(0, MAX_KERNEL, self, "trim")
        divides = self.features % self.groups == 0
        require(divides, self, "features", f"must divide into {self.groups} groups")
        known = self.activation in ("relu", "none")
        require(known, self, "activation", 'must be "relu" or "none"')


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """A chain of convolutional stages from RGB; stage j's features are "conv{j}".

    Attributes:
      layers: The stages, first to last.
      norm_epsilon: Constant added to the variance in batch normalisation.
      norm_momentum: Share of the old running statistic that an update keeps.
    """

    layers: tuple[ConvSpec, ...]
    norm_epsilon: float = 1e-6
    norm_momentum: float = 0.95

    def __post_init__(self):
        require_between(LEAST, 1.0, self, "norm_epsilon")
        require_between(0.0, 1.0, self, "norm_momentum")
        require(len(self.layers) >= 1, self, "layers", "needs at least one stage")
        if len(self.layers) > MAX_LAYERS:
            raise InputError(
                f"Chain.layers: {len(self.layers):,} stages; there may be "
                f"{MAX_LAYERS:,}."
            )
        parameters = 0
        for below, layer in zip((3, *self.widths), self.layers, strict=False):
            parameters += layer.kernel**2 * (below // layer.groups) * layer.features
            if below % layer.groups:
                raise InputError(
                    f"Chain.layers: {layer} cannot split its {below} input "
                    f"channels into {layer.groups} groups; make the width below even."
                )
        if parameters > MAX_PARAMETERS:
            raise InputError(
                f"Chain.layers: their kernels hold {parameters:.1e} numbers; there may "
                f"be {MAX_PARAMETERS:.0e}, so lower features or kernels."
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Returns the output channels of each stage."""
        return tuple(layer.features for layer in self.layers)

    @property
    def total_stride(self) -> int:
        """Returns the image pixels per cell of the last feature map."""
        stride = 1
        for layer in self.layers:
            stride *= layer.stride * (layer.pool.stride if layer.pool else 1)
        return stride

    def maps(self, image_px: int) -> tuple[MapShape, ...]:
        """Returns the map of every stage, first to last, as taps show it.

        Taps are taken before a stage's pooling.

        Args:
          image_px: Side of the image, pixels.

        Raises:
          InputError: If a map would have no cell left.
        """
        sides, shapes, stride = self.stage_sides(image_px), [], 1
        for index, layer in enumerate(self.layers):
            stride *= layer.stride
            before, _ = sides[index]
            shapes.append(MapShape(f"conv{index + 1}", before, layer.features, stride))
            stride *= layer.pool.stride if layer.pool else 1
        return tuple(shapes)

    def stage_sides(self, image_px: int) -> tuple[tuple[int, int], ...]:
        """Returns the sides of every stage's feature map, before and after its pooling.

        Args:
          image_px: Side of the image, pixels.

        Raises:
          InputError: If a map would have no cell left, or more values than fit in
            memory.
        """
        sides, side = [], image_px
        for index, layer in enumerate(self.layers, start=1):
            padded = side + 2 * layer.padding - layer.trim
            before = (padded - layer.kernel) // layer.stride + 1
            after = before
            if layer.pool:
                after = (before - layer.pool.window) // layer.pool.stride + 1
            if before < 1 or after < 1:
                raise InputError(
                    f"conv{index} has no cell left of an image of {image_px} px; "
                    "use a larger crop, a smaller kernel or less pooling."
                )
            if before**2 * layer.features > MAX_MAP_VALUES:
                raise InputError(
                    f"conv{index}'s map of an image of {image_px} px has "
                    f"{before} x {before} x {layer.features} values, over 2^30; use a "
                    "smaller crop or larger strides."
                )
            sides.append((before, after))
            side = after
        return tuple(sides)
