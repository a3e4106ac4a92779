"""Settings of the search for the dull student."""

import dataclasses
import math
from typing import Literal

from dst_jax.errors import InputError

ATTRIBUTES = ("features", "kernel", "padding")
_KNOWN = {
    "sampler": ("policy", "uniform"),
    "mode": ("masked", "exact"),
    "batching": ("unrolled", "vmapped"),
}


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """What is searched, how candidates are trained, and how they are scored.

    The defaults are the paper's setting (section 5.1). Candidates train on the
    ground truth with the run's optimizer, at its first rate throughout.

    Attributes:
      steps: Updates of the policy. Not part of what a search is: a finished one goes
        on when it is given more.
      candidates: N_a, networks per step.
      sampler: The learning policy, or uniform actions for comparison.
      layers: Stages that may shrink, counted from 1; a region head counts as the one
        after the last. Empty for all.
      attributes: What may shrink of a stage; of a region head only its features, also
        called feature_out, may.
      min_width: No stage and no region head falls below this many channels.
      pin_geometry: Whether a smaller kernel leaves feature maps and labels in place;
        the padding then follows the kernel and its action does nothing. Otherwise
        kernel and padding shrink by themselves, as in N2N.
      mode: All candidates in one program of the teacher's shape, compiled once, or
        the reduced networks themselves, each compiled for itself.
      batching: How the masked program holds the candidates of a device.
      at_once: Candidates that it trains at once; 0 for all of a step. Fewer compile
        faster and run slower (docs/results.md).
      pairs: Size of the small training set, drawn uniformly over classes.
      epochs: Passes over it.
      batch: Pairs per step.
      validation_pairs: M of eq. 7, pairs of held-out videos.
      proposals: N of eq. 7: anchors of highest target score, or cells of highest
        response, whose boxes count.
    """

    steps: int = 50
    candidates: int = 3
    sampler: Literal["policy", "uniform"] = "policy"
    layers: tuple[int, ...] = ()
    attributes: tuple[Literal["features", "kernel", "padding"], ...] = ATTRIBUTES
    min_width: int = 10
    pin_geometry: bool = True
    mode: Literal["masked", "exact"] = "masked"
    batching: Literal["unrolled", "vmapped"] = "unrolled"
    at_once: int = 0
    pairs: int = 10_000
    epochs: float = 10.0
    batch: int = 32
    validation_pairs: int = 1_000
    proposals: int = 10

    def __post_init__(self):
        for field, known in _KNOWN.items():
            expectation = f"must be {' or '.join(known)}"
            self._require(getattr(self, field) in known, field, expectation)
        unknown = set(self.attributes) - set(ATTRIBUTES)
        self._require(not unknown, "attributes", f"choose of {', '.join(ATTRIBUTES)}")
        counts = ("steps", "candidates", "min_width", "pairs", "batch")
        for field in (*counts, "validation_pairs", "proposals"):
            self._require(getattr(self, field) >= 1, field, "must be at least 1")
        self._require(self.at_once >= 0, "at_once", "must be at least 0")
        self._require(0.0 < self.epochs < math.inf, "epochs", "must be positive")
        self._require(self.batch <= self.pairs, "batch", "must not exceed the pairs")
        self._require(bool(self.attributes), "attributes", "name at least one")
        once = len(set(self.layers)) == len(self.layers)
        self._require(once and min(self.layers, default=1) >= 1, "layers", "1, 2, ...")
        if self.mode == "masked" and not self.pin_geometry:
            raise InputError(
                "SearchConfig.pin_geometry=False changes the feature maps, which one "
                "program cannot hold; use mode exact."
            )

    def _require(self, condition: bool, field: str, expectation: str) -> None:
        if not condition:
            value = getattr(self, field)
            raise InputError(f"SearchConfig.{field}={value!r}: {expectation}.")

    @property
    def train_steps(self) -> int:
        """Optimizer steps that a candidate takes."""
        return max(math.ceil(self.epochs * (self.pairs // self.batch)), 1)
