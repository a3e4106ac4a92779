"""A backbone that is a chain of stages, from RGB to the last map."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from dst_jax.arch.backbones.conv import Convolution, ConvSpec
from dst_jax.arch.backbones.residual import ResidualSpec
from dst_jax.arch.limits import LEAST, MAX_LAYERS, MAX_MAP_VALUES, MAX_PARAMETERS
from dst_jax.errors import InputError
from dst_jax.require import require, require_between

Link: TypeAlias = ConvSpec | ResidualSpec


class MapShape(NamedTuple):
    """One feature map that a backbone offers.

    Attributes:
      name: Name of the stage, "conv1" or "layer1" and so on.
      side: Cells per side.
      features: Channels.
      stride: Image pixels per cell.
    """

    name: str
    side: int
    features: int
    stride: int


class StageSides(NamedTuple):
    """Sides of what a stage makes of an image, cells.

    Attributes:
      before: Side of its map before its pooling.
      after: Side after its pooling; without one, the same.
    """

    before: int
    after: int


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """A chain of stages from RGB.

    The convolutional stages are "conv1", "conv2" and so on, the residual ones "layer1",
    "layer2" and so on.

    Attributes:
      layers: The stages, first to last.
      norm_epsilon: Constant added to the variance in batch normalisation.
      norm_momentum: Share of the old running statistic that an update keeps.
    """

    layers: tuple[Link, ...]
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
        depth = sum(layer.depth for layer in self.layers)
        if depth > MAX_LAYERS:
            raise InputError(
                f"Chain.layers: {depth:,} convolutions one after another; there may "
                f"be {MAX_LAYERS:,}, so lower blocks."
            )
        parameters = 0
        for found in (one for stage in self._convolutions(0) for one in stage):
            parameters += found.weights
            if found.inputs % found.conv.groups:
                raise InputError(
                    f"Chain.layers: {found.conv} cannot split its {found.inputs} input "
                    f"channels into {found.conv.groups} groups; make the width below "
                    "even."
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
    def stage_names(self) -> tuple[str, ...]:
        """Returns the name of each stage, under which its features are found."""
        counts: dict[str, int] = {}
        names = []
        for layer in self.layers:
            counts[layer.word] = counts.get(layer.word, 0) + 1
            names.append(f"{layer.word}{counts[layer.word]}")
        return tuple(names)

    @property
    def sizes(self) -> str:
        """Returns its sizes in words."""
        return f"widths {list(self.widths)}"

    @property
    def total_stride(self) -> int:
        """Returns the image pixels per cell of the last feature map."""
        stride = 1
        for layer in self.layers:
            stride *= layer.total_stride
        return stride

    def feature_side(self, image_px: int) -> int:
        """Returns the side of the last feature map of an image of `image_px` pixels."""
        return self.stage_sides(image_px)[-1].after

    def maps(self, image_px: int) -> tuple[MapShape, ...]:
        """Returns the map of every stage, first to last, as taps show it.

        Taps are taken before a stage's pooling.

        Args:
          image_px: Side of the image, pixels.

        Raises:
          InputError: If a map would have no cell left.
        """
        shapes, stride = [], 1
        stages = zip(
            self.stage_names, self.stage_sides(image_px), self.layers, strict=True
        )
        for name, sides, layer in stages:
            own = stride * layer.map_stride
            shapes.append(MapShape(name, sides.before, layer.features, own))
            stride *= layer.total_stride
        return tuple(shapes)

    def stage_sides(self, image_px: int) -> tuple[StageSides, ...]:
        """Returns the sides of every stage's feature map, before and after its pooling.

        Args:
          image_px: Side of the image, pixels.

        Raises:
          InputError: If a map would have no cell left, or more values than fit in
            memory.
        """
        found, side = [], image_px
        stages = zip(
            self.stage_names, self.layers, self.convolutions(image_px), strict=True
        )
        for name, layer, convolutions in stages:
            sides = StageSides(*layer.sides(side))
            if min(sides) < 1:
                raise InputError(
                    f"{name} has no cell left of an image of {image_px} px; "
                    "use a larger crop, a smaller kernel or less pooling."
                )
            values, cells, features = max(
                (one.out_side**2 * one.conv.features, one.out_side, one.conv.features)
                for one in convolutions
            )
            if values > MAX_MAP_VALUES:
                raise InputError(
                    f"{name}'s map of an image of {image_px} px has "
                    f"{cells} x {cells} x {features} values, over 2^30; use a smaller "
                    "crop or larger strides."
                )
            found.append(sides)
            side = sides.after
        return tuple(found)

    def convolutions(self, image_px: int) -> tuple[tuple[Convolution, ...], ...]:
        """Returns the convolutions of every stage and the maps that they read.

        Args:
          image_px: Side of the image, pixels.
        """
        return tuple(self._convolutions(image_px))

    def _convolutions(self, image_px: int) -> Iterator[tuple[Convolution, ...]]:
        side, inputs = image_px, 3
        for name, layer in zip(self.stage_names, self.layers, strict=True):
            yield layer.convolutions(inputs, side, name=name)
            side, inputs = layer.sides(side)[1], layer.features
