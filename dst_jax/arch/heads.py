"""Heads as values: a head says what is read out of the two embedded images.

Every head has `family` (the papers' name of the tracker), `proposes_boxes`,
`one_stream` (whether it reads tokens of both images, or else two maps that it
compares), `levels`, `template_cells`, `answers`, `stage` and `with_features`, so that
most code need not know which head it has.
CONTRIBUTING.md lists the few places that do tell heads apart.
"""

import dataclasses
from typing import ClassVar, Literal, TypeAlias

from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.limits import (
    LEAST,
    MAX_ANCHORS,
    MAX_CROP_PX,
    MAX_FACTOR,
    MAX_KERNEL,
    MAX_SCALE,
    MAX_WIDTH,
)
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.require import require, require_between, require_one_of, require_whole


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
    one_stream: ClassVar[bool] = False
    levels: ClassVar[tuple[str, ...]] = ()
    template_cells: ClassVar[int] = 0

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

    JSON leaves the last four fields out while they have their defaults. They belong to
    SiamRPN++ and hence to the form "depthwise".

    Attributes:
      form: "up_channel": the template's map becomes 2k and 4k kernels of `features`
        channels, which are correlated with the search map (SiamRPN, DaSiamRPN);
        "depthwise": maps of `features` channels are correlated channel by channel,
        then read out by two 1 x 1 convolutions (SiamRPN++, pysot).
      features: Channels that are correlated, called feature_out in DaSiamRPN.
      kernel: Side of the convolutions before the correlation, which have no padding.
      ratios: Height over width of the anchors.
      scales: Side of a square anchor, in strides.
      levels: Stages whose maps are each read by a head of its own; none means the last
        stage alone.
      adjust: Channels of a 1 x 1 convolution with normalisation and without bias or
        activation, through which each level's map goes first; 0 leaves it out.
      template_cells: Side of the middle to which the template's map is then cut, which
        the search map never is; 0 keeps the whole map.
      fusion: Mean of the levels' answers ("mean"), or their sum weighted by the softmax
        of one learned vector for the logits and one for the offsets ("learned").
    """

    form: Literal["up_channel", "depthwise"] = "up_channel"
    features: int = 256
    kernel: int = 3
    ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scales: tuple[int, ...] = (8,)
    levels: tuple[str, ...] = dataclasses.field(default=(), metadata=OMIT_DEFAULT)
    adjust: int = dataclasses.field(default=0, metadata=OMIT_DEFAULT)
    template_cells: int = dataclasses.field(default=0, metadata=OMIT_DEFAULT)
    fusion: Literal["mean", "learned"] = dataclasses.field(
        default="mean", metadata=OMIT_DEFAULT
    )

    proposes_boxes: ClassVar[bool] = True
    one_stream: ClassVar[bool] = False

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
        self._check_levels(plain=up)

    def _check_levels(self, *, plain: bool) -> None:
        """Checks the fields of SiamRPN++, which a `plain` head must leave alone."""
        require_whole(0, MAX_WIDTH, self, "adjust")
        require_whole(0, MAX_CROP_PX, self, "template_cells")
        require_one_of(("mean", "learned"), self, "fusion")
        for field in ("levels", "adjust", "template_cells"):
            fits = not plain or not getattr(self, field)
            require(fits, self, field, 'needs form="depthwise"')
        once = len(set(self.levels)) == len(self.levels)
        require(once, self, "levels", "name each stage once")
        fits = not self.adjust or bool(self.levels)
        require(fits, self, "adjust", "needs levels, whose maps it adjusts")
        fits = self.template_cells == 0 or self.template_cells >= self.kernel
        text = f"must not be smaller than the kernel of {self.kernel} cells"
        require(fits, self, "template_cells", text)
        several = self.fusion == "mean" or len(self.levels) > 1
        require(
            several, self, "fusion", 'must be "mean" unless there are several levels'
        )

    @property
    def family(self) -> str:
        """Returns the papers' name of the tracker; SiamRPN++ reads several stages."""
        return "SiamRPN++" if self.levels else "SiamRPN"

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
            self.features,
            self.kernel,
            batch_norm=normalised,
            activation=activation,
            bias=not normalised,
        )

    @property
    def adjusting(self) -> ConvSpec | None:
        """Returns the convolution that adjusts each level's map, if there is one."""
        if not self.adjust:
            return None
        return ConvSpec(self.adjust, 1, activation="none", bias=False)

    def with_features(self, features: int) -> "RegionHeadSpec":
        """Returns the head with `features` channels; the number of outputs stays."""
        return dataclasses.replace(self, features=features)


@dataclasses.dataclass(frozen=True, slots=True)
class CentreHeadSpec:
    """OSTrack's read-out: a score, an offset and a size per cell of the search image.

    Each of the three has a branch of its own: four 3 x 3 convolutions with
    normalisation and ReLU, each half as wide as the one before, then a 1 x 1.

    Attributes:
      features: Channels of the first convolution of each branch.
      prior: Score of a cell before training, from 0 to 1, to which the bias of the
        score's last convolution is set. At .5, as in the public code, the bias is 0;
        from nothing, .1 (CornerNet and CenterNet, whose focal loss this is) spares the
        many empty cells a first loss that takes hundreds of steps to unlearn.
    """

    features: int = 256
    prior: float = dataclasses.field(default=0.5, metadata=OMIT_DEFAULT)

    KIND: ClassVar[str] = "centre"  # written to JSON, where it tells the class
    family: ClassVar[str] = "OSTrack"
    proposes_boxes: ClassVar[bool] = True
    one_stream: ClassVar[bool] = True
    levels: ClassVar[tuple[str, ...]] = ()
    template_cells: ClassVar[int] = 0
    # Numbers per cell, by branch.
    branches: ClassVar[tuple[tuple[str, int], ...]] = (
        ("score", 1),
        ("offset", 2),
        ("size", 2),
    )
    norm_epsilon: ClassVar[float] = 1e-5
    norm_momentum: ClassVar[float] = 0.9

    def __post_init__(self):
        require_whole(8, MAX_WIDTH, self, "features")
        require(self.features % 8 == 0, self, "features", "must be a multiple of 8")
        fits = isinstance(self.prior, float) and 0.0 < self.prior < 1.0
        require(fits, self, "prior", "must be between 0 and 1")

    @property
    def answers(self) -> str:
        """Returns in words what the head says of a cell; comparable heads agree."""
        return "a score, an offset and a size per cell"

    @property
    def stage(self) -> None:
        """Returns None, because nothing is read before a comparison of two maps."""

    @property
    def stages(self) -> tuple[ConvSpec, ...]:
        """Returns the 3 x 3 convolutions of a branch, first to last."""
        return tuple(ConvSpec(self.features // n, 3, padding=1) for n in (1, 2, 4, 8))

    def reading(self, outputs: int) -> ConvSpec:
        """Returns the last convolution of a branch with so many outputs."""
        return ConvSpec(outputs, 1, batch_norm=False, activation="none")

    def with_features(self, features: int) -> "CentreHeadSpec":
        """Returns the head with `features` channels; the number of outputs stays."""
        return dataclasses.replace(self, features=features)


HeadSpec: TypeAlias = CorrelationHeadSpec | RegionHeadSpec | CentreHeadSpec
