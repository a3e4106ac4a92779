"""TS, the teacher-soft loss, whose target is the teacher's answer (eq. 9)."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, assert_never

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.detection import box_distance
from dst_jax.distill.labels import AnchorLabels, CellLabels, CentreLabels
from dst_jax.distill.parts import (
    Part,
    Parts,
    mean_of_sums,
    mean_over_all,
    mean_over_examples,
    scaled,
    weighed,
)
from dst_jax.distill.task import balanced, regression
from dst_jax.distill.term import Term, View, require_comparable
from dst_jax.errors import InputError
from dst_jax.models import CellAnswer, CentreAnswer, RegionAnswer
from dst_jax.ops.centre import best_boxes
from dst_jax.ops.resize import resized
from dst_jax.require import require
from dst_jax.typing import Array


@dataclasses.dataclass(frozen=True)
class Soft(Term):
    """The divergence of the student's answer from the teacher's.

    Attributes:
      weight: Factor on the term, 1 in eq. 16; 0 removes it.
      temperature: Divisor of both networks' logits, temp of eq. 9.
      direction: Order of the divergence's arguments; the paper writes the student
        first.
      form: Whether each cell has a distribution (target or not) or all cells of a map
        share one (SiamFC).
      reduction: Weights of cells or anchors in the divergence. "mean": all have the
        same weight. "balanced": those on the target have half of the weight, all others
        the other half, over the batch. "sum": they are added up, and the sums averaged
        over examples. "family": balanced for SiamFC's cells, as eq. 2 is in public
        code, the mean over SiamRPN's anchors, and added up for OSTrack's cells, as in
        its focal loss. A map's shared distribution has one value, which is averaged.
        Boxes keep their own weights.
      anchors: Anchors whose boxes are compared, the positive ones or all (SiamRPN); or
        examples whose boxes are, those that show the target or all (OSTrack).
    """

    temperature: float = 1.0
    direction: Literal["student_first", "teacher_first"] = "student_first"
    form: Literal["cell", "map"] = "cell"
    reduction: Literal["family", "mean", "balanced", "sum"] = "family"
    anchors: Literal["positive", "all"] = "positive"

    def __post_init__(self):
        fits = 0.0 < self.temperature < math.inf
        require(fits, self, "temperature", "must be finite and positive")
        fits = self.form == "cell" or self.reduction == "family"
        require(fits, self, "reduction", "must be 'family' where form='map'")

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns nothing, because the term reads answers alone."""
        del spec
        return ()

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that student and teacher answer for the same places.

        Raises:
          InputError: If they do not, or `form` does not fit the head.
        """
        del peers
        if student.head.proposes_boxes and self.form != "cell":
            raise InputError(
                f"Soft.form={self.form!r} is for SiamFC; anchors have two classes "
                "each, and so have OSTrack's cells, use 'cell'."
            )
        if teacher is not None:
            require_comparable(student, teacher, name="the teacher")

    def __call__(self, view: View) -> Parts:
        """Returns the divergence from the teacher, and the distance of any boxes."""
        assert view.teacher is not None
        own, teacher = view.student.answer, view.teacher.answer
        match own:
            case CellAnswer():
                assert isinstance(teacher, CellAnswer)
                assert isinstance(view.labels, CellLabels)
                return Parts(self._cells(own, teacher, view.labels))
            case RegionAnswer():
                assert isinstance(teacher, RegionAnswer)
                return Parts(self._regions(own, teacher, view))
            case CentreAnswer():
                assert isinstance(teacher, CentreAnswer)
                return Parts(self._centres(own, teacher, view))
            case _:
                assert_never(own)

    @property
    def _knobs(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "direction": self.direction}

    def _cells(
        self, own: CellAnswer, teacher: CellAnswer, labels: CellLabels
    ) -> list[Part]:
        responses = own.response, teacher.response
        if self.form == "map":
            values = losses.spatial_kl(*responses, **self._knobs)
            return [mean_over_examples(values, labels.mask)]
        values = losses.bernoulli_kl(*responses, **self._knobs)
        if self.reduction in ("family", "balanced"):
            return balanced(values, labels)
        return [self._plain(values, labels.mask)]

    def _regions(
        self, own: RegionAnswer, teacher: RegionAnswer, view: View
    ) -> list[Part]:
        """Returns parts for classes on all anchors and boxes as `anchors` says."""
        labels, task = view.labels, view.task
        assert isinstance(labels, AnchorLabels)
        divergence = losses.softmax_kl(own.response, teacher.response, **self._knobs)
        distance = losses.smooth_l1(
            own.offsets, teacher.offsets, beta=task.regression_beta
        )
        classes = self._classes(divergence, labels)
        if self.anchors == "positive":
            return [*classes, regression(distance, labels, task)]
        boxes = mean_over_all(distance, labels.mask)
        return [*classes, *scaled([boxes], task.regression_weight)]

    def _centres(
        self, own: CentreAnswer, teacher: CentreAnswer, view: View
    ) -> list[Part]:
        """Returns parts for scores on the teacher's cells and for the best boxes."""
        labels = view.all_labels["teacher"]
        assert isinstance(labels, CentreLabels)
        sides = teacher.response.shape[1], teacher.response.shape[2]
        response = resized(own.response[..., None], sides)[..., 0]
        values = losses.bernoulli_kl(response, teacher.response, **self._knobs)
        if self.reduction == "family":
            scores = [mean_of_sums(values, labels.mask)]
        elif self.reduction == "balanced":
            target = (labels.heat == 1.0).astype(values.dtype)
            kinds = (weighed(kind, labels.mask) for kind in (target, 1.0 - target))
            scores = [Part(jnp.sum(values * k), jnp.sum(k), 0.5) for k in kinds]
        else:
            scores = [self._plain(values, labels.mask)]
        boxes = best_boxes(*own), best_boxes(*teacher)
        distance = box_distance(*boxes, **view.task.box_weights)
        counted = labels.shown if self.anchors == "positive" else labels.mask
        return [*scores, mean_over_examples(distance, counted)]

    def _classes(self, values: Array, labels: AnchorLabels) -> list[Part]:
        """Returns the parts of the divergence of classes on all anchors."""
        if self.reduction != "balanced":
            return [self._plain(values, labels.mask)]
        # The teacher speaks of every anchor, also of those that the labels leave out.
        target = (labels.labels == 1).astype(values.dtype)
        others = weighed(1.0 - target, labels.mask)
        kinds = target, others
        return [Part(jnp.sum(values * kind), jnp.sum(kind), 0.5) for kind in kinds]

    @property
    def _plain(self) -> Callable[[Array, Array], Part]:
        return mean_of_sums if self.reduction == "sum" else mean_over_all
