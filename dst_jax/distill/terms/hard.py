"""AH, the adaptive hard loss on the labels, which the teacher bounds (eq. 10, 11)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, assert_never

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.detection import box_distance
from dst_jax.distill.labels import AnchorLabels, CentreLabels
from dst_jax.distill.parts import Part, Parts, divide, mean_over_examples
from dst_jax.distill.task import (
    classification,
    regressed_pairs,
    regression,
    task_parts,
)
from dst_jax.distill.term import Term, View, require_comparable
from dst_jax.models import CellAnswer, CentreAnswer, RegionAnswer
from dst_jax.ops.centre import best_boxes
from dst_jax.require import require
from dst_jax.typing import Array


@dataclasses.dataclass(frozen=True)
class Hard(Term):
    """The loss on the labels, without boxes where the student beats the teacher.

    SiamFC regresses no boxes. For it the term is the plain loss and needs no teacher.

    Attributes:
      weight: lambda of eq. 16; 0 removes the term.
      margin: m of eq. 10, the lead over the teacher at which boxes count no more.
      gate: Whether eq. 10 compares the losses of each anchor or their means over the
        batch. OSTrack has one box for each example in place of anchors.
    """

    weight: float = 0.1
    margin: float = 0.005
    gate: Literal["anchor", "batch"] = "anchor"

    def __post_init__(self):
        fits = 0.0 <= self.margin < math.inf
        require(fits, self, "margin", "must be finite and at least 0")

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns nothing, because the term reads answers alone."""
        del spec
        return ()

    def reads_teacher(self, student: TrackerSpec) -> bool:
        """Returns whether the student has boxes, whose loss the teacher bounds."""
        return student.head.proposes_boxes

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that boxes of student and teacher stand for the same places.

        Raises:
          InputError: If they do not.
        """
        del peers
        if teacher is not None and self.reads_teacher(student):
            require_comparable(student, teacher, name="the teacher")

    def __call__(self, view: View) -> Parts:
        """Returns the loss on the labels, in which the loss of boxes is bounded."""
        answer, labels = view.student.answer, view.labels
        match answer:
            case CellAnswer():
                return Parts(task_parts(answer, labels, view.task))
            case RegionAnswer(offsets=offsets):
                assert view.teacher is not None
                bound = view.teacher.answer
                assert isinstance(labels, AnchorLabels)
                assert isinstance(bound, RegionAnswer)
                values = losses.bounded_regression(
                    offsets,
                    bound.offsets,
                    labels.deltas,
                    margin=self.margin,
                    beta=view.task.regression_beta,
                    compared=lambda values: self._compared(values, labels, view),
                )
                boxes = regression(values, labels, view.task)
                return Parts([*classification(answer, labels, view.task), boxes])
            case CentreAnswer():
                assert isinstance(labels, CentreLabels)
                scores = classification(answer, labels, view.task)
                return Parts([*scores, self._bounded_boxes(answer, labels, view)])
            case _:
                assert_never(answer)

    def _bounded_boxes(
        self, answer: CentreAnswer, labels: CentreLabels, view: View
    ) -> Part:
        """Returns the part of OSTrack's boxes, one for each example."""
        assert view.teacher is not None
        bound = view.teacher.answer
        assert isinstance(bound, CentreAnswer)
        own, teachers = (
            box_distance(best_boxes(*one), labels.box, **view.task.box_weights)
            for one in (answer, bound)
        )
        own_mean, teachers_mean = own, teachers
        if self.gate == "batch":
            parts = [mean_over_examples(x, labels.shown) for x in (own, teachers)]
            sums = view.psum([(part.total, part.number) for part in parts])
            own_mean, teachers_mean = (divide(*one) for one in sums)
        gate = losses.bounded_gate(own_mean, teachers_mean, margin=self.margin)
        return mean_over_examples(gate * own, labels.shown)

    def _compared(self, values: Array, labels: AnchorLabels, view: View) -> Array:
        """Returns the losses to compare, of each anchor or as a mean over devices."""
        if self.gate == "anchor":
            return values
        sums = jnp.sum(values * labels.weights), regressed_pairs(labels, view.task)
        return divide(*view.psum(sums))
