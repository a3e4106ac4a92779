"""Turns sequences into full host batches, which threads read ahead.

Example i of the stream is a function of (seed, i) alone, so that a step number is all
there is to a position in it, on any number of threads or processes.
"""

import collections.abc
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator
from typing import TypeVar

import numpy as np

from dst_jax.data.checks.lint import BoxFilter, LintReport, training_sequences
from dst_jax.data.checks.verified import read_verified
from dst_jax.data.config import DataConfig as DataConfig
from dst_jax.data.examples import HostBatch, PatchReader
from dst_jax.data.packs.packed import is_packed, read_pack
from dst_jax.data.pairs import PairSampler, make_order
from dst_jax.data.patches import PatchSpec as PatchSpec
from dst_jax.data.sequence import Sequence
from dst_jax.data.window_reader import WindowReader
from dst_jax.errors import InputError

HostStream = Generator[HostBatch, None, None]
T = TypeVar("T")
# Grain asks for a length; no run takes as many steps as this.
_ENDLESS = 2**48


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
      reader: Reads the patches or windows of a pair.
      pairs: Draws the pairs.
    """

    reader: PatchReader | WindowReader
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
            self.reader.read_pair(batch, row, pair, indices[row])
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
    cache_mb = config.cache_mb
    if config.windows is None:
        reader = PatchReader(sequences, spec, cache_mb=cache_mb)
    else:
        windows = config.windows
        reader = WindowReader(sequences, spec, windows, seed=seed, cache_mb=cache_mb)
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
      example's global number. With `DataConfig.windows` there are `redrawn` and
      `narrowed` float32 [b] besides, see `WindowReader.empty`.

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
