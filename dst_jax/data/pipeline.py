"""From sequences to full host batches, read ahead by threads.

Element i of the stream is a function of (seed, i) alone: the position in it is a step
number, on any number of threads or processes.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator
from collections.abc import Sequence as ListOf

import numpy as np

from dst_jax.data.frames import FrameCache
from dst_jax.data.lint import BoxFilter, LintReport, training_sequences
from dst_jax.data.pairs import Pair, PairConfig, SourceOrder, make_order, sample_pair
from dst_jax.data.patches import cut_patch
from dst_jax.data.readers import read_with_report
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

HostBatch = dict[str, np.ndarray]
HostStream = Generator[HostBatch, None, None]
# More steps than any run takes; Grain wants a length.
_ENDLESS = 2**48


@dataclasses.dataclass(frozen=True, slots=True)
class DataConfig:
    """What is trained on, and how it reaches the step.

    Attributes:
      sources: Data sets as `LAYOUT:DIR`.
      weights: Share of the examples per source, in any unit; empty makes every sequence
        equally frequent, whatever its source.
      batch: Examples per step, over all processes and devices.
      max_gap: Largest distance of template and search frame, in annotated frames.
      negative_share: Part of the pairs whose search frame shows another video's target.
      validation_share: Part of each source's videos that is held out.
      threads: Threads that decode and crop, per process; 0 works in the caller's.
      prefetch: Finished batches that wait at most, per process.
      cache_mb: Decoded frames kept in memory, at most, per process.
    """

    sources: tuple[str, ...]
    weights: tuple[float, ...] = ()
    batch: int = 8
    max_gap: int = 100
    negative_share: float = 0.0
    validation_share: float = 0.1
    threads: int = 2
    prefetch: int = 8
    cache_mb: int = 512

    def __post_init__(self):
        self._require(bool(self.sources), "sources", "name at least one data set")
        self._require(len(set(self.sources)) == len(self.sources), "sources", "repeats")
        paired = len(self.weights) in (0, len(self.sources))
        self._require(paired, "weights", "give one per source, or none")
        positive = all(0.0 < w < float("inf") for w in self.weights)
        self._require(positive, "weights", "must be positive")
        self._require(self.batch >= 1, "batch", "must be at least 1")
        self._require(0.0 < self.validation_share < 1.0, "validation_share", "0 to 1")
        for field in ("threads", "cache_mb"):
            self._require(getattr(self, field) >= 0, field, "must be at least 0")
        self._require(self.prefetch >= 1, "prefetch", "must be at least 1")
        self.pairs()

    def _require(self, condition: bool, field: str, expectation: str) -> None:
        if not condition:
            value = getattr(self, field)
            raise InputError(f"DataConfig.{field}={value!r}: {expectation}.")

    def pairs(self) -> PairConfig:
        """The part that says how a pair is drawn."""
        return PairConfig(max_gap=self.max_gap, negative_share=self.negative_share)


@dataclasses.dataclass(frozen=True, slots=True)
class PatchSpec:
    """Sizes of the host's patches.

    Attributes:
      template_patch_px: Side of the template patch.
      search_patch_px: Side of the search patch.
      template_px: Patch pixels that cover s_z, in both.
      context: p of `patches.context_side`.
    """

    template_patch_px: int
    search_patch_px: int
    template_px: int
    context: float = 0.5

    def __post_init__(self):
        for field in ("template_patch_px", "search_patch_px", "template_px"):
            if getattr(self, field) < 1:
                value = getattr(self, field)
                raise InputError(f"PatchSpec.{field}={value}: must be at least 1.")
        if not self.context >= 0.0:
            raise InputError(f"PatchSpec.context={self.context}: must be at least 0.")


def read_sources(
    config: DataConfig, *, box_filter: BoxFilter | None = None
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads every source and hides the boxes that training does not use.

    Args:
      config: Its `sources` are read.
      box_filter: Limits of a fit box; the default filter if None.

    Returns:
      Sequences that hold a fit box, and what was left out and why.

    Raises:
      InputError: If a source is faulty or nothing fit is left of it.
    """
    kept: list[Sequence] = []
    report = LintReport()
    for source in config.sources:
        sequences, read = read_with_report(source)
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


def make_example(
    sequences: ListOf[Sequence], pair: Pair, spec: PatchSpec, *, cache: FrameCache
) -> HostBatch:
    """Decodes and crops one pair: the batch's entries without their first axis.

    Args:
      sequences: What the pair's indices refer to.
      pair: From `sample_pair`.
      spec: Patch sizes.
      cache: Reads the frames.

    Returns:
      Patches, boxes and fill colours of both frames, and `is_negative`.

    Raises:
      InputError: If a frame cannot be read.
    """
    sides = {
        "template": (pair.template_sequence, pair.template_frame, "template_patch_px"),
        "search": (pair.search_sequence, pair.search_frame, "search_patch_px"),
    }
    example: HostBatch = {"is_negative": np.array(pair.is_negative)}
    for side, (number, time, field) in sides.items():
        sequence = sequences[number]
        patch, box, fill = cut_patch(
            cache.read(sequence.frames[time]),
            sequence.boxes[time],
            patch_px=getattr(spec, field),
            template_px=spec.template_px,
            context=spec.context,
        )
        parts = {"patch": patch, "box": box, "fill_rgb": fill}
        example.update({f"{side}_{name}": part for name, part in parts.items()})
    return example


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """Random access to the examples of the stream, by their global number."""

    sequences: tuple[Sequence, ...]
    order: SourceOrder
    pairs: PairConfig
    patches: PatchSpec
    seed: int
    cache: FrameCache

    def example(self, index: int) -> HostBatch:
        """The entries of example `index`, without the batch axis."""
        pair = sample_pair(
            self.sequences,
            seed=self.seed,
            index=index,
            config=self.pairs,
            order=self.order,
        )
        example = make_example(self.sequences, pair, self.patches, cache=self.cache)
        return {
            **example,
            "mask": np.ones((), np.float32),
            "index": np.array(index, np.int32),
        }

    def batch(self, indices: ListOf[int]) -> HostBatch:
        """Those of several, stacked."""
        return _stack([self.example(index) for index in indices])


def _stack(examples: ListOf[HostBatch]) -> HostBatch:
    return {name: np.stack([e[name] for e in examples]) for name in examples[0]}


def _make_source(
    sequences: ListOf[Sequence], config: DataConfig, spec: PatchSpec, seed: int
) -> _Source:
    for sequence in sequences:
        if not (sequence.frames and sequence.visible.any()):
            raise InputError(
                f"sequence {sequence.name!r} has no visible frame on disk; "
                "leave it out."
            )
    order = make_order(sequences, sources=config.sources, weights=config.weights)
    cache = FrameCache(limit_bytes=config.cache_mb * 2**20)
    return _Source(tuple(sequences), order, config.pairs(), spec, seed, cache)


def train_batches(
    sequences: ListOf[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> HostStream:
    """The endless stream of full batches from `start_step` on.

    Process p of P holds examples p, p + P, ... of each global batch, so that all
    processes together hold examples [step * batch, (step + 1) * batch).

    Args:
      sequences: Each with a visible frame on disk.
      config: Batch, pairs, threads.
      spec: Patch sizes.
      seed: Of the whole run.
      start_step: Step of the first batch; nothing before it is computed.
      process_index: p.
      process_count: P; divides the batch.

    Returns:
      A generator of `template_patch` and `search_patch` uint8 [b, P, P, 3],
      `template_box` and `search_box` float32 [b, 4] (cx, cy, w, h in patch pixels),
      `template_fill_rgb` and `search_fill_rgb` float32 [b, 3], `is_negative` bool [b],
      `mask` float32 [b] of ones and `index` int32 [b], the example's global number.

    Raises:
      InputError: If the batch does not divide, or, from the generator in the caller's
        thread, if a frame cannot be read.
    """
    if config.batch % process_count:
        full = config.batch - config.batch % process_count + process_count
        raise InputError(
            f"DataConfig.batch={config.batch} does not divide over {process_count} "
            f"processes; use {full}."
        )
    source = _make_source(sequences, config, spec, seed)
    load = functools.partial(
        _load_step, source, config.batch, process_index, process_count
    )
    return _read_ahead(load, start_step, config)


def _load_step(
    source: _Source, batch: int, process_index: int, process_count: int, step: int
) -> HostBatch:
    first = step * batch
    return source.batch(range(first + process_index, first + batch, process_count))


def _read_ahead(
    load: Callable[[int], HostBatch], start_step: int, config: DataConfig
) -> HostStream:
    # Readers and trackers import this package too, and need no Grain.
    import grain

    options = grain.ReadOptions(
        num_threads=config.threads,
        prefetch_buffer_size=max(config.prefetch, config.threads),
    )
    steps = grain.MapDataset.range(start_step, _ENDLESS)
    batches = iter(steps.map(load).to_iter_dataset(options))
    try:
        yield from batches
    finally:
        # Otherwise the process waits at its end for batches that nobody wants.
        batches.close()


def fixed_batches(
    sequences: ListOf[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
    examples: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> list[HostBatch]:
    """The same finite list of batches whenever it is asked for, for validation.

    Every sequence comes equally often, and no pair is negative. The last batch is
    filled up with further examples under mask 0.

    Args:
      sequences: Held-out sequences, each with a visible frame on disk.
      config: Batch and gap.
      spec: Patch sizes.
      seed: Of the whole run.
      examples: Pairs in all, over all processes; one per sequence if None.
      process_index: This process's number, as in `train_batches`.
      process_count: Processes in all; divides the batch.

    Returns:
      Batches as of `train_batches`.

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
