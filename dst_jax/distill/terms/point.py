"""Point, the distance between adapted features and the teacher's (DLF, L_point)."""

import dataclasses
from typing import Literal

from jax.typing import DTypeLike

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.terms.adapter import adapted, init_adapters
from dst_jax.distill.terms.features import Compared, FeatureTerm, map_shape
from dst_jax.require import require_one_of
from dst_jax.typing import Array, Float, Params


@dataclasses.dataclass(frozen=True)
class Point(FeatureTerm):
    """How far a student's features are from the teacher's, cell by cell.

    An adapter E brings them to the teacher's channels: a 1 x 1 convolution with bias
    and without normalisation, one per layer, for both images. It learns with the
    student and is not part of the tracker.

    Attributes:
      weight: lambda_0 of DLF, whose value is not published; 0 removes the term.
      form: Mean of squares over cells and channels ("mse"), or the 2-norm of the
        paper ("l2").
    """

    form: Literal["mse", "l2"] = "mse"

    def __post_init__(self):
        super().__post_init__()
        require_one_of(("mse", "l2"), self, "form")

    def init(
        self,
        key: Array,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        *,
        dtype: DTypeLike,
    ) -> Params:
        """Returns the first values of E by layer, see `init_adapters`."""
        assert teacher is not None
        channels = {}
        for layer, other in self.layers_of(student, teacher):
            given = map_shape(student, layer, "search").features
            channels[layer] = given, map_shape(teacher, other, "search").features
        return init_adapters(key, channels, dtype=dtype)

    def distance(self, maps: Compared, params: Params) -> Float[Array, " b"]:
        """Returns the distance of the adapted features, one value per example."""
        student = adapted(params[maps.layer], maps.student)
        return losses.point_distance(student, maps.teacher, form=self.form)
