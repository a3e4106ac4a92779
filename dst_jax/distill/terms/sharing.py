"""KS, the sharing of knowledge between students (eq. 17-22 and 33)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, assert_never

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.detection import box_distance
from dst_jax.distill.labels import AnchorLabels, CentreLabels
from dst_jax.distill.parts import (
    Part,
    Parts,
    agreed_mean,
    mean_of_sums,
    mean_over_all,
    mean_over_examples,
    scaled,
    weighed,
)
from dst_jax.distill.readings import batch_loss, example_losses
from dst_jax.distill.task import regression
from dst_jax.distill.term import (
    Term,
    View,
    require_same_answers,
    require_same_grid,
)
from dst_jax.models import Answer, CellAnswer, CentreAnswer, RegionAnswer
from dst_jax.ops.centre import best_boxes
from dst_jax.require import require
from dst_jax.typing import Array, Float, Scalar


@dataclasses.dataclass(frozen=True)
class Sharing(Term):
    """The divergence of a student from its peers, behind the gate of eq. 22.

    The gate opens when a student is nearly as good as the teacher. A run with one
    student shares nothing. Logged of every student are "gap/STUDENT", L^GT of it less
    that of the teacher, as the gate reads them; "gate/STUDENT", 1 where its own gate is
    open and 0 where not; and "sigma/STUDENT". With a gate for each example these are
    means over the batch, so that "gate" is the share of examples that are open.

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
      gate_loss: Reading of L^GT in the gate: the loss that the run trains on, see
        `TaskConfig.classification` ("task"), or one in which positive and negative
        cells or anchors have half of the weight each ("balanced"), or all have the
        same, which is eq. 2 and 5 to the letter ("mean").
      gate_over: Whether the whole batch of all devices has one gate, or each example
        has its own ("example"): its share of the divergence counts or does not, and the
        mean is still over all examples.
      anchors: Anchors whose boxes are shared, all or the positive ones of the labels
        (SiamRPN); or those of all examples or of those that show the target (OSTrack).
      reduction: Mean over cells, or the sum of eq. 17.
      stop_peer: Whether no gradient reaches the student that is learned from.
    """

    temperature: float = 1.0
    discount: float = 0.5
    margin: float = 0.005
    decay: float = 0.9
    norm: Literal["peers", "paper"] = "peers"
    gate: Literal["learner", "peer"] = "learner"
    gate_loss: Literal["task", "balanced", "mean"] = "task"
    gate_over: Literal["batch", "example"] = "batch"
    anchors: Literal["all", "positive"] = "all"
    reduction: Literal["mean", "sum"] = "mean"
    stop_peer: bool = True

    def __post_init__(self):
        fits = 0.0 < self.temperature < math.inf
        require(fits, self, "temperature", "must be finite and positive")
        fits = 0.0 <= self.margin < math.inf
        require(fits, self, "margin", "must be finite and at least 0")
        require(0.0 < self.decay <= 1.0, self, "decay", "must be in (0, 1]")
        require(0.0 <= self.discount <= 1.0, self, "discount", "must be in [0, 1]")

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
        """Returns the divergence from all peers, and logs of sigma, gate and gap."""
        if not view.peers:
            return Parts([])
        norm = losses.sharing_normaliser(1 + len(view.peers), norm=self.norm)
        parts = []
        for name, peer in view.peers.items():
            beta = losses.sharing_weight(
                view.sizes[view.name], view.sizes[name], discount=self.discount
            )
            judged = name if self.gate == "peer" else view.name
            sigma = self._sigma(judged, view)
            if self.gate_over == "example":
                found = self._divergence(peer.answer, view, sigma)
                parts += scaled(found, norm * beta)
            else:
                found = self._divergence(peer.answer, view, None)
                parts += scaled(found, norm * beta * sigma)
        return Parts(parts, self._logs(view))

    def _logs(self, view: View) -> dict[str, Scalar]:
        """Returns sigma, gate and gap of the student, equal on all devices."""
        own, teacher = (self._loss(name, view) for name in (view.name, "teacher"))
        found = {
            "sigma": self._sigma(view.name, view),
            "gate": losses.gate(own, teacher, margin=self.margin),
            "gap": own - teacher,
        }
        if self.gate_over == "batch":
            return found
        mask, everywhere = view.labels.mask, view.psum
        return {name: agreed_mean(x, mask, everywhere) for name, x in found.items()}

    def _sigma(self, name: str, view: View) -> Float[Array, "*b"]:
        """Returns sigma of a student, eq. 22, which is 0 within the warm-up."""
        sigma = losses.sigma(
            self._loss(name, view),
            self._loss("teacher", view),
            view.since_warmup,
            margin=self.margin,
            base=self.decay,
        )
        return jnp.where(view.since_warmup < 0.0, 0.0, sigma)

    def _loss(self, name: str, view: View) -> Float[Array, "*b"]:
        """Returns L^GT of a network as the gate reads it, of the batch or [b]."""
        task = view.task
        if self.gate_loss != "task":
            task = dataclasses.replace(task, classification=self.gate_loss)
        if self.gate_over == "batch" and task == view.task:
            return view.task_losses[name]
        answer, labels = view.answer_of(name), view.all_labels[name]
        if self.gate_over == "example":
            return example_losses(answer, labels, task)
        return batch_loss(answer, labels, task, view.psum)

    def _divergence(
        self, peer: Answer, view: View, weights: Float[Array, " b"] | None
    ) -> list[Part]:
        """Returns KS(learner || peer) of classes, and of boxes if there are any.

        Args:
          peer: The answer of the student that is learned from.
          view: What the term sees.
          weights: Weights of the examples; None weighs all alike.
        """
        own, mask = view.student.answer, view.labels.mask
        knobs: dict[str, Any] = {
            "temperature": self.temperature,
            "stop_peer": self.stop_peer,
        }
        reduce = mean_of_sums if self.reduction == "sum" else mean_over_all

        def weigh(values: Array) -> Array:
            return values if weights is None else weighed(values, weights)

        match own:
            case CellAnswer(response=response):
                values = losses.knowledge_sharing(response, peer.response, **knobs)
                return [reduce(weigh(values), mask)]
            case RegionAnswer(response=response, offsets=offsets):
                assert isinstance(peer, RegionAnswer)
                classes = losses.softmax_sharing(response, peer.response, **knobs)
                boxes = losses.regression_sharing(
                    offsets,
                    peer.offsets,
                    beta=view.task.regression_beta,
                    stop_peer=self.stop_peer,
                )
                return [reduce(weigh(classes), mask), self._boxes(weigh(boxes), view)]
            case CentreAnswer(response=response):
                assert isinstance(peer, CentreAnswer)
                values = losses.knowledge_sharing(response, peer.response, **knobs)
                distance = box_distance(
                    best_boxes(*own),
                    best_boxes(*peer),
                    both=not self.stop_peer,
                    **view.task.box_weights,
                )
                labels = view.labels
                assert isinstance(labels, CentreLabels)
                counted = labels.shown if self.anchors == "positive" else mask
                boxes = mean_over_examples(weigh(distance), counted)
                return [reduce(weigh(values), mask), boxes]
            case _:
                assert_never(own)

    def _boxes(self, values: Float[Array, "b u v k"], view: View) -> Part:
        """Returns the part of the boxes, of all anchors or of the positive ones."""
        labels, task = view.labels, view.task
        assert isinstance(labels, AnchorLabels)
        if self.anchors == "positive" and self.reduction == "mean":
            return regression(values, labels, task)
        if self.anchors == "positive":
            values = values * (labels.labels == 1).astype(values.dtype)
        reduce = mean_of_sums if self.reduction == "sum" else mean_over_all
        (boxes,) = scaled([reduce(values, labels.mask)], task.regression_weight)
        return boxes
