"""Turns sequences into full host batches, which threads read ahead.

Example i of the stream is a function of (seed, i) alone, so that a step number is all
there is to a position in it, on any number of threads or processes.
"""

import collections.abc
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator
from typing import Literal, TypeVar

import numpy as np

from dst_jax.data.checks.lint import BoxFilter, LintReport, training_sequences
from dst_jax.data.checks.verified import read_verified
from dst_jax.data.examples import HostBatch, PatchReader
from dst_jax.data.packs.packed import is_packed, read_pack
from dst_jax.data.pairs import PairConfig, PairSampler, make_order
from dst_jax.data.patches import PatchSpec as PatchSpec
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.require import require, require_at_least, require_one_of

HostStream = Generator[HostBatch, None, None]
T = TypeVar("T")
# Grain asks for a length; no run takes as many steps as this.
_ENDLESS = 2**48
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
        self.pairs()

    def pairs(self) -> PairConfig:
        """Returns the settings that say how a pair is drawn."""
        return PairConfig(
            max_gap=self.max_gap,
            negative_share=self.negative_share,
            max_gaps=tuple(zip(self.sources, self.max_gaps, strict=False)),
            negatives_from=self.negatives_from,
        )


def read_sources(
    config: DataConfig, *, box_filter: BoxFilter | None = None
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads every source and hides the boxes that training does not use.

    Args:
      config: Settings that name the `sources`, their `reports` and `skip_bad`.
      box_filter: Limits of a fit box; the default filter if None.

    Returns:
      Sequences that hold a fit box, and a report of what was left out and why.

    Raises:
      InputError: If a source is faulty or nothing fit is left of it.
    """
    kept: list[Sequence] = []
    report = LintReport()
    reports = config.reports or ("",) * len(config.sources)
    for source, path in zip(config.sources, reports, strict=True):
        if is_packed(source):
            sequences, read = read_pack(source)
        else:
            skip_bad = config.skip_bad
            sequences, read = read_verified(source, report=path, skip_bad=skip_bad)
        fit, lint = training_sequences(sequences, box_filter or BoxFilter())
        if not fit:
            raise InputError(f"{source} has no box fit for training; use another set.")
        kept.extend(fit)
        report = LintReport(
            report.findings + read.findings + lint.findings,
            report.kept_sequences + lint.kept_sequences,
            report.kept_frames + lint.kept_frames,
        )
    return tuple(kept), report


@dataclasses.dataclass(frozen=True, slots=True)
class NumberedExamples:
    """Random access to the examples of a run, by their global number.

    Attributes:
      reader: Reads the patches of a pair.
      pairs: Draws the pairs.
    """

    reader: PatchReader
    pairs: PairSampler

    def batch(self, indices: range) -> HostBatch:
        """Reads the examples of these global numbers into one batch.

        Args:
          indices: Global numbers of the examples.

        Returns:
          The entries of a batch of `train_batches`.

        Raises:
          InputError: If a frame or record cannot be read.
        """
        pairs = self.pairs.draw(indices)
        batch = self.reader.empty(len(indices))
        for row, pair in enumerate(pairs.rows()):
            self.reader.read_pair(batch, row, pair)
        return {
            **batch,
            "is_negative": pairs.is_negative,
            "mask": np.ones(len(indices), np.float32),
            "index": np.array(indices, np.int32),
        }


def make_numbered_examples(
    sequences: collections.abc.Sequence[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
) -> NumberedExamples:
    """Returns random access to the examples of a run.

    Args:
      sequences: Sequences that each have a visible frame on disk or in a pack.
      config: Settings of sources, weights, pairs and cache.
      spec: Sizes of the patches.
      seed: Seed of the whole run.

    Raises:
      InputError: If a sequence has no frame, or a pack does not serve `spec`.
    """
    order = make_order(sequences, sources=config.sources, weights=config.weights)
    reader = PatchReader(sequences, spec, cache_mb=config.cache_mb)
    sampler = PairSampler(reader.sequences, config.pairs(), seed=seed, order=order)
    return NumberedExamples(reader, sampler)


def train_batches(
    sequences: collections.abc.Sequence[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> HostStream:
    """Returns the endless stream of full batches from `start_step` on.

    Process p of P holds examples p, p + P, ... of each global batch, so that all
    processes together hold examples [step * batch, (step + 1) * batch).

    Args:
      sequences: Sequences that each have a visible frame on disk or in a pack.
      config: Settings of batch, pairs, threads and cache.
      spec: Sizes of the patches.
      seed: Seed of the whole run.
      start_step: Step of the first batch; nothing before it is computed.
      process_index: p, the number of this process.
      process_count: P, the number of processes; it must divide the batch.

    Returns:
      A generator of batches with the entries `template_patch` and `search_patch` uint8
      [b, p, p, 3], `template_box` and `search_box` float32 [b, 4] (cx, cy, w, h in
      patch pixels), `template_fill_rgb` and `search_fill_rgb` float32 [b, 3],
      `is_negative` bool [b], `mask` float32 [b] of ones and `index` int32 [b], the
      example's global number.

    Raises:
      InputError: If the batch does not divide over the processes. The generator raises
        it in the caller's thread if a frame cannot be read.
    """
    check_processes(config.batch, process_count)
    examples = make_numbered_examples(sequences, config, spec, seed=seed)

    def load(step: int) -> HostBatch:
        return examples.batch(
            process_part(step, config.batch, process_index, process_count)
        )

    return read_ahead(load, start_step, config)


def check_processes(batch: int, process_count: int) -> None:
    """Checks that the batch divides over the processes.

    Raises:
      InputError: If it does not divide; the message names a batch that does.
    """
    if batch % process_count:
        full = batch - batch % process_count + process_count
        raise InputError(
            f"DataConfig.batch={batch} does not divide over {process_count} "
            f"processes; use {full}."
        )


def process_part(
    step: int, batch: int, process_index: int, process_count: int
) -> range:
    """Returns the global numbers of the examples that a process holds of a step.

    Example:
      >>> list(process_part(2, 6, 1, 3))
      [13, 16]
    """
    return range(step * batch + process_index, (step + 1) * batch, process_count)


def read_ahead(
    load: Callable[[int], T], start: int, config: DataConfig
) -> Generator[T, None, None]:
    """Yields `load(start)`, `load(start + 1)`, ... without end; threads compute them.

    Args:
      load: A function of the number alone.
      start: The first number.
      config: Settings of threads and of how many results may wait.
    """
    # Grain is imported here because readers and trackers, which import this package
    # too, do not need it.
    import grain

    options = grain.ReadOptions(
        num_threads=config.threads,
        prefetch_buffer_size=max(config.prefetch, config.threads),
    )
    steps = grain.MapDataset.range(start, _ENDLESS)
    results = iter(steps.map(load).to_iter_dataset(options))
    try:
        yield from results
    finally:
        # Without this the process would wait at its end for batches that nobody wants.
        results.close()


def fixed_batches(
    sequences: collections.abc.Sequence[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
    examples: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> list[HostBatch]:
    """Returns a finite list of batches for validation, the same at each call.

    Every sequence comes equally often, and no pair is negative. The last batch is
    filled up with further examples under mask 0.

    Args:
      sequences: Held-out sequences, each with a visible frame on disk or in a pack.
      config: Settings of batch, gap, threads and cache.
      spec: Sizes of the patches.
      seed: Seed of the whole run.
      examples: Number of pairs over all processes; one per sequence if None.
      process_index: Number of this process, as in `train_batches`.
      process_count: Number of processes; it must divide the batch.

    Returns:
      Batches as from `train_batches`.

    Raises:
      InputError: If the batch does not divide or a frame cannot be read.
    """
    count = len(sequences) if examples is None else examples
    plain = dataclasses.replace(config, weights=(), negative_share=0.0)
    steps = -(-count // config.batch)
    stream = train_batches(
        sequences,
        plain,
        spec,
        seed=seed,
        process_index=process_index,
        process_count=process_count,
    )
    with contextlib.closing(stream):
        batches = list(itertools.islice(stream, steps))
    for batch in batches:
        batch["mask"] = (batch["index"] < count).astype(np.float32)
    return batches
