"""Settings of the data that a run trains on."""

import dataclasses
from typing import Literal

from dst_jax.data.pairs import PairConfig
from dst_jax.data.windows import WindowConfig
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.require import require, require_at_least, require_one_of

# Twice what anyone uses, or much more: beyond them memory or time give out unsaid.
_MOST = {"batch": 65_536, "threads": 1024, "prefetch": 1024, "cache_mb": 2**22}


@dataclasses.dataclass(frozen=True, slots=True)
class DataConfig:
    """The data that a run trains on, and the way in which it reaches the step.

    Attributes:
      sources: Data sets as `LAYOUT:DIR`, or `packed:DIR` for a pack.
      weights: Share of the examples per source, in any unit; empty makes every sequence
        equally frequent, whatever its source.
      batch: Examples per step, over all processes and devices.
      max_gap: Largest distance of template and search frame, in annotated frames.
      max_gaps: The same per source, in place of `max_gap`; empty uses `max_gap` for
        all.
      negative_share: Share of pairs whose search frame shows another video's target.
      negatives_from: Group from which that target is drawn uniformly: all "sequences",
        or "sources" first (which needs `weights`), as pysot does.
      skip_bad: Whether to leave out what `dst-jax data verify` found wrong, instead of
        refusing a data set that has such a report.
      reports: Files of those reports, one per source; if empty, they are looked for
        beside each data set.
      validation_share: Share of each source's videos that is held out.
      threads: Threads per process that decode and crop; with 0 the caller's thread does
        so itself.
      prefetch: Finished batches that wait at most, per process.
      cache_mb: Megabytes (2^20 bytes) of decoded image files kept at most, per process.
      cache: Place where patches wait: "host" reads them as they are needed; "device"
        reads all of them once and keeps them in the accelerator's memory.
      order: Whether the search frame may lie before the template's ("any") or must lie
        after it ("causal"), which pairs a still image with itself.
      windows: Spread of the search windows of trackers that crop by the target's area
        (OSTrack); None for all others, whose windows the step draws.
    """

    sources: tuple[str, ...]
    weights: tuple[float, ...] = ()
    batch: int = 8
    max_gap: int = 100
    max_gaps: tuple[int, ...] = ()
    negative_share: float = 0.0
    negatives_from: Literal["sequences", "sources"] = "sequences"
    skip_bad: bool = False
    reports: tuple[str, ...] = ()
    validation_share: float = 0.1
    threads: int = 2
    prefetch: int = 8
    cache_mb: int = 512
    cache: Literal["host", "device"] = "host"
    # The JSON leaves these out at their defaults, so that older runs can go on.
    order: Literal["any", "causal"] = dataclasses.field(
        default="any", metadata=OMIT_DEFAULT
    )
    windows: WindowConfig | None = dataclasses.field(
        default=None, metadata=OMIT_DEFAULT
    )

    def __post_init__(self):
        require(bool(self.sources), self, "sources", "name at least one data set")
        once = len(set(self.sources)) == len(self.sources)
        require(once, self, "sources", "name each data set once")
        for field in ("weights", "max_gaps", "reports"):
            paired = len(getattr(self, field)) in (0, len(self.sources))
            require(paired, self, field, "give one per source, or none")
        near = all(1e-9 <= weight <= 1e9 for weight in self.weights)
        require(near, self, "weights", "must lie in [1e-9, 1e9]")
        require_at_least(1, self, "batch", "prefetch")
        within = 0.0 < self.validation_share < 1.0
        require(within, self, "validation_share", "must be above 0 and below 1")
        require_at_least(0, self, "threads", "cache_mb")
        for field, most in _MOST.items():
            fits = getattr(self, field) <= most
            require(fits, self, field, f"must be at most {most:,}")
        by_source = self.negatives_from == "sequences" or bool(self.weights)
        require(by_source, self, "negatives_from", "give weights too")
        require_one_of(("host", "device"), self, "cache")
        fits = self.windows is None or self.cache == "host"
        require(fits, self, "cache", 'must be "host" where windows are drawn')
        self.pairs()

    def pairs(self) -> PairConfig:
        """Returns the settings that say how a pair is drawn."""
        return PairConfig(
            max_gap=self.max_gap,
            negative_share=self.negative_share,
            max_gaps=tuple(zip(self.sources, self.max_gaps, strict=False)),
            negatives_from=self.negatives_from,
            order=self.order,
        )
