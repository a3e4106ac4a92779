"""Which terms a run trains with: the objective's settings and the papers' rows."""

import dataclasses
import math
from typing import Literal

from dst_jax.errors import InputError
from dst_jax.ops.anchors import AssignConfig


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """The objective of TSsKD, eq. 16-23 and 33; defaults are the paper's values.

    A weight of 0 removes its term. With no teacher term and no sharing, the
    objective is plain training on the ground truth.

    Attributes:
      ground_truth: Weight of the plain loss on the labels (rows GT, NOKD).
      teacher_soft: Weight of TS, eq. 9.
      adaptive_hard: lambda of eq. 16, on AH; for SiamFC AH is the plain loss.
      target_response: omega of eq. 16, on STR.
      sharing: Whether students learn from one another, eq. 20-23.
      temperature: temp, divides the logits in TS and sharing.
      soft_kl: Direction of the divergence in TS; the paper writes student first.
      soft_form: Divergence per cell (target or not) or over all cells of a map.
      response_layers: tau, the stages that STR compares, counted from 1.
      response_norm: Each activation map is divided by its own norm, or not (literal).
      response_weighted: Whether the search map is weighted by W, eq. 14.
      response_stop_weight: Whether the student's W is a constant for the gradient.
      response_reduction: Mean of squares over cells, or the literal 2-norm.
      sharing_discount: beta, for what a smaller student teaches a larger one.
      sharing_margin: h of eq. 22.
      sharing_decay: f(e) = decay ** e, e counted after the warm-up.
      sharing_norm: 1 / (n - 1) over the other students, or 1 / n as eq. 33 prints.
      sharing_gate: Whose loss the gate compares with the teacher's.
      sharing_reduction: Mean over cells, or the sum that eq. 17 writes.
      stop_peer: Whether a student is a fixed target for those who learn from it.
      warmup_epochs: Epochs on the ground truth alone (weight 1) before the rest.
      batch_norm: Whether template and search crops are normalised in training each by
        its own statistics, as in public trackers, or pairs by common ones. Inference
        has one set for both; from nothing, a region head learns to rely on the gap.
      label_radius_px: Cells within this distance of the centre are positive (SiamFC).
      assign: Which anchors are positive or negative (this and the rest: SiamRPN).
      hard_margin: m of eq. 10, by how much a student must beat the teacher's boxes.
      hard_gate: Whether eq. 10 asks that of each anchor or of the batch's mean.
      soft_anchors: Where TS compares boxes: positive anchors, or all.
      regression_weight: Of every loss of boxes, beside that of classes.
      regression_beta: Where smooth L1 turns from square to line; 0 is plain L1.
    """

    ground_truth: float = 0.0
    teacher_soft: float = 1.0
    adaptive_hard: float = 0.1
    target_response: float = 100.0
    sharing: bool = True
    temperature: float = 1.0
    soft_kl: Literal["student_first", "teacher_first"] = "student_first"
    soft_form: Literal["cell", "map"] = "cell"
    response_layers: tuple[int, ...] = (3, 4, 5)
    response_norm: Literal["l2", "none"] = "l2"
    response_weighted: bool = True
    response_stop_weight: bool = False
    response_reduction: Literal["mse", "l2"] = "mse"
    sharing_discount: float = 0.5
    sharing_margin: float = 0.005
    sharing_decay: float = 0.9
    sharing_norm: Literal["peers", "paper"] = "peers"
    sharing_gate: Literal["learner", "peer"] = "learner"
    sharing_reduction: Literal["mean", "sum"] = "mean"
    stop_peer: bool = True
    warmup_epochs: float = 0.0
    batch_norm: Literal["image", "pair"] = "image"
    label_radius_px: float = 16.0
    assign: AssignConfig = AssignConfig()
    hard_margin: float = 0.005
    hard_gate: Literal["anchor", "batch"] = "anchor"
    soft_anchors: Literal["positive", "all"] = "positive"
    regression_weight: float = 1.0
    regression_beta: float = 1.0

    def __post_init__(self):
        weights = ("ground_truth", "teacher_soft", "adaptive_hard", "target_response")
        more = ("warmup_epochs", "sharing_margin", "hard_margin")
        for field in (*weights, *more, "regression_weight", "regression_beta"):
            fits = 0.0 <= getattr(self, field) < math.inf
            self._require(fits, field, "must be finite and at least 0 (0 removes it)")
        for field in ("temperature", "label_radius_px"):
            fits = 0.0 < getattr(self, field) < math.inf
            self._require(fits, field, "must be finite and positive")
        fits = 0.0 < self.sharing_decay <= 1.0
        self._require(fits, "sharing_decay", "must be in (0, 1]")
        fits = 0.0 <= self.sharing_discount <= 1.0
        self._require(fits, "sharing_discount", "must be in [0, 1]")
        layers = self.response_layers
        fits = bool(layers) and len(set(layers)) == len(layers)
        self._require(fits, "response_layers", "name each layer once, at least one")
        if not any(getattr(self, field) for field in weights):
            raise InputError(
                f"DistillConfig: {', '.join(weights)} are all 0; give one a weight."
            )

    def _require(self, condition: bool, field: str, expectation: str) -> None:
        if not condition:
            value = getattr(self, field)
            raise InputError(f"DistillConfig.{field}={value}: {expectation}.")

    @property
    def needs_teacher(self) -> bool:
        """Whether TS, STR or the gate of sharing looks at the teacher."""
        return bool(self.teacher_soft or self.target_response or self.sharing)


# The rows of Table 4, then of Table 5: which terms each trains with.
ROWS: dict[str, frozenset[str]] = {
    "GT": frozenset({"GT"}),
    "TS": frozenset({"TS"}),
    "GT+TS": frozenset({"GT", "TS"}),
    "AH+TS": frozenset({"AH", "TS"}),
    "TS+STR": frozenset({"TS", "STR"}),
    "GT+TS+STR": frozenset({"GT", "TS", "STR"}),
    "AH+TS+STR": frozenset({"AH", "TS", "STR"}),
    "NOKD": frozenset({"GT"}),
    "TSKD": frozenset({"AH", "TS", "STR"}),
    "TSsKD": frozenset({"AH", "TS", "STR", "KS"}),
}


def with_row(config: DistillConfig, row: str) -> DistillConfig:
    """Returns `config` with the terms of a row of Table 4 or 5 and no others.

    Weights are those of `config`. The ground truth alone has weight 1; beside TS it
    stands in AH's place and has lambda. For SiamFC, GT and AH are the same loss.

    Args:
      config: With all of TS, AH and STR weighted, as by default.
      row: One of `ROWS`.

    Raises:
      InputError: If there is no such row.
    """
    if row not in ROWS:
        raise InputError(f"row {row!r}: there is {', '.join(ROWS)}.")
    terms = ROWS[row]
    hard = config.adaptive_hard
    needed = {"TS": "teacher_soft", "AH": "adaptive_hard", "STR": "target_response"}
    for term, field in needed.items():
        if term in terms and not getattr(config, field):
            raise InputError(
                f"row {row} needs {term}, but DistillConfig.{field} is 0; use a "
                "configuration that weights it."
            )
    return dataclasses.replace(
        config,
        ground_truth=(1.0 if terms == {"GT"} else hard) if "GT" in terms else 0.0,
        teacher_soft=config.teacher_soft if "TS" in terms else 0.0,
        adaptive_hard=hard if "AH" in terms else 0.0,
        target_response=config.target_response if "STR" in terms else 0.0,
        sharing="KS" in terms,
    )
