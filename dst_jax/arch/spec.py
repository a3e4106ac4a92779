"""Architectures as frozen values: hashable, comparable, stored as JSON.

A spec is a static argument of `jit`: two equal specs compile once. Nothing here
imports an array library.
"""

import dataclasses
from typing import Any, NamedTuple, TypeAlias

from dst_jax.arch.backbones.chain import Chain, MapShape
from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.arch.crops import AreaCrop, ContextCrop, Crop, Zooms
from dst_jax.arch.heads import CorrelationHeadSpec, HeadSpec
from dst_jax.arch.limits import LEAST, MAX_CROP_PX, MAX_FACTOR, MAX_SCALE
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.errors import InputError, shortened
from dst_jax.require import require, require_between, require_whole

Backbone: TypeAlias = Chain | TokenBackboneSpec

_CONTEXT = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class InputSpec:
    """What the network sees: sizes in pixels and the scaling of RGB values 0-255.

    A value becomes (value * scale - mean) / std.

    Attributes:
      template_px: Side of the template crop; it covers the target with context.
      search_px: Side of the search crop when tracking.
      train_search_px: Side of the search crop in training, at the same scale.
      context: Share p of the mean side that is added around the target:
        s_z = sqrt((w + p (w + h)) (h + p (w + h))) frame pixels per template side.
      scale: Number by which RGB values are multiplied first.
      mean: Number per channel that is subtracted after scaling.
      std: Number per channel by which the difference is divided.
      area: Rule of a tracker that crops by the target's area, in place of `context`.
    """

    template_px: int = 127
    search_px: int = 255
    train_search_px: int = 239
    context: float = _CONTEXT
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    # The JSON leaves it out where it is None, which keeps older identities.
    area: AreaCrop | None = dataclasses.field(default=None, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        sizes = ("template_px", "search_px", "train_search_px")
        require_whole(1, MAX_CROP_PX, self, *sizes)
        for field in sizes[1:]:
            larger = getattr(self, field) >= self.template_px
            require(larger, self, field, "must not be smaller than template_px")
        require_between(0.0, MAX_FACTOR, self, "context")
        alone = self.area is None or self.context == _CONTEXT
        require(alone, self, "context", "has no meaning beside area; leave it out")
        for field in ("mean", "std"):
            channels = len(getattr(self, field)) == 3
            require(channels, self, field, "must have a number for each of 3 channels")
        require_between(-MAX_SCALE, MAX_SCALE, self, "mean")
        require_between(LEAST, MAX_SCALE, self, "scale", "std")

    @property
    def crop(self) -> Crop:
        """Returns the rule by which both crops are cut."""
        return ContextCrop(self.context) if self.area is None else self.area

    @property
    def zooms(self) -> Zooms:
        """Returns the scales at which template and search crop show a target."""
        return self.crop.zooms(template_px=self.template_px, search_px=self.search_px)

    def template_side(self, wh: Any) -> Any:
        """Returns the side of the square of the frame that the template crop covers.

        Args:
          wh: Width and height of targets, [..., 2], an array of NumPy or JAX.

        Returns:
          Sides of squares, [...].
        """
        return self.crop.covered(self.zooms.template.side(wh))

    def search_side(self, wh: Any) -> Any:
        """Returns the side of the square that a search crop of `search_px` covers.

        Args:
          wh: Width and height of targets, [..., 2], an array of NumPy or JAX.

        Returns:
          Sides of squares, [...].
        """
        zoom = self.zooms.search
        return self.crop.covered(zoom.side(wh) * (self.search_px / zoom.px))


class Grid(NamedTuple):
    """The cells for which a tracker answers, and the kind of its answers.

    Answers on equal grids can be compared cell by cell.

    Attributes:
      answers: Description in words of what the head says of a cell.
      side: Cells per side.
      stride: Search pixels per cell.
      search_px: Side of the search image, pixels.
    """

    answers: str
    side: int
    stride: int
    search_px: int


@dataclasses.dataclass(frozen=True, slots=True)
class TrackerSpec:
    """A tracker: backbone, head and input convention.

    Attributes:
      backbone: The network that embeds both images, each by itself or both at once.
      head: The read-out of the embedded images.
      input: Sizes of the crops and scaling of their values.
    """

    backbone: Backbone
    head: HeadSpec = CorrelationHeadSpec()
    input: InputSpec = InputSpec()

    def __post_init__(self):
        if self.head.one_stream != isinstance(self.backbone, TokenBackboneSpec):
            fits = "TokenBackboneSpec" if self.head.one_stream else "Chain"
            raise InputError(
                f"TrackerSpec.backbone: a head of {self.head.family} reads what a "
                f"{fits} gives, not a {type(self.backbone).__name__}."
            )
        if isinstance(self.backbone, Chain):
            self._check_chain(self.backbone)
        else:
            self._check_patches(self.backbone)

    def _check_patches(self, backbone: TokenBackboneSpec) -> None:
        """Checks that patches fill both images, whose sides fit together."""
        template, search = self.input.template_px, self.input.search_px
        for field in ("template_px", "search_px", "train_search_px"):
            try:
                backbone.feature_side(getattr(self.input, field))
            except InputError as error:
                raise InputError(f"InputSpec.{field}: {error}") from None
        if search != 2 * template:
            raise InputError(
                f"InputSpec.search_px={search}: must be twice template_px={template}, "
                "as in OSTrack."
            )
        if self.input.train_search_px != search:
            raise InputError(
                f"InputSpec.train_search_px={self.input.train_search_px}: must be "
                f"search_px={search}, for which positions are learned."
            )

    def _check_chain(self, chain: Chain) -> None:
        """Checks that no feature map vanishes, and that head and maps fit."""
        template = self.feature_side(self.input.template_px)
        last = chain.stage_sides(self.input.template_px)[-1]
        if last.before != last.after:
            raise InputError(
                "Chain.layers: the head reads the last stage before its pooling; leave "
                "that pooling out."
            )
        self._check_levels()
        self._check_template_cells(template)
        if self.head.stage and self.template_cells < self.head.stage.kernel:
            name, kernel = type(self.head).__name__, self.head.stage.kernel
            raise InputError(
                f"{name}.kernel={kernel}: the template's feature map "
                f"has {template} cells; use a smaller kernel or a larger template."
            )
        for field in ("search_px", "train_search_px"):
            if self.feature_side(getattr(self.input, field)) < template:
                raise InputError(
                    f"InputSpec.{field}={getattr(self.input, field)}: its feature map "
                    f"is smaller than the template's {template} cells."
                )

    def _check_levels(self) -> None:
        """Checks that each level exists and has the grid of the last stage."""
        owner = f"{type(self.head).__name__}.levels"
        for px in (self.input.template_px, self.input.search_px):
            shapes = {shape.name: shape for shape in self.maps(px)}
            last = list(shapes.values())[-1]
            for level in self.head.levels:
                if level not in shapes:
                    raise InputError(
                        f"{owner}: there is no stage {shortened(level)}; the backbone "
                        f"has {', '.join(shapes)}."
                    )
                found = shapes[level]
                if (found.side, found.stride) != (last.side, last.stride):
                    raise InputError(
                        f"{owner}: the map of {level} has {found.side} cells of "
                        f"{found.stride} px, that of the last stage {last.side} of "
                        f"{last.stride} px; name stages whose maps agree with it."
                    )

    def _check_template_cells(self, template: int) -> None:
        """Checks that the middle of the template's map can be cut out."""
        cells = self.head.template_cells
        if cells > template or (cells and (template - cells) % 2):
            kind = "an odd" if template % 2 else "an even"
            raise InputError(
                f"{type(self.head).__name__}.template_cells={cells}: the template's "
                f"map has {template} cells; its middle has {kind} number up to that."
            )

    @property
    def levels(self) -> tuple[str, ...]:
        """Returns the names of the stages whose maps the head reads."""
        return self.head.levels or self.backbone.stage_names[-1:]

    @property
    def template_cells(self) -> int:
        """Returns the side of the template's map as the head reads it, cells."""
        return self.head.template_cells or self.feature_side(self.input.template_px)

    def feature_side(self, image_px: int) -> int:
        """Returns the side of the last feature map of an image of `image_px` pixels."""
        return self.backbone.feature_side(image_px)

    def response_side(self, search_px: int) -> int:
        """Returns the side of the response map of a `search_px` pixels search image.

        A region head's convolutions take as many cells off both maps, and so none off
        the response. A network of one stream answers for every cell.
        """
        side = self.feature_side(search_px)
        return side if self.head.one_stream else side - self.template_cells + 1

    def maps(self, image_px: int) -> tuple[MapShape, ...]:
        """Returns the feature maps of an image of `image_px` pixels, first to last."""
        return self.backbone.maps(image_px)

    def grid(self, search_px: int) -> Grid:
        """Returns the grid on which the tracker answers a `search_px` search image."""
        side, stride = self.response_side(search_px), self.backbone.total_stride
        return Grid(self.head.answers, side, stride, search_px)
