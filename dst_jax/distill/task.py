"""The tracker's own loss on the labels, L^GT.

It is eq. 2 for SiamFC, eq. 5 for SiamRPN, and 2 GIoU + 5 L1 + focal for OSTrack.
"""

import dataclasses
import math
from typing import Any, Literal, assert_never

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.distill.detection import detection_parts, focal_part
from dst_jax.distill.labels.anchors import AnchorLabels
from dst_jax.distill.labels.cells import CellLabels
from dst_jax.distill.labels.centre import CentreLabels
from dst_jax.distill.labels.make import Labels
from dst_jax.distill.parts import Part, mean_over_all
from dst_jax.models import Answer, CellAnswer, CentreAnswer, RegionAnswer
from dst_jax.require import require, require_one_of
from dst_jax.typing import Array, Float, Scalar


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """Settings of the tracker's own loss, which GT, AH and the gates use.

    Attributes:
      classification: Whether positive and negative cells or anchors have half of the
        weight each ("balanced"), or all have equal weights ("mean").
      regression_weight: Factor on every loss of boxes, beside that of classes
        (SiamRPN).
      regression_beta: Distance at which smooth L1 turns from square to linear; 0 gives
        plain L1.
      regression_over: Pairs over which the loss of boxes is averaged: those that have a
        positive anchor ("pairs"), or all of the batch, negative ones too ("batch"), as
        in public code (SiamRPN).
      giou_weight: Factor on the overlap loss of boxes (OSTrack).
      corner_weight: Factor on the distance of boxes' corners (OSTrack).
    """

    classification: Literal["balanced", "mean"] = "balanced"
    regression_weight: float = 1.0
    regression_beta: float = 1.0
    # The JSON leaves it out at its default, so that older runs can go on.
    regression_over: Literal["pairs", "batch"] = dataclasses.field(
        default="pairs", metadata=OMIT_DEFAULT
    )
    giou_weight: float = dataclasses.field(default=2.0, metadata=OMIT_DEFAULT)
    corner_weight: float = dataclasses.field(default=5.0, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        weights = "regression_weight", "giou_weight", "corner_weight"
        for field in (*weights, "regression_beta"):
            fits = 0.0 <= getattr(self, field) < math.inf
            require(fits, self, field, "must be finite and at least 0")
        require_one_of(("pairs", "batch"), self, "regression_over")

    @property
    def box_weights(self) -> dict[str, Any]:
        """Returns the factors on the losses of boxes by name (OSTrack)."""
        return {"giou_weight": self.giou_weight, "corner_weight": self.corner_weight}


def task_parts(answer: Answer, labels: Labels, config: TaskConfig) -> list[Part]:
    """Returns the parts of an answer's loss on the labels of its grid."""
    match answer:
        case CellAnswer():
            return classification(answer, labels, config)
        case RegionAnswer(offsets=offsets):
            assert isinstance(labels, AnchorLabels)
            distance = losses.smooth_l1(
                offsets, labels.deltas, beta=config.regression_beta
            )
            boxes = regression(distance, labels, config)
            return [*classification(answer, labels, config), boxes]
        case CentreAnswer(response=response, offsets=offsets):
            assert isinstance(labels, CentreLabels)
            return detection_parts(response, offsets, labels, **config.box_weights)
        case _:
            assert_never(answer)


def classification(answer: Answer, labels: Labels, config: TaskConfig) -> list[Part]:
    """Returns the parts of the loss of target against background, without boxes."""
    match answer:
        case CellAnswer(response=response):
            assert isinstance(labels, CellLabels)
            values = losses.logistic(response, labels.labels)
            if config.classification == "mean":
                return [mean_over_all(values, labels.mask)]
            return balanced(values, labels)
        case RegionAnswer(response=response):
            assert isinstance(labels, AnchorLabels)
            values = losses.cross_entropy(response, labels.labels)
            if config.classification == "mean":
                kept = (labels.labels >= 0).astype(values.dtype)
                return [Part(jnp.sum(values * kept), jnp.sum(kept))]
            kinds = ((labels.labels == c).astype(values.dtype) for c in (1, 0))
            return [Part(jnp.sum(values * k), jnp.sum(k), 0.5) for k in kinds]
        case CentreAnswer(response=response):
            assert isinstance(labels, CentreLabels)
            return [focal_part(response, labels)]
        case _:
            assert_never(answer)


def balanced(values: Float[Array, "b u v"], cells: CellLabels) -> list[Part]:
    """Returns the means over positive and negative cells, each with weight 1/2."""
    kinds = cells.positive, cells.negative
    return [Part(jnp.sum(values * kind), jnp.sum(kind), 0.5) for kind in kinds]


def regression(
    values: Float[Array, "b u v k"], anchors: AnchorLabels, config: TaskConfig
) -> Part:
    """Returns the mean over the positives of a pair, averaged as the settings say."""
    total = jnp.sum(values * anchors.weights)
    return Part(total, regressed_pairs(anchors, config), config.regression_weight)


def regressed_pairs(anchors: AnchorLabels, config: TaskConfig) -> Scalar:
    """Returns the number of pairs over which losses of boxes are averaged."""
    every = config.regression_over == "batch"
    return jnp.sum(anchors.mask) if every else anchors.pairs
