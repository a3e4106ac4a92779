"""What the terms of token maps share: which maps they compare, and how (LoReTrack)."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.arch.backbones.chain import MapShape
from dst_jax.distill.parts import Parts, mean_over_examples
from dst_jax.distill.term import Term, View, listed, require_same_view
from dst_jax.distill.terms.adapter import adapted, init_adapters
from dst_jax.errors import InputError
from dst_jax.models import Output
from dst_jax.ops.resize import resized
from dst_jax.require import require_one_of, require_positive
from dst_jax.typing import Array, Float, Params, Scalar


@dataclasses.dataclass(frozen=True)
class TokenTerm(Term):
    """A distance between maps of search tokens, summed over the maps.

    The student's maps are resized to the teacher's sides, bilinearly between centres of
    cells. Both networks must see the same square of the frame.

    Attributes:
      weight: Factor on the term; 0 removes it.
      form: Divergence of a cell's softmax over channels from the teacher's ("kl", as in
        public code), or the mean squared difference over channels ("mse", as readers of
        the paper report it).
      temperature: Divisor of both networks' features in the divergence.
      reduction: Whether cells are added up ("sum", as in public code) or averaged.
      adapter: Whether a 1 x 1 convolution brings each of the student's maps to the
        teacher's channels, so that widths may differ. It learns with the student and is
        not part of the tracker.
    """

    weight: float = 0.01
    form: Literal["kl", "mse"] = "kl"
    temperature: float = 4.0
    reduction: Literal["sum", "mean"] = "sum"
    adapter: bool = False

    def __post_init__(self):
        require_one_of(("kl", "mse"), self, "form")
        require_one_of(("sum", "mean"), self, "reduction")
        require_positive(self, "temperature")

    def init(
        self,
        key: Array,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        *,
        dtype: DTypeLike,
    ) -> Params:
        """Returns the first values of the adapters by map; none without `adapter`."""
        if not self.adapter:
            return {}
        assert teacher is not None
        ours = self._shapes(student, "student")
        theirs = self._shapes(teacher, "teacher")
        pairs = zip(ours, theirs, strict=True)
        channels = {own.name: (own.features, other.features) for own, other in pairs}
        return init_adapters(key, channels, dtype=dtype)

    @abc.abstractmethod
    def maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns the names of the maps of search tokens that a network must give."""

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns the names of the maps that are compared."""
        return self.maps(spec)

    def cell_weights(
        self, teacher: Float[Array, "b h w d"], view: View
    ) -> Float[Array, "b h w"] | None:
        """Returns weights of cells; None, as by default, weighs all alike.

        Args:
          teacher: The teacher's map.
          view: What the term sees.
        """
        del teacher, view

    def logs(self, view: View) -> dict[str, Scalar]:
        """Returns scalars to log, by name; by default there are none."""
        del view
        return {}

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that both have the maps, equally wide and of one square of the frame.

        Raises:
          InputError: If they do not.
        """
        del peers
        if teacher is None:
            return
        ours = self._shapes(student, "student")
        theirs = self._shapes(teacher, "teacher")
        for own, other in zip(ours, theirs, strict=True):
            if own.features != other.features and not self.adapter:
                raise InputError(
                    f"the student's map {own.name} has {own.features} channels, the "
                    f"teacher's {other.features}; give a student of the teacher's "
                    f"width, or {type(self).__name__}.adapter=True."
                )
        require_same_view(student, teacher, name="the teacher")

    def __call__(self, view: View) -> Parts:
        """Returns the mean over examples of the distances, summed over maps."""
        assert view.teacher is not None
        total = jnp.zeros_like(view.labels.mask)
        for name in self.maps(view.spec):
            teacher = _searched(view.teacher, name)
            student = _searched(view.student, name)
            if self.adapter:
                student = adapted(view.params[name], student)
            student = resized(student, (teacher.shape[1], teacher.shape[2]))
            values = self._distance(student, teacher)
            weights = self.cell_weights(teacher, view)
            if weights is not None:
                values = values * weights.astype(values.dtype)
            reduce = jnp.sum if self.reduction == "sum" else jnp.mean
            total += reduce(values, axis=(1, 2)).astype(total.dtype)
        return Parts([mean_over_examples(total, view.labels.mask)], self.logs(view))

    def _distance(self, student: Array, teacher: Array) -> Float[Array, "b h w"]:
        if self.form == "mse":
            return losses.token_mse(student, teacher)
        return losses.token_kl(student, teacher, temperature=self.temperature)

    def _shapes(self, spec: TrackerSpec, whose: str) -> list[MapShape]:
        """Returns the shapes of the maps, or raises InputError if one is missing."""
        known = {one.name: one for one in spec.maps(spec.input.train_search_px)}
        names = self.maps(spec)
        for name in names:
            if name not in known:
                raise InputError(
                    f"{type(self).__name__} reads the map {name!r}; the {whose}'s "
                    f"backbone has {listed(spec)}."
                )
        return [known[name] for name in names]


def _searched(output: Output, name: str) -> Float[Array, "b h w d"]:
    return output.taps[f"search/{name}"]
