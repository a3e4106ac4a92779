"""GT, the tracker's own loss on the labels, as a term (rows GT and NOKD)."""

import dataclasses

from dst_jax.arch import TrackerSpec
from dst_jax.distill.parts import Parts
from dst_jax.distill.task import task_parts
from dst_jax.distill.term import Term, View


@dataclasses.dataclass(frozen=True)
class Task(Term):
    """The loss on the ground truth, eq. 2 and 5.

    Attributes:
      weight: Factor on the loss; 0 removes the term.
    """

    def __call__(self, view: View) -> Parts:
        """Returns the student's loss on the labels."""
        return Parts(task_parts(view.student.answer, view.labels, view.task))

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns nothing, because the term reads answers alone."""
        del spec
        return ()

    def reads_teacher(self, student: TrackerSpec) -> bool:
        """Returns False, because the term reads only the labels."""
        del student
        return False
