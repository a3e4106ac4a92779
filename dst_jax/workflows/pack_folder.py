"""The folder of a pack: finished, unfinished, damaged, or something else."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator
from typing import Any

from dst_jax.data.packs.card import (
    CARD,
    FORMAT,
    FORMAT_WITHOUT_CHECKSUMS,
    INDEX,
    read_card,
)
from dst_jax.data.packs.records import Shard
from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.experiment import differences
from dst_jax.files import read_json, resumed_folder, write_json


def is_done(out: pathlib.Path, plan: dict[str, Any]) -> bool:
    """Returns whether `out` is the whole pack.

    Args:
      out: Folder of the pack.
      plan: JSON values that decide the records.

    Raises:
      InputError: If `out` is anything else than this pack.
    """
    if not out.exists():
        return False
    if not (out / CARD).is_file():
        raise InputError(f"--out {out} exists and is no pack; choose another folder.")
    if different := _different(out / CARD, plan):
        raise InputError(
            f"--out {out} is another pack ({different[0]}); choose another folder."
        )
    done = not _lost(out)
    if done:
        _lock_of(out).unlink(missing_ok=True)  # a kill after the last rename left it
    return done


def is_begun(out: pathlib.Path) -> bool:
    """Returns whether there is a finished or unfinished pack, or anything else."""
    return out.exists() or out.with_name(f".{out.name}.partial").exists()


def _lost(out: pathlib.Path) -> list[str]:
    """Returns names of files that a finished pack lacks or that must be made anew."""
    if read_json(out / CARD).get("format") == FORMAT_WITHOUT_CHECKSUMS:
        listed = read_json(out / CARD).get("shards")
        shards = from_json(tuple[Shard, ...], listed, f"{out / CARD}: shards")
        lost = [INDEX]
    else:
        card = read_card(out)
        shards = card.shards
        lost = [] if _size(out / INDEX) == card.index.size else [INDEX]
    return [*lost, *(s.name for s in shards if _size(out / s.name) != s.size)]


def _size(path: pathlib.Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _different(card: pathlib.Path, plan: dict[str, Any]) -> list[str]:
    """Returns how the plan of a finished or unfinished pack differs from `plan`."""
    found = read_json(card)
    if found.get("format") == FORMAT_WITHOUT_CHECKSUMS:
        found["format"] = FORMAT  # the patches are the same
    return differences(plan, {name: found.get(name) for name in plan})


def _lock_of(out: pathlib.Path) -> pathlib.Path:
    return out.with_name(f".{out.name}.partial.lock")


@contextlib.contextmanager
def unfinished_pack(out: pathlib.Path, plan: dict[str, Any]) -> Iterator[pathlib.Path]:
    """Yields the folder of the unfinished pack, locked against other processes.

    It holds the shards that were finished before, and becomes `out` at the end.

    Args:
      out: Folder of the pack.
      plan: JSON values that decide the records.

    Raises:
      InputError: If another process writes the pack, or the folder holds another one.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with _held(out):
        lost = _lost(out) if out.exists() else []
        with resumed_folder(out) as partial:
            for name in lost:
                (partial / name).unlink(missing_ok=True)
            path = partial / CARD
            if path.exists() and (different := _different(path, plan)):
                raise InputError(
                    f"--out {out}: {partial} holds an unfinished pack of another kind "
                    f"({different[0]}); remove it or choose another folder."
                )
            write_json(path, plan)
            yield partial


@contextlib.contextmanager
def _held(out: pathlib.Path) -> Iterator[None]:
    path = _lock_of(out)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"--out {out}: another process is packing it; wait for it to end."
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
