"""What the terms of feature distillation share: which maps they compare (DLF)."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import jax.numpy as jnp

from dst_jax.arch import TrackerSpec
from dst_jax.arch.backbones.chain import MapShape
from dst_jax.distill.parts import Parts, agreed_mean, mean_over_examples
from dst_jax.distill.term import Term, View, listed
from dst_jax.errors import InputError
from dst_jax.ops.resize import resized
from dst_jax.require import require, require_one_of
from dst_jax.typing import Array, Float, Params

# Images by the field of `InputSpec` that holds the side of their crops in training.
_SIDES = {"search": "train_search_px", "template": "template_px"}


class Compared(NamedTuple):
    """The feature maps of student and teacher of one image and layer.

    Attributes:
      layer: Name of the layer in the student.
      student: The student's map, [b h w d], of the teacher's sides.
      teacher: The teacher's map, [b h w e].
    """

    layer: str
    student: Float[Array, "b h w d"]
    teacher: Float[Array, "b h w e"]


@dataclasses.dataclass(frozen=True)
class FeatureTerm(Term):
    """A distance between feature maps, summed over images and layers.

    Logged of every student is "TERM_zero/STUDENT", the share of examples in which the
    teacher's features are all zero in a map.

    Attributes:
      layers: Names of the stages whose maps are compared, such as "conv5"; none takes
        the last stage of each network.
      images: Images whose maps are compared; those of both are added up.
      resize: Whether maps of unequal grids are compared, the student's resized to the
        teacher's sides bilinearly; without it such networks are refused.
    """

    layers: tuple[str, ...] = ()
    images: Literal["both", "search", "template"] = "both"
    resize: bool = False

    def __post_init__(self):
        once = len(set(self.layers)) == len(self.layers)
        require(once, self, "layers", "name each layer once")
        require_one_of(("both", *_SIDES), self, "images")

    @abc.abstractmethod
    def distance(self, maps: Compared, params: Params) -> Float[Array, " b"]:
        """Returns the distance between two maps, one value per example.

        Args:
          maps: The maps.
          params: The term's own parameters for the student.
        """

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that both have the layers, on a common grid unless `resize`.

        Raises:
          InputError: If a layer is missing or its maps have no common grid.
        """
        del peers
        if teacher is None:
            return
        for own, other in self.layers_of(student, teacher):
            self._require_stage(own, student, "student")
            self._require_stage(other, teacher, "teacher")
            for image in () if self.resize else self.compared_images:
                _require_common_grid((student, own), (teacher, other), image)

    def __call__(self, view: View) -> Parts:
        """Returns the mean over examples of the added distances, and the log."""
        mask = view.labels.mask
        total, zero = jnp.zeros_like(mask), jnp.zeros_like(mask)
        for maps in self._maps(view):
            total += self.distance(maps, view.params).astype(mask.dtype)
            dead = jnp.all(maps.teacher == 0.0, axis=(-3, -2, -1))
            zero = jnp.maximum(zero, dead.astype(mask.dtype))
        logs = {f"{view.term}_zero": agreed_mean(zero, mask, view.psum)}
        return Parts([mean_over_examples(total, mask)], logs)

    def remark(self, name: str, logs: Mapping[str, float]) -> str | None:
        """Returns a warning if the teacher's features are all zero.

        Args:
          name: Name of the term.
          logs: What the term logged of one student, by name.
        """
        share = logs[f"{name}_zero"]
        if not share:
            return None
        return (
            f"the teacher's features are all zero in {share:.0%} of the first step's "
            "pairs and teach nothing there; give a trained teacher or name other "
            f"--distill.{name}.layers."
        )

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns the names of the layers that are compared in a network."""
        return self.layers or (list(_stages(spec))[-1],)

    @property
    def compared_images(self) -> tuple[str, ...]:
        """Returns the images whose maps are compared."""
        return tuple(_SIDES) if self.images == "both" else (self.images,)

    def layers_of(
        self, student: TrackerSpec, teacher: TrackerSpec
    ) -> list[tuple[str, str]]:
        """Returns the names of the compared layers in student and teacher."""
        pairs = zip(self.reads_maps(student), self.reads_maps(teacher), strict=True)
        return list(pairs)

    def _maps(self, view: View) -> Iterator[Compared]:
        """Yields the maps of each layer and image."""
        assert view.teacher is not None
        specs = view.spec, view.specs["teacher"]
        for own, other in self.layers_of(*specs):
            for image in self.compared_images:
                student = view.student.taps[f"{image}/{own}"]
                teacher = view.teacher.taps[f"{image}/{other}"]
                if student.shape[1:3] != teacher.shape[1:3]:
                    sides = teacher.shape[1], teacher.shape[2]
                    student = resized(student, sides)
                yield Compared(own, student, teacher)

    def _require_stage(self, name: str, spec: TrackerSpec, whose: str) -> None:
        if name not in _stages(spec):
            raise InputError(
                f"{type(self).__name__}.layers has {name!r}; the {whose}'s backbone "
                f"has {listed(spec)}."
            )


def map_shape(spec: TrackerSpec, layer: str, image: str) -> MapShape:
    """Returns the shape of a network's map of a layer in training.

    Args:
      spec: The network.
      layer: Name of the stage.
      image: Image, "search" or "template".
    """
    return _stages(spec, image)[layer]


def _stages(spec: TrackerSpec, image: str = "template") -> dict[str, MapShape]:
    """Returns the maps of a network's stages by name, first to last."""
    return {shape.name: shape for shape in spec.maps(_crop_px(spec, image))}


def _crop_px(spec: TrackerSpec, image: str) -> int:
    return getattr(spec.input, _SIDES[image])


def _require_common_grid(
    ours: tuple[TrackerSpec, str], theirs: tuple[TrackerSpec, str], image: str
) -> None:
    """Raises InputError if the cells of two maps stand for different places."""
    one, other = map_shape(*ours, image), map_shape(*theirs, image)
    px = [_crop_px(spec, image) for spec, _ in (ours, theirs)]
    if (one.side, one.stride, px[0]) != (other.side, other.stride, px[1]):
        raise InputError(
            f"the student's {image} map of {one.name} has {one.side} cells of "
            f"{one.stride} px in {px[0]} px, the teacher's of {other.name} has "
            f"{other.side} of {other.stride} in {px[1]}; name layers on a common grid, "
            "or give resize=True."
        )
