"""A small data set in the accelerator's memory: batches are gathered there.

The same pairs in the same order as from the host: what the host sends is a few row
numbers, drawn ahead, and the patches never move again.
"""

import concurrent.futures
import os
from collections.abc import Generator
from collections.abc import Sequence as ListOf
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dst_jax.data.examples import ROLES, HostBatch, PatchReader
from dst_jax.data.pipeline import (
    DataConfig,
    PatchSpec,
    Stream,
    check_processes,
    make_stream,
    process_part,
    read_ahead,
)
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.train.parallel import AXIS_NAME
from dst_jax.typing import Array

# Row of a visible frame, by sequence and frame.
Rows: TypeAlias = dict[int, dict[int, int]]
DeviceStream: TypeAlias = Generator[dict[str, Array], None, None]


def device_batches(
    sequences: ListOf[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> DeviceStream:
    """The stream of `data.train_batches`, gathered on the device.

    Every patch of `sequences` is read once, at the start, and kept on each device of
    this process.

    Args:
      sequences: Each with a visible frame on disk or in a pack.
      config: Batch, pairs, threads.
      spec: Patch sizes.
      seed: Of the whole run.
      start_step: Step of the first batch.
      process_index: This process's number.
      process_count: Processes in all; divides the batch.

    Returns:
      A generator of the entries of `train_batches`, split over this process's devices.

    Raises:
      InputError: If the batch does not divide, a frame cannot be read, or the patches
        do not fit into the device's memory.
    """
    check_processes(config.batch, process_count)
    stream = make_stream(sequences, config, spec, seed=seed)
    rows = _row_numbers(stream.reader.sequences)
    count = sum(len(numbers) for numbers in rows.values())
    _check_memory(count, spec)
    everywhere, by_example = _placements()
    patches = jax.device_put(_read_all(stream.reader, rows, config), everywhere)

    gather = jax.jit(
        _gather,
        in_shardings=(everywhere, by_example),
        out_shardings=by_example,
    )

    def load(step: int) -> dict[str, Array]:
        part = process_part(step, config.batch, process_index, process_count)
        return gather(patches, _drawn(stream, rows, part))

    # Threads start it: what a device works on never waits for what is gathered next.
    return read_ahead(load, start_step, config)


def _gather(patches: Any, drawn: dict[str, Array]) -> dict[str, Array]:
    """A batch from the row numbers of its pairs."""
    flags = {name: drawn[name] for name in ("is_negative", "mask", "index")}
    sides = {
        name: values[drawn[f"{name.partition('_')[0]}_row"]]
        for name, values in patches.items()
    }
    return sides | flags


def _drawn(stream: Stream, rows: Rows, part: range) -> HostBatch:
    """Row numbers and flags of several examples."""
    pairs = [stream.pair(index) for index in part]
    template = [rows[p.template_sequence][p.template_frame] for p in pairs]
    search = [rows[p.search_sequence][p.search_frame] for p in pairs]
    return {
        "template_row": np.array(template, np.int32),
        "search_row": np.array(search, np.int32),
        "is_negative": np.array([p.is_negative for p in pairs], np.bool_),
        "mask": np.ones(len(pairs), np.float32),
        "index": np.array(part, np.int32),
    }


def _row_numbers(sequences: ListOf[Sequence]) -> Rows:
    """Row of every visible frame, by sequence and frame."""
    rows: Rows = {}
    total = 0
    for number, sequence in enumerate(sequences):
        frames = np.flatnonzero(sequence.visible).tolist()
        rows[number] = dict(zip(frames, range(total, total + len(frames)), strict=True))
        total += len(frames)
    return rows


def _read_all(reader: PatchReader, rows: Rows, config: DataConfig) -> HostBatch:
    """Patches, boxes and fill colours of every row, for both roles."""
    whole = reader.empty(sum(len(frames) for frames in rows.values()))

    def read(sequence: int) -> None:
        for frame, row in rows[sequence].items():
            for role in ROLES:
                reader.read(whole, row, sequence, frame, role)

    with concurrent.futures.ThreadPoolExecutor(max(config.threads, 1)) as pool:
        for _ in pool.map(read, rows):
            pass
    return whole


def _placements() -> tuple[NamedSharding, NamedSharding]:
    """A copy on each device of this process; and a share of the examples on each."""
    devices = jax.local_devices()
    mesh = jax.make_mesh(
        (len(devices),), (AXIS_NAME,), axis_types=(AxisType.Auto,), devices=devices
    )
    return (
        NamedSharding(mesh, PartitionSpec()),
        NamedSharding(mesh, PartitionSpec(AXIS_NAME)),
    )


def _check_memory(count: int, spec: PatchSpec) -> None:
    """Refuses what would leave no room for the networks."""
    sides = spec.template_patch_px, spec.search_patch_px
    needed = count * sum(3 * side * side for side in sides)
    free = _free_bytes(jax.local_devices()[0])
    if needed > 0.8 * free:
        raise InputError(
            f'data.cache="device": {count} patches take {needed / 2**30:.1f} GiB of '
            f'{free / 2**30:.1f} free; use "host", or fewer frames.'
        )


def _free_bytes(device: Any) -> float:
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    # The host's own memory is the device's.
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
