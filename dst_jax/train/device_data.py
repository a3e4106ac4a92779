"""Holds a small data set in the accelerator's memory, where the step gathers batches.

The pairs and their order are the same as from the host. The host sends only row
numbers, which it draws for many steps at once, and the patches are moved once.
"""

import collections.abc
import concurrent.futures
import itertools
import os
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.data.examples import HostBatch, PatchReader
from dst_jax.data.pairs import PairSampler
from dst_jax.data.patches import ROLES
from dst_jax.data.pipeline import (
    DataConfig,
    PatchSpec,
    check_processes,
    make_numbered_examples,
)
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.train.parallel import on_every_device
from dst_jax.train.step import Constants, TrainStep
from dst_jax.typing import Array, Int

# The pairs of this many steps are drawn at once. That takes some milliseconds and lasts
# for seconds of training.
_STEPS_AHEAD = 256
RowStream: TypeAlias = Generator[HostBatch, None, None]


class DeviceSet(NamedTuple):
    """A data set on the device.

    Attributes:
      patches: Patches, boxes and fill colours of every visible frame, [n, ...], under
        the names of `data.train_batches`. Each device has all of them.
      batches: Endless stream of batches. They have row numbers of `patches`,
        `template_row` and `search_row` int32 [b], and `is_negative`, `mask` and `index`
        as those of `data.train_batches`.
    """

    patches: dict[str, Array]
    batches: RowStream


def device_set(
    sequences: collections.abc.Sequence[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> DeviceSet:
    """Reads every patch of `sequences` once and puts them on the device.

    `gathering` makes a step that takes such patches and batches.

    Args:
      sequences: Sequences, each with a visible frame on disk or in a pack.
      config: Settings of batch, pairs and threads.
      spec: Sizes of the patches.
      seed: Seed of the whole run.
      start_step: Step of the first batch.
      process_index: Number of this process.
      process_count: Number of processes, which must divide the batch.

    Raises:
      InputError: If the processes do not divide the batch, a frame cannot be read, or
        the patches do not fit into the device's memory.
    """
    check_processes(config.batch, process_count)
    examples = make_numbered_examples(sequences, config, spec, seed=seed)
    reader = examples.reader
    assert isinstance(reader, PatchReader)  # `DataConfig` refuses windows here
    rows = _Rows.of(reader.sequences)
    _check_memory(len(rows.frames), spec)
    patches = on_every_device(_read_all(reader, rows, config))

    def batches() -> RowStream:
        for first in itertools.count(start_step, _STEPS_AHEAD):
            part = range(
                first * config.batch + process_index,
                (first + _STEPS_AHEAD) * config.batch,
                process_count,
            )
            drawn = _drawn(examples.pairs, rows, part)
            for place in range(_STEPS_AHEAD):
                yield {name: values[place] for name, values in drawn.items()}

    return DeviceSet(patches, batches())


def gathering(step: TrainStep) -> TrainStep:
    """Returns a step that takes batches of a `DeviceSet`.

    Args:
      step: Step that takes batches of `data.train_batches`.

    Returns:
      The step, which reads the patches from its constants.
    """

    def run(state: Any, constants: Constants, batch: Mapping[str, Array]) -> Any:
        return step(state, constants, gather(constants.patches, batch))

    return run


def gather(
    patches: Mapping[str, Array], batch: Mapping[str, Array]
) -> dict[str, Array]:
    """Returns a batch like those of `data.train_batches` from row numbers.

    Args:
      patches: Those of a `DeviceSet`.
      batch: One batch of a `DeviceSet`.
    """
    flags = {name: batch[name] for name in ("is_negative", "mask", "index")}
    sides = {
        name: jnp.asarray(values)[batch[f"{name.partition('_')[0]}_row"]]
        for name, values in patches.items()
    }
    return sides | flags


class _Rows(NamedTuple):
    """Row numbers of all visible frames.

    Attributes:
      frames: Indices of sequence and frame of each row.
      of_frame: Row of each frame, for the frames of all sequences one after the other;
        it has no meaning for frames that are not visible.
      starts: Index of each sequence's first frame in `of_frame`.
    """

    frames: Int[np.ndarray, "n 2"]
    of_frame: Int[np.ndarray, " m"]
    starts: Int[np.ndarray, " s"]

    @classmethod
    def of(cls, sequences: collections.abc.Sequence[Sequence]) -> "_Rows":
        visible = np.concatenate([sequence.visible for sequence in sequences])
        lengths = [len(sequence) for sequence in sequences]
        starts = np.cumsum([0, *lengths[:-1]])
        numbers = np.repeat(np.arange(len(sequences)), lengths)
        places = np.arange(len(visible)) - starts[numbers]
        frames = np.stack([numbers, places], axis=1)[visible]
        return cls(frames, (np.cumsum(visible) - 1).astype(np.int32), starts)


def _drawn(sampler: PairSampler, rows: _Rows, part: range) -> HostBatch:
    """Returns row numbers and flags for several steps, each [steps, examples]."""
    pairs = sampler.draw(part)
    template = rows.starts[pairs.template_sequence] + pairs.template_frame
    search = rows.starts[pairs.search_sequence] + pairs.search_frame
    flat = {
        "template_row": rows.of_frame[template],
        "search_row": rows.of_frame[search],
        "is_negative": pairs.is_negative,
        "mask": np.ones(len(part), np.float32),
        "index": np.array(part, np.int32),
    }
    return {name: values.reshape(_STEPS_AHEAD, -1) for name, values in flat.items()}


def _read_all(reader: PatchReader, rows: _Rows, config: DataConfig) -> HostBatch:
    """Returns patches, boxes and fill colours of every row for both roles."""
    whole = reader.empty(len(rows.frames))

    def read(row: int, sequence: int, frame: int) -> None:
        for role in ROLES:
            reader.read(whole, row, sequence, frame, role)

    columns = range(len(rows.frames)), *rows.frames.T.tolist()
    with concurrent.futures.ThreadPoolExecutor(max(config.threads, 1)) as pool:
        for _ in pool.map(read, *columns):
            pass
    return whole


def _check_memory(count: int, spec: PatchSpec) -> None:
    """Raises InputError if the patches would leave no room for the networks."""
    sides = spec.template.patch_px, spec.search.patch_px
    device = jax.local_devices()[0]
    # On CPUs the copies of all devices and the one on the host share its memory.
    copies = jax.local_device_count() + 1 if device.platform == "cpu" else 1
    needed = copies * count * sum(3 * side * side for side in sides)
    free = _free_bytes(device)
    if needed > 0.8 * free:
        raise InputError(
            f'data.cache="device": {count} patches take {needed / 2**30:.1f} GiB of '
            f'{free / 2**30:.1f} free; use "host", or fewer frames.'
        )


def _free_bytes(device: Any) -> float:
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    # Without statistics the device is a CPU, which uses the host's memory.
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
