"""Settings of the search for the dull student."""

import dataclasses
import math
from typing import Literal

from dst_jax.decode import OMIT_DEFAULT
from dst_jax.require import require, require_at_least, require_one_of, require_positive

ATTRIBUTES = ("features", "kernel", "padding")
_KNOWN = {
    "sampler": ("policy", "uniform"),
    "mode": ("masked", "exact"),
    "batching": ("unrolled", "vmapped"),
    "size": ("parameters", "macs"),
}
# Far more than anyone uses: beyond them memory or time give out unsaid.
_MOST = {
    "steps": 10**6,
    "candidates": 1024,
    "at_once": 1024,
    "min_width": 2**16,
    "pairs": 10**7,
    "epochs": 10**6,
    "batch": 2**16,
    "validation_pairs": 10**6,
    "proposals": 10**6,
}


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """What is searched, how candidates are trained, and how they are scored.

    The defaults are the paper's setting (section 5.1). Candidates train on the
    ground truth with the run's optimizer, which keeps its first learning rate.

    Attributes:
      steps: Number of updates of the policy. It is no part of a search's identity: a
        finished search goes on when it is given more.
      candidates: N_a, the number of networks per step.
      sampler: Source of the actions: the learning "policy", or "uniform" ones for
        comparison.
      layers: Stages that may shrink, counted from 1; a region head counts as the one
        after the last. An empty tuple means all.
      attributes: Numbers of a stage that may shrink. Of a region head only `features`,
        also called feature_out, may shrink.
      min_width: Least number of channels of every stage and region head.
      pin_geometry: Whether a smaller kernel leaves feature maps and labels in place;
        the padding then follows the kernel and its action does nothing. Otherwise
        kernel and padding shrink by themselves, as in N2N.
      mode: "masked" trains all candidates in one program of the teacher's shape, which
        is compiled once; "exact" compiles each reduced network by itself.
      batching: Way in which the masked program holds the candidates of a device.
      at_once: Number of candidates that the masked program trains at once; 0 means all
        of a step. Fewer compile faster and run slower (docs/results.md).
      pairs: Size of the small training set, drawn uniformly over classes.
      epochs: Passes over the small training set.
      batch: Pairs per optimizer step.
      validation_pairs: M of eq. 7, the number of pairs of held-out videos.
      proposals: N of eq. 7, the number of boxes that count: those of the anchors of
        highest target score, or of the cells of highest response.
      size: What S of eq. 6 counts: learnable "parameters", as in the paper, or "macs",
        the multiply-adds of a search image in tracking. A kernel of the first stage
        has few parameters and most of the multiply-adds.
      largest: Largest share of the teacher's size that a candidate may have. Larger
        ones count as impossible, as networks beyond a limit do in N2N; they are not
        trained. Eq. 6 alone hardly tells a twentieth from a fifth: C (2 - C) is .998
        and .960.
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
    size: Literal["parameters", "macs"] = dataclasses.field(
        default="parameters", metadata=OMIT_DEFAULT
    )
    largest: float = dataclasses.field(default=1.0, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        for field, known in _KNOWN.items():
            require_one_of(known, self, field)
        known = set(self.attributes) <= set(ATTRIBUTES)
        require(known, self, "attributes", f"choose of {', '.join(ATTRIBUTES)}")
        require(bool(self.attributes), self, "attributes", "name at least one")
        counts = ("steps", "candidates", "min_width", "pairs", "batch")
        require_at_least(1, self, *counts, "validation_pairs", "proposals")
        require_at_least(0, self, "at_once")
        require_positive(self, "epochs")
        require(
            0.0 < self.largest <= 1.0, self, "largest", "must be above 0, at most 1"
        )
        for field, most in _MOST.items():
            fits = getattr(self, field) <= most
            require(fits, self, field, f"must be at most {most:,}")
        fits = self.batch <= self.pairs
        require(fits, self, "batch", "must not exceed the pairs")
        once = len(set(self.layers)) == len(self.layers)
        counted = once and min(self.layers, default=1) >= 1
        require(counted, self, "layers", "name each stage once, from 1")
        pinned = self.pin_geometry or self.mode == "exact"
        text = "changes the feature maps, which one program cannot hold; use mode exact"
        require(pinned, self, "pin_geometry", text)

    @property
    def train_steps(self) -> int:
        """Returns the number of optimizer steps that a candidate takes."""
        return max(math.ceil(self.epochs * (self.pairs // self.batch)), 1)
