"""KS, the sharing of knowledge between students (eq. 17-22 and 33)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal, assert_never

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.parts import (
    Part,
    Parts,
    mean_of_sums,
    mean_over_all,
    scaled,
)
from dst_jax.distill.term import (
    Term,
    View,
    require_same_answers,
    require_same_grid,
)
from dst_jax.models import Answer, CellAnswer, RegionAnswer
from dst_jax.require import require
from dst_jax.typing import Scalar


@dataclasses.dataclass(frozen=True)
class Sharing(Term):
    """The divergence of a student from its peers, behind the gate of eq. 22.

    The gate opens when a student is nearly as good as the teacher. A run with one
    student shares nothing.

    Attributes:
      weight: Factor on the term, 1 in eq. 20; 0 removes it.
      temperature: Divisor of both students' logits; the paper has none here.
      discount: beta, the factor on learning from a peer that is not larger.
      margin: h of eq. 22; the gate is open while a loss is less than this above the
        teacher's.
      decay: Base of f(e) = decay ** e, where e counts epochs after the warm-up.
      norm: Factor 1 / (n - 1) for n students ("peers"), or 1 / n as in eq. 33
        ("paper").
      gate: Whether the gate compares the loss of the student that learns or of its
        peer with the teacher's.
      reduction: Mean over cells, or the sum of eq. 17.
      stop_peer: Whether no gradient reaches the student that is learned from.
    """

    temperature: float = 1.0
    discount: float = 0.5
    margin: float = 0.005
    decay: float = 0.9
    norm: Literal["peers", "paper"] = "peers"
    gate: Literal["learner", "peer"] = "learner"
    reduction: Literal["mean", "sum"] = "mean"
    stop_peer: bool = True

    def __post_init__(self):
        fits = 0.0 < self.temperature < math.inf
        require(fits, self, "temperature", "must be finite and positive")
        fits = 0.0 <= self.margin < math.inf
        require(fits, self, "margin", "must be finite and at least 0")
        require(0.0 < self.decay <= 1.0, self, "decay", "must be in (0, 1]")
        require(0.0 <= self.discount <= 1.0, self, "discount", "must be in [0, 1]")

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that all students answer on the same grid.

        The teacher's loss alone is compared, so its head must be of the same kind.

        Raises:
          InputError: If they do not, or the teacher's head answers otherwise.
        """
        if peers and teacher is not None:
            require_same_answers(student, teacher, name="the teacher")
        for name, peer in peers.items():
            require_same_grid(student, peer, name=name)

    def __call__(self, view: View) -> Parts:
        """Returns the divergence from all peers, and logs of sigma and the gate."""
        if not view.peers:
            return Parts([])
        norm = losses.sharing_normaliser(1 + len(view.peers), norm=self.norm)
        parts = []
        for name, peer in view.peers.items():
            beta = losses.sharing_weight(
                view.sizes[view.name], view.sizes[name], discount=self.discount
            )
            judged = name if self.gate == "peer" else view.name
            factor = norm * beta * self._sigma(judged, view)
            parts += scaled(self._divergence(peer.answer, view), factor)
        losses_ = view.task_losses[view.name], view.task_losses["teacher"]
        gate = losses.gate(*losses_, margin=self.margin)
        return Parts(parts, {"sigma": self._sigma(view.name, view), "gate": gate})

    def _sigma(self, name: str, view: View) -> Scalar:
        """Returns sigma of a student, eq. 22, which is 0 within the warm-up."""
        sigma = losses.sigma(
            view.task_losses[name],
            view.task_losses["teacher"],
            view.since_warmup,
            margin=self.margin,
            base=self.decay,
        )
        return jnp.where(view.since_warmup < 0.0, 0.0, sigma)

    def _divergence(self, peer: Answer, view: View) -> list[Part]:
        """Returns KS(learner || peer) of classes, and of boxes if there are any."""
        own, mask = view.student.answer, view.labels.mask
        reduce = mean_of_sums if self.reduction == "sum" else mean_over_all
        match own:
            case CellAnswer(response=response):
                values = losses.knowledge_sharing(
                    response,
                    peer.response,
                    temperature=self.temperature,
                    stop_peer=self.stop_peer,
                )
                return [reduce(values, mask)]
            case RegionAnswer(response=response, offsets=offsets):
                assert isinstance(peer, RegionAnswer)
                classes = losses.softmax_sharing(
                    response,
                    peer.response,
                    temperature=self.temperature,
                    stop_peer=self.stop_peer,
                )
                boxes = losses.regression_sharing(
                    offsets,
                    peer.offsets,
                    beta=view.task.regression_beta,
                    stop_peer=self.stop_peer,
                )
                weighed = scaled([reduce(boxes, mask)], view.task.regression_weight)
                return [reduce(classes, mask), *weighed]
            case _:
                assert_never(own)
