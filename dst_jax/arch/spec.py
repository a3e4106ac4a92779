"""Architectures as frozen values: hashable, comparable, stored as JSON.

A spec is a static argument of `jit`: two equal specs compile once. Nothing here
imports an array library.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from dst_jax.arch.crops import AreaCrop, ContextCrop, Crop, Zooms
from dst_jax.errors import InputError


def _require(condition: bool, spec: object, field: str, expectation: str) -> None:
    if not condition:
        value = getattr(spec, field)
        name = type(spec).__name__
        raise InputError(f"{name}.{field}={value!r}: {expectation}.")


# Of a field that `spec_to_json` leaves out while it has its default.
OMIT_DEFAULT: Mapping[str, bool] = {"omit_default": True}
_CONTEXT = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class InputSpec:
    """What the network sees: sizes in pixels and the scaling of RGB values 0-255.

    Attributes:
      template_px: Side of the template crop; it covers the target with context.
      search_px: Side of the search crop when tracking.
      train_search_px: Side of the search crop in training, at the same scale.
      context: Share p of the mean side that is added around the target:
        s_z = sqrt((w + p (w + h)) (h + p (w + h))) frame pixels per template side.
      scale: RGB values are multiplied by this first.
      mean: Subtracted after scaling, per channel.
      std: Divides after that, per channel.
      area: The rule of a tracker that crops by the target's area, in place of
        `context`.
    """

    template_px: int = 127
    search_px: int = 255
    train_search_px: int = 239
    context: float = _CONTEXT
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    # Left out of the JSON where it is None, which keeps older identities.
    area: AreaCrop | None = dataclasses.field(default=None, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        _require(self.template_px >= 1, self, "template_px", "must be at least 1 px")
        for field in ("search_px", "train_search_px"):
            larger = getattr(self, field) >= self.template_px
            _require(larger, self, field, "must not be smaller than template_px")
        _require(self.context >= 0.0, self, "context", "must be at least 0")
        alone = self.area is None or self.context == _CONTEXT
        _require(alone, self, "context", "has no meaning beside area; leave it out")
        _require(min(self.std) > 0.0, self, "std", "must be positive")

    @property
    def crop(self) -> Crop:
        """The rule by which both crops are cut."""
        return ContextCrop(self.context) if self.area is None else self.area

    @property
    def zooms(self) -> Zooms:
        """How large template and search crop show a target."""
        return self.crop.zooms(template_px=self.template_px, search_px=self.search_px)

    def template_side(self, wh: Any) -> Any:
        """Returns the frame pixels that the template crop covers.

        Args:
          wh: Width and height of targets, [..., 2], an array of NumPy or JAX.

        Returns:
          Sides of squares, [...].
        """
        return self.zooms.template.side(wh)

    def search_side(self, wh: Any) -> Any:
        """Returns the frame pixels that a search crop of `search_px` covers.

        Args:
          wh: Width and height of targets, [..., 2], an array of NumPy or JAX.

        Returns:
          Sides of squares, [...].
        """
        zoom = self.zooms.search
        return zoom.side(wh) * (self.search_px / zoom.px)


@dataclasses.dataclass(frozen=True, slots=True)
class PoolSpec:
    """Max pooling over `window` x `window` cells, without padding."""

    window: int = 3
    stride: int = 2

    def __post_init__(self):
        _require(self.window >= 1, self, "window", "must be at least 1")
        _require(self.stride >= 1, self, "stride", "must be at least 1")


@dataclasses.dataclass(frozen=True, slots=True)
class ConvSpec:
    """Convolution with bias, then batch normalisation, activation and pooling.

    Attributes:
      features: Output channels.
      kernel: Side of the square kernel.
      stride: Step in both directions.
      padding: Zeros added on each side; negative padding crops.
      trim: Rows and columns cut off the high edges after that: what a kernel leaves
        unread that was shrunk by an odd number in place.
      groups: Input and output channels are split into this many groups.
      batch_norm: Whether a normalisation follows the convolution.
      activation: What follows the normalisation.
      pool: What follows the activation, or None.
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
        for field in ("features", "kernel", "stride", "groups"):
            _require(getattr(self, field) >= 1, self, field, "must be at least 1")
        _require(self.trim >= 0, self, "trim", "must be at least 0")
        divides = self.features % self.groups == 0
        _require(divides, self, "features", f"must divide into {self.groups} groups")
        known = self.activation in ("relu", "none")
        _require(known, self, "activation", 'must be "relu" or "none"')


@dataclasses.dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A chain of convolutional stages from RGB; stage j's features are "conv{j}".

    Attributes:
      layers: The stages, first to last.
      norm_epsilon: Added to the variance in batch normalisation.
      norm_momentum: Share of the old running statistic that an update keeps.
    """

    layers: tuple[ConvSpec, ...]
    norm_epsilon: float = 1e-6
    norm_momentum: float = 0.95

    def __post_init__(self):
        _require(len(self.layers) >= 1, self, "layers", "needs at least one stage")
        for below, layer in zip((3, *self.widths), self.layers, strict=False):
            if below % layer.groups:
                raise InputError(
                    f"BackboneSpec.layers: {layer} cannot split its {below} input "
                    f"channels into {layer.groups} groups; make the width below even."
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of each stage."""
        return tuple(layer.features for layer in self.layers)

    @property
    def total_stride(self) -> int:
        """Image pixels per cell of the last feature map."""
        stride = 1
        for layer in self.layers:
            stride *= layer.stride * (layer.pool.stride if layer.pool else 1)
        return stride


@dataclasses.dataclass(frozen=True, slots=True)
class CorrelationHeadSpec:
    """SiamFC's read-out: S = scale * <phi(x) * phi(z)> (+ bias).

    Attributes:
      scale: Constant that brings the correlation to the range of a logit.
      bias: Whether a learnable scalar is added (0 at the start).
    """

    scale: float = 1e-3
    bias: bool = False

    def __post_init__(self):
        _require(self.scale > 0.0, self, "scale", "must be positive")


@dataclasses.dataclass(frozen=True, slots=True)
class RegionHeadSpec:
    """SiamRPN's read-out: per cell and anchor a pair of logits and four offsets.

    Attributes:
      form: "up_channel": the template's map becomes 2k and 4k kernels of `features`
        channels, which are correlated with the search map (SiamRPN, DaSiamRPN);
        "depthwise": maps of `features` channels are correlated channel by channel,
        then read out by two 1 x 1 convolutions (SiamRPN++, pysot).
      features: Channels that are correlated, feature_out of DaSiamRPN.
      kernel: Side of the convolutions before the correlation, without padding.
      ratios: Height by width of the anchors.
      scales: Side of a square anchor, in strides.
    """

    form: Literal["up_channel", "depthwise"] = "up_channel"
    features: int = 256
    kernel: int = 3
    ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scales: tuple[int, ...] = (8,)

    def __post_init__(self):
        known = self.form in ("up_channel", "depthwise")
        _require(known, self, "form", 'must be "up_channel" or "depthwise"')
        for field in ("features", "kernel"):
            _require(getattr(self, field) >= 1, self, field, "must be at least 1")
        positive = bool(self.ratios) and min(self.ratios) > 0.0
        _require(positive, self, "ratios", "name at least one, all positive")
        positive = bool(self.scales) and min(self.scales) >= 1
        _require(positive, self, "scales", "name at least one, all at least 1")

    @property
    def anchors(self) -> int:
        """k, anchors per cell."""
        return len(self.ratios) * len(self.scales)


HeadSpec: TypeAlias = CorrelationHeadSpec | RegionHeadSpec


@dataclasses.dataclass(frozen=True, slots=True)
class TrackerSpec:
    """A Siamese tracker: shared backbone, head, and the input convention."""

    backbone: BackboneSpec
    head: HeadSpec = CorrelationHeadSpec()
    input: InputSpec = InputSpec()

    def __post_init__(self):
        # Refuses geometries in which a feature map would vanish.
        template = self.feature_side(self.input.template_px)
        if isinstance(self.head, RegionHeadSpec) and template < self.head.kernel:
            raise InputError(
                f"RegionHeadSpec.kernel={self.head.kernel}: the template's feature map "
                f"has {template} cells; use a smaller kernel or a larger template."
            )
        for field in ("search_px", "train_search_px"):
            if self.feature_side(getattr(self.input, field)) < template:
                raise InputError(
                    f"InputSpec.{field}={getattr(self.input, field)}: its feature map "
                    f"is smaller than the template's {template} cells."
                )

    def stage_sides(self, image_px: int) -> tuple[tuple[int, int], ...]:
        """Sides (before pooling, after pooling) of every stage's feature map.

        Raises:
          InputError: If a map would have no cell left.
        """
        sides, side = [], image_px
        for index, layer in enumerate(self.backbone.layers, start=1):
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
            sides.append((before, after))
            side = after
        return tuple(sides)

    def feature_side(self, image_px: int) -> int:
        """Side of the last feature map for an image of `image_px` pixels."""
        return self.stage_sides(image_px)[-1][1]

    def response_side(self, search_px: int) -> int:
        """Side of the response map for a search image of `search_px` pixels.

        A region head's convolutions take the same off both maps, and so nothing off
        the response.
        """
        template = self.feature_side(self.input.template_px)
        return self.feature_side(search_px) - template + 1
