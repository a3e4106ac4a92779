"""`dst-jax data pack` turns annotated video into records that training only decodes."""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TimeRemainingColumn,
)

from dst_jax.data.packs.card import FORMAT, INDEX, read_card, write_card
from dst_jax.data.packs.codec import PatchEncoding, encode_patch
from dst_jax.data.packs.cutting import cut_record
from dst_jax.data.packs.index import index_of, write_index
from dst_jax.data.packs.packed import is_packed
from dst_jax.data.packs.records import (
    Schema,
    Shard,
    shard_checksums,
    shard_name,
    write_metadata,
    write_shard,
)
from dst_jax.data.patches import patches_from_json
from dst_jax.data.pipeline import read_sources
from dst_jax.data.sequence import Sequence
from dst_jax.digests import parts_sha256
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.files import require_place, require_text_name, user_path
from dst_jax.require import require, require_at_least, require_one_of
from dst_jax.workflows.pack_folder import is_begun, is_done, unfinished_pack
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import description, waiting
from dst_jax.workflows.training_data import pack_spec

# Shards are so small that an interruption loses little and that threads share them
# evenly.
_MIN_SHARD_RECORDS, _MAX_SHARDS = 256, 1024
# Synthetic video takes a twelfth of its pixels at quality 95; plain images less.
_MOST_JPEG_SAVES = 100


@dataclasses.dataclass(frozen=True)
class PackConfig:
    """Settings for writing a pack.

    Attributes:
      encoding: "jpeg", or "raw" for patches that need no decoding but have about 12
        times the size.
      quality: Quality of JPEG patches, 1 to 100.
      workers: Number of threads that decode, crop and encode; 0 for one per core.
    """

    encoding: PatchEncoding = "jpeg"
    quality: int = 95
    workers: int = 0

    def __post_init__(self):
        require_one_of(get_args(PatchEncoding), self, "encoding")
        require(1 <= self.quality <= 100, self, "quality", "must be from 1 to 100")
        require_at_least(0, self, "workers")
        require(self.workers <= 1024, self, "workers", "must be at most 1,024")


@dataclasses.dataclass(frozen=True)
class Packed:
    """A finished pack.

    Attributes:
      folder: Folder DIR of the pack, for `packed:DIR`.
      records: Number of its records, one per frame that training may use.
      size: Size of its shards in bytes.
      seconds: Duration of the call in seconds.
    """

    folder: pathlib.Path
    records: int
    size: int
    seconds: float


def pack_data(
    experiment: Experiment,
    out: pathlib.Path,
    *,
    config: PackConfig = PackConfig(),
    console: Console,
) -> Packed:
    """Packs every frame that training may use, or continues a call that was stopped.

    Shards are written into a hidden folder beside `out`, which is renamed to `out` when
    it is complete. Shards that a finished pack has lost are written again.

    Args:
      experiment: Its `data` names the sources; its `students` and `augment` decide the
        patches.
      out: Folder of the pack; it must not exist, except as this same pack.
      config: Settings of encoding and threads.
      console: Console for the bar and messages.

    Returns:
      The finished pack.

    Raises:
      InputError: If a source is faulty, or `out` is something else or cannot be
        written.
    """
    began, out = time.perf_counter(), user_path(out)
    require_text_name(out)
    if packed := [name for name in experiment.data.sources if is_packed(name)]:
        raise InputError(f"{packed[0]} is a pack already; give the data set itself.")
    require_place(out)
    with waiting(console, "reading the data"):
        sequences, report = read_sources(experiment.data)
    say(console, *report.summary().splitlines())
    plan = _plan(experiment, sequences, config, report.summary())
    if not is_done(out, plan):
        require_place(out, space=0 if is_begun(out) else _least_space(plan))
        try:
            with unfinished_pack(out, plan) as partial:
                _write_shards(partial, plan, sequences, config, console)
                _finish(partial, plan, sequences, config, console)
        except OSError as error:
            raise InputError(
                f"--out {out}: {error.strerror or error}; make room or mend the "
                "folder's rights, then run again to go on."
            ) from None
    size = sum(shard.size for shard in read_card(out).shards)
    return Packed(out, plan["records"], size, time.perf_counter() - began)


def print_packed(packed: Packed, console: Console) -> None:
    """Prints size and duration of a pack, and the option that uses it."""
    source = shlex.quote(f"packed:{packed.folder}")
    say(
        console,
        f"{packed.records:,} patches, "
        f"{packed.size / 2**20:.1f} MiB, {packed.seconds:.0f} s: "
        f"--data.sources {source}",
    )


def _plan(
    experiment: Experiment,
    sequences: tuple[Sequence, ...],
    config: PackConfig,
    summary: str,
) -> dict[str, Any]:
    """Returns all values that decide the records; equal plans make equal packs."""
    records = int(sum(np.sum(sequence.visible) for sequence in sequences))
    return {
        "format": FORMAT,
        "serves": dataclasses.asdict(pack_spec(experiment)),
        "augment": dataclasses.asdict(experiment.augment),
        "encoding": config.encoding,
        "quality": config.quality if config.encoding == "jpeg" else None,
        "sources": list(experiment.data.sources),
        "tracks": len(sequences),
        "records": records,
        "shard_records": max(_MIN_SHARD_RECORDS, -(-records // _MAX_SHARDS)),
        "targets": _digest(sequences),
        "left_out": summary.splitlines(),
    }


def _digest(sequences: tuple[Sequence, ...]) -> str:
    """Returns the SHA-256 of sequences, boxes and the frames that are packed."""

    def parts() -> Iterator[bytes]:
        for sequence in sequences:
            name = f"{sequence.source}/{sequence.name}/{sequence.video}"
            yield name.encode(errors="surrogatepass")
            yield np.ascontiguousarray(sequence.boxes, np.float32).tobytes()
            yield sequence.visible.tobytes()

    return parts_sha256(parts())


def _least_space(plan: dict[str, Any]) -> int:
    """Returns the bytes that patches take at the least, in all shards."""
    sides = _schema(plan).template_patch_px, _schema(plan).search_patch_px
    pixels = 3 * plan["records"] * sum(side * side for side in sides)
    return pixels if plan["encoding"] == "raw" else pixels // _MOST_JPEG_SAVES


def _shards(plan: dict[str, Any]) -> list[range]:
    """Returns the numbers of the records of each shard."""
    step, total = plan["shard_records"], plan["records"]
    return [range(i, min(i + step, total)) for i in range(0, total, step)]


def _names(plan: dict[str, Any]) -> list[str]:
    """Returns the names of the shards."""
    count = len(_shards(plan))
    return [shard_name(number, count) for number in range(count)]


def _write_shards(
    partial: pathlib.Path,
    plan: dict[str, Any],
    sequences: tuple[Sequence, ...],
    config: PackConfig,
    console: Console,
) -> None:
    """Writes the shards that are missing."""
    shards, names = _shards(plan), _names(plan)
    missing = [i for i, name in enumerate(names) if not (partial / name).exists()]
    done = plan["records"] - sum(len(shards[i]) for i in missing)
    if done:
        say(console, f"goes on at {done} of {plan['records']} patches")
    tracks, times = _targets(sequences)
    encode = _encoder(plan)
    with _bar(console) as progress:
        task = progress.add_task("pack", total=plan["records"], completed=done)

        def write(shard: int) -> None:
            def records() -> Iterator[bytes]:
                for number in shards[shard]:
                    if stopping:
                        raise _Stopped
                    yield encode(sequences[tracks[number]], int(times[number]))
                    progress.advance(task)

            write_shard(partial / names[shard], records())

        stopping: list[bool] = []
        with _threads(config) as pool:
            futures = [pool.submit(write, shard) for shard in missing]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            except BaseException:
                # Finished shards stay; the others are stopped.
                stopping.append(True)
                pool.shutdown(cancel_futures=True)
                raise


class _Stopped(Exception):
    """Stops a thread because another one has failed."""


def _targets(
    sequences: tuple[Sequence, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of sequence and frame of every record."""
    frames = [np.flatnonzero(sequence.visible) for sequence in sequences]
    tracks = np.repeat(np.arange(len(frames)), [len(found) for found in frames])
    return tracks, np.concatenate(frames)


def _schema(plan: dict[str, Any]) -> Schema:
    serves = patches_from_json(plan["serves"])
    sides = serves.template.patch_px, serves.search.patch_px
    return Schema(*sides, encoding=plan["encoding"])


def _encoder(plan: dict[str, Any]) -> Callable[[Sequence, int], bytes]:
    """Returns a function that makes the record of a frame of a sequence."""
    spec = patches_from_json(plan["serves"])
    serialize = _schema(plan).serializer()
    encode = functools.partial(
        encode_patch, encoding=plan["encoding"], quality=plan["quality"] or 0
    )
    return lambda sequence, time: serialize(cut_record(sequence, time, spec, encode))


def _finish(
    partial: pathlib.Path,
    plan: dict[str, Any],
    sequences: tuple[Sequence, ...],
    config: PackConfig,
    console: Console,
) -> None:
    """Reads the shards again and writes index, metadata and card beside them."""
    counts = [len(shard) for shard in _shards(plan)]
    shards = tuple(
        Shard(name, count, (partial / name).stat().st_size)
        for name, count in zip(_names(plan), counts, strict=True)
    )
    size = sum(shard.size for shard in shards)
    write_metadata(partial, _schema(plan), shard_records=counts, size=size)
    checksums = _checksums(partial, shards, config, console)
    write_index(partial / INDEX, index_of(sequences, checksums))
    write_card(partial, plan, shards)


def _checksums(
    partial: pathlib.Path,
    shards: tuple[Shard, ...],
    config: PackConfig,
    console: Console,
) -> np.ndarray:
    """Returns the checksum of every record, in order."""
    with _bar(console) as progress, _threads(config) as pool:
        task = progress.add_task("check", total=sum(shard.records for shard in shards))

        def read(shard: Shard) -> np.ndarray:
            found = shard_checksums(partial / shard.name, shard.records)
            progress.advance(task, shard.records)
            return found

        return np.concatenate(list(pool.map(read, shards)))


def _bar(console: Console) -> Progress:
    columns = description(), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, TimeRemainingColumn(), console=console)


def _threads(config: PackConfig) -> concurrent.futures.ThreadPoolExecutor:
    workers = config.workers or os.cpu_count() or 1
    return concurrent.futures.ThreadPoolExecutor(workers)
