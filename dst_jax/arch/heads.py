"""Heads as values: a head says what is read out of the two embedded images.

Every head has `family` (the papers' name of the tracker), `proposes_boxes`, `answers`,
`stage` and `with_features`, so that most code need not know which head it has.
CONTRIBUTING.md lists the few places that do tell heads apart.
"""

import dataclasses
from typing import ClassVar, Literal, TypeAlias

from dst_jax.arch.backbones.chain import ConvSpec
from dst_jax.arch.limits import (
    LEAST,
    MAX_ANCHORS,
    MAX_FACTOR,
    MAX_KERNEL,
    MAX_SCALE,
    MAX_WIDTH,
)
from dst_jax.require import require, require_between, require_whole


@dataclasses.dataclass(frozen=True, slots=True)
class CorrelationHeadSpec:
    """SiamFC's read-out: S = scale * <phi(x) * phi(z)> (+ bias).

    Attributes:
      scale: Constant that brings the correlation to the range of a logit.
      bias: Whether a learnable scalar, which starts at 0, is added.
    """

    scale: float = 1e-3
    bias: bool = False

    family: ClassVar[str] = "SiamFC"
    proposes_boxes: ClassVar[bool] = False

    def __post_init__(self):
        require_between(LEAST, MAX_SCALE, self, "scale")

    @property
    def answers(self) -> str:
        """Returns in words what the head says of a cell; comparable heads agree."""
        return "one logit per cell"

    @property
    def stage(self) -> None:
        """Returns None, because the head has no convolution of its own."""

    def with_features(self, features: int) -> "CorrelationHeadSpec":
        """Returns the head itself, which has no width."""
        del features
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class RegionHeadSpec:
    """SiamRPN's read-out: a pair of logits and four offsets per cell and anchor.

    Attributes:
      form: "up_channel": the template's map becomes 2k and 4k kernels of `features`
        channels, which are correlated with the search map (SiamRPN, DaSiamRPN);
        "depthwise": maps of `features` channels are correlated channel by channel,
        then read out by two 1 x 1 convolutions (SiamRPN++, pysot).
      features: Channels that are correlated, called feature_out in DaSiamRPN.
      kernel: Side of the convolutions before the correlation, which have no padding.
      ratios: Height over width of the anchors.
      scales: Side of a square anchor, in strides.
    """

    form: Literal["up_channel", "depthwise"] = "up_channel"
    features: int = 256
    kernel: int = 3
    ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scales: tuple[int, ...] = (8,)

    family: ClassVar[str] = "SiamRPN"
    proposes_boxes: ClassVar[bool] = True

    def __post_init__(self):
        known = self.form in ("up_channel", "depthwise")
        require(known, self, "form", 'must be "up_channel" or "depthwise"')
        require_whole(1, MAX_WIDTH, self, "features")
        require_whole(1, MAX_KERNEL, self, "kernel")
        for field in ("ratios", "scales"):
            few = 1 <= len(getattr(self, field)) <= MAX_ANCHORS
            require(few, self, field, f"name from 1 to {MAX_ANCHORS}")
        require_between(1.0 / MAX_FACTOR, MAX_FACTOR, self, "ratios")
        require_whole(1, int(MAX_FACTOR), self, "scales")
        few = self.anchors <= MAX_ANCHORS
        require(few, self, "ratios", f"times scales give over {MAX_ANCHORS} anchors")
        up = self.form == "up_channel"
        few = not up or 4 * self.anchors * self.features <= MAX_WIDTH
        text = f"4 times features times anchors must not exceed {MAX_WIDTH:,}"
        require(few, self, "features", text)

    @property
    def anchors(self) -> int:
        """Returns k, the number of anchors per cell."""
        return len(self.ratios) * len(self.scales)

    @property
    def answers(self) -> str:
        """Returns in words what the head says of a cell; comparable heads agree."""
        return f"anchors of ratios {self.ratios} and scales {self.scales}"

    @property
    def stage(self) -> ConvSpec:
        """Returns one of the convolutions before the correlation, as a stage."""
        normalised = self.form == "depthwise"
        activation = "relu" if normalised else "none"
        return ConvSpec(
            self.features, self.kernel, batch_norm=normalised, activation=activation
        )

    def with_features(self, features: int) -> "RegionHeadSpec":
        """Returns the head with `features` channels; the number of outputs stays."""
        return dataclasses.replace(self, features=features)


HeadSpec: TypeAlias = CorrelationHeadSpec | RegionHeadSpec
