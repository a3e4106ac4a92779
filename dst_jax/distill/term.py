"""What a term of the objective is, and what it may look at."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dst_jax.arch import TrackerSpec
from dst_jax.distill.labels.make import Labels
from dst_jax.distill.parts import Parts
from dst_jax.distill.task import TaskConfig
from dst_jax.errors import InputError
from dst_jax.models import Output
from dst_jax.typing import Scalar


class View(NamedTuple):
    """What a term may look at, of one student.

    Attributes:
      name: The student's.
      student: Its answer and taps.
      teacher: The teacher's; None where no term reads them. No gradient reaches it.
      peers: Those of the other students, by name.
      labels: What the ground truth says on the student's grid; `labels.mask` [b] is 0
        for examples that do not count.
      task: The tracker's own loss.
      task_losses: Its value over the global batch, by network, "teacher" among them
        where there is one; no gradient.
      sizes: Parameters of every student, by name.
      epoch: Real-valued epoch of the run.
      since_warmup: Epochs since the end of the warm-up; negative within it.
      psum: Sums a tree over all devices; the identity where there is one.
    """

    name: str
    student: Output
    teacher: Output | None
    peers: Mapping[str, Output]
    labels: Labels
    task: TaskConfig
    task_losses: Mapping[str, Scalar]
    sizes: Mapping[str, int]
    epoch: Scalar
    since_warmup: Scalar
    psum: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Term(abc.ABC):
    """A part of the objective as a value: its fields are its options and its weight.

    A term of one's own is a frozen dataclass that inherits from this one, adds options,
    and answers a call. Put into `DistillConfig.terms` it is checked, logged, stored
    with the run and mapped over devices as the others are.

    Attributes:
      weight: Factor on what the term adds to the loss; 0 removes it.
    """

    weight: float = 1.0

    @abc.abstractmethod
    def __call__(self, view: View) -> Parts:
        """Returns what the term adds to the loss of one student, before its weight."""

    def reads_teacher(self, student: TrackerSpec) -> bool:
        """Returns whether the term looks at the teacher beside such a student."""
        del student
        return True

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Raises InputError if the term cannot compare these networks.

        Args:
          student: The network that learns.
          teacher: The frozen network; None where the run has none.
          peers: The other students, by name.
        """
        del student, teacher, peers


def require_same_grid(ours: TrackerSpec, theirs: TrackerSpec, *, name: str) -> None:
    """Raises InputError unless two networks answer on the same grid in training.

    Args:
      ours: The student.
      theirs: The network that it is compared with.
      name: Of the latter, for the message.
    """
    one, other = (spec.grid(spec.input.train_search_px) for spec in (ours, theirs))
    if one.answers != other.answers:
        raise InputError(
            f"the student answers with {one.answers}, {name} with {other.answers}; "
            "networks that are compared must have the same kind of head."
        )
    # Field of view and cells per side decide what a cell stands for.
    if one != other:
        raise InputError(
            f"the student answers on {one.side} cells of {one.stride} px in a search "
            f"image of {one.search_px} px, {name} on {other.side} of {other.stride} in "
            f"{other.search_px}; kernels, strides and pooling must agree, only widths "
            "may differ."
        )
