"""Defines a term of the objective and what it may look at."""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax.typing import DTypeLike

from dst_jax.arch import TrackerSpec
from dst_jax.distill.labels.make import Labels
from dst_jax.distill.parts import Parts
from dst_jax.distill.task import TaskConfig
from dst_jax.errors import InputError
from dst_jax.models import Answer, Output
from dst_jax.typing import Array, Params, Scalar


class View(NamedTuple):
    """Values that a term may read when it computes the loss of one student.

    Attributes:
      name: Name of the student.
      term: Name of the term that looks.
      student: Answer and taps of the student.
      teacher: Answer and taps of the teacher, without gradient; None if no term reads
        them.
      peers: Answers and taps of the other students, by name.
      labels: Labels on the student's grid; `labels.mask` [b] is 0 for examples that do
        not count.
      all_labels: Labels of every network on its own grid, by name; the names are those
        of `task_losses`.
      task: Settings of the tracker's own loss.
      task_losses: That loss over the global batch, without gradient, by network; it
        has "teacher" if `teacher` is not None.
      sizes: Number of parameters of every student, by name.
      epoch: Epoch of the run, a real number.
      since_warmup: Epochs since the end of the warm-up; negative within it.
      psum: Function that sums a tree over all devices.
      specs: Architectures of the networks by name; the names are those of
        `all_labels`.
      params: The term's own parameters for the student, as `Term.init` made them.
    """

    name: str
    term: str
    student: Output
    teacher: Output | None
    peers: Mapping[str, Output]
    labels: Labels
    all_labels: Mapping[str, Labels]
    task: TaskConfig
    task_losses: Mapping[str, Scalar]
    sizes: Mapping[str, int]
    epoch: Scalar
    since_warmup: Scalar
    psum: Callable[[Any], Any]
    specs: Mapping[str, TrackerSpec] = {}
    params: Mapping[str, Any] = {}

    @property
    def spec(self) -> TrackerSpec:
        """Returns the architecture of the student."""
        return self.specs[self.name]

    def answer_of(self, name: str) -> Answer:
        """Returns the answer of the student, a peer or "teacher"."""
        known = {**self.peers, self.name: self.student}
        if self.teacher is not None:
            known["teacher"] = self.teacher
        return known[name].answer


@dataclasses.dataclass(frozen=True)
class Term(abc.ABC):
    """A term of the objective; its fields are its options and its weight.

    A term of one's own is a frozen dataclass that inherits from this one, adds options
    and defines `__call__`. In `DistillConfig.terms` it is checked, logged, stored with
    the run and spread over devices like the others.

    Attributes:
      weight: Factor on the term; 0 removes it.
    """

    weight: float = 1.0

    @abc.abstractmethod
    def __call__(self, view: View) -> Parts:
        """Returns the term's part of the loss of one student, without its weight."""

    def reads_teacher(self, student: TrackerSpec) -> bool:
        """Returns whether the term reads the teacher for such a student."""
        del student
        return True

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...] | None:
        """Returns the names of a network's maps that the term reads.

        Blocks of a transformer that nobody reads may be computed in a loop.

        Args:
          spec: The student or the teacher.

        Returns:
          Names without an image, such as "norm"; None, as by default, for all.
        """
        del spec
        return None

    def init(
        self,
        key: Array,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        *,
        dtype: DTypeLike,
    ) -> Params:
        """Returns first values of the term's own parameters; by default it has none.

        They learn with the student, and `View.params` hands them to the term. They are
        no part of the tracker.

        Args:
          key: Randomness of the values.
          student: The network that learns.
          teacher: The frozen network; None if the run has none.
          dtype: Type of the parameters.

        Returns:
          Arrays in nested dicts; an empty one for none.
        """
        del key, student, teacher, dtype
        return {}

    def remark(self, name: str, logs: Mapping[str, float]) -> str | None:
        """Returns a warning after the first step, or None; by default there is none.

        Args:
          name: Name of the term.
          logs: What the term logged of one student, by name.
        """
        del name, logs
        return None

    def probed(self, name: str, logs: Mapping[str, float]) -> str | None:
        """Returns what a probe says of the term's logs; by default it says nothing.

        Args:
          name: Name of the term.
          logs: What the term logged of one student, by name.
        """
        del name, logs
        return None

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that the term can compare these networks; by default it can.

        Args:
          student: The network that learns.
          teacher: The frozen network; None if the run has none.
          peers: The other students, by name.

        Raises:
          InputError: If it cannot.
        """
        del student, teacher, peers


def require_same_answers(ours: TrackerSpec, theirs: TrackerSpec, *, name: str) -> None:
    """Checks that two networks have the same kind of head.

    Args:
      ours: The student.
      theirs: The network that it is compared with.
      name: Name of that network, for the message.

    Raises:
      InputError: If their heads say different things of a cell.
    """
    one, other = ours.head.answers, theirs.head.answers
    if one != other:
        raise InputError(
            f"the student answers with {one}, {name} with {other}; networks that are "
            "compared must have the same kind of head."
        )


def require_same_grid(ours: TrackerSpec, theirs: TrackerSpec, *, name: str) -> None:
    """Checks that two networks answer on the same grid in training.

    Args:
      ours: The student.
      theirs: The network that it is compared with.
      name: Name of that network, for the message.

    Raises:
      InputError: If their grids differ.
    """
    require_same_answers(ours, theirs, name=name)
    one, other = (spec.grid(spec.input.train_search_px) for spec in (ours, theirs))
    # Field of view and cells per side decide which place a cell stands for.
    if one != other:
        agree = "crops must be of one size"
        if not ours.head.one_stream:
            agree = "kernels, strides and pooling must agree"
        raise InputError(
            f"the student answers on {one.side} cells of {one.stride} px in a search "
            f"image of {one.search_px} px, {name} on {other.side} of {other.stride} in "
            f"{other.search_px}; {agree}, only widths may differ."
        )


def require_comparable(ours: TrackerSpec, theirs: TrackerSpec, *, name: str) -> None:
    """Checks that the answers of two networks can be compared, perhaps resized.

    Those of networks of one stream can where both see the same square of the frame,
    of whatever size; others need the same grid.

    Args:
      ours: The student.
      theirs: The network that it is compared with.
      name: Name of that network, for the message.

    Raises:
      InputError: If they cannot.
    """
    if not (ours.head.one_stream and theirs.head.one_stream):
        require_same_grid(ours, theirs, name=name)
        return
    require_same_answers(ours, theirs, name=name)
    require_same_view(ours, theirs, name=name)


def require_same_view(ours: TrackerSpec, theirs: TrackerSpec, *, name: str) -> None:
    """Checks that a student's search image shows as much of the frame as another's.

    Args:
      ours: The student.
      theirs: The network that it is compared with.
      name: Name of that network, for the message.

    Raises:
      InputError: If it does not, or has more pixels.
    """
    one, other = (
        spec.input.train_search_px / spec.input.zooms.search.px_per_side
        for spec in (ours, theirs)
    )
    if not math.isclose(one, other, rel_tol=1e-9):
        raise InputError(
            f"the student's search image shows {one:g} times the target's size, that "
            f"of {name} {other:g}; cells stand for the same places only where both are "
            f"equal; give a student that shows {other:g} times it (AreaCrop.search)."
        )
    own_px, their_px = (spec.input.train_search_px for spec in (ours, theirs))
    if own_px > their_px:
        raise InputError(
            f"the student's search image has {own_px} px, that of {name} {their_px}; a "
            "student is no larger than its teacher, so exchange them."
        )


def listed(spec: TrackerSpec) -> str:
    """Returns the names of a network's maps; of many, the first three and the last."""
    names = [one.name for one in spec.maps(spec.input.train_search_px)]
    shown = names if len(names) <= 6 else [*names[:3], "...", names[-1]]
    return ", ".join(shown)
