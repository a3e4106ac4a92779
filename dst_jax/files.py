"""Files and folders that appear whole or not at all, digests, and a user's paths.

What is being written lies beside its target under a name that begins with `.tmp-`, as
in `.tmp-1f0c93aa-card.json`, and gets its own name in one rename. A kill leaves such a
name behind and nothing else: the next writer in that folder takes it away. It knows a
living writer's by a lock, which the system gives back when a process ends. Two more
names beside a target NAME belong to it and are not leftovers: `.NAME.partial`, a folder
that the next call goes on with, and `.NAME.replaced`, a folder between the two renames
that replace it.
"""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from dst_jax.errors import InputError
from dst_jax.json_text import parse_json
from dst_jax.temporary import held_temporary, remove, remove_unlocked

# Where Linux shows what a process has opened.
_OPENED = pathlib.Path("/proc/self/fd")
# Of a JSON file: those of the package have some 10 kB.
MAX_JSON_BYTES = 8 * 10**6


def user_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns a path as a user wrote it, with `~` for the home folder expanded.

    Raises:
      InputError: If no file can have this name.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise InputError(f"{text!r}: is no path; name a file or a folder.")
    return pathlib.Path(os.path.expanduser(text))


def require_text_name(path: pathlib.Path) -> None:
    """Returns if libraries that take paths as text can write there.

    Python holds a name of any bytes; those libraries want UTF-8.

    Raises:
      InputError: If a name on the way is not UTF-8.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path}: its name is not UTF-8, and not every library can write there; "
            "name another place."
        ) from None


@contextlib.contextmanager
def plain_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a folder under a name that every library reads as it is.

    Some take a name as text, which not every name is, or as a pattern, in which `[v2]`
    stands for one letter. For such a name the system's name of the opened folder is
    yielded, which is good for this process within the block.
    """
    name = str(folder.absolute())
    plain = name.isprintable() and not {*name} & {*"*?[]"}
    if plain or not _OPENED.is_dir():
        yield folder
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _OPENED / str(number)
    finally:
        os.close(number)


def require_place(path: pathlib.Path, *, space: int = 0) -> None:
    """Returns if a file or folder can be written at `path`, else says what hinders.

    It is called before long work whose result is to go there. Folders that are missing
    on the way count as there: `whole_file` and `whole_folder` are preceded by `mkdir`.

    Args:
      path: Of what is to be written.
      space: Bytes that it will need, roughly.

    Raises:
      InputError: If the folder is read-only, is none, or has too little space.
    """
    folder = _nearest_folder(path)
    if not folder.is_dir():
        raise InputError(f"{path}: {folder} is no folder; name another place.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{path}: nothing can be written in {folder} ({error.strerror}); name "
            "another place."
        ) from None
    free = free_bytes(path)
    if free < space:
        raise InputError(
            f"{path}: {free / 1e6:.2f} MB are free on that disk and about "
            f"{space / 1e6:.2f} MB are needed; free some or name another place."
        )


def free_bytes(path: pathlib.Path) -> int:
    """Returns the bytes that are free on the disk on which `path` is to be written."""
    return shutil.disk_usage(_nearest_folder(path)).free


@contextlib.contextmanager
def naming(
    path: pathlib.Path, *, temporary: pathlib.Path | None = None
) -> Iterator[None]:
    """Gives `path` as its file to an OSError of the block that names none.

    Writing to a full disk raises such an error: only the call that opens a file knows
    its name.

    Args:
      path: The file or folder that the user knows.
      temporary: Where it lies for now; errors that name it name `path` instead.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None
        if named and (temporary is None or str(temporary) not in str(error.filename)):
            raise
        raise OSError(
            error.errno or 0, error.strerror or str(error), str(path)
        ) from error


@contextlib.contextmanager
def trial_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty file on the disk of `path`, which is removed at the end.

    It has the suffix of `path` and lies beside it, or in the nearest folder that
    exists.
    """
    with held_temporary(_nearest_folder(path) / path.name, folder=False) as trial:
        yield trial


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty temporary file, which becomes `path` at the end.

    It lies in the same folder, which must exist, and has the suffix of `path`. An
    earlier file is replaced. If the block raises, nothing changes. What killed writers
    left in this folder is removed.
    """
    with (
        held_temporary(path, folder=False) as temporary,
        naming(path, temporary=temporary),
    ):
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file in UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: pathlib.Path, values: Any, *, sort_keys: bool = True) -> None:
    """Writes JSON that every reader takes, whole or not at all.

    Args:
      path: Of the file.
      values: JSON values, for a later `read_json` a mapping.
      sort_keys: False keeps the order of the keys, for files that people read.

    Raises:
      ValueError: If a number is not finite: JSON has none such.
    """
    write_bytes(path, json_bytes(values, sort_keys=sort_keys))


def json_bytes(values: Any, *, sort_keys: bool = True) -> bytes:
    """Returns what `write_json` writes."""
    text = json.dumps(values, indent=2, sort_keys=sort_keys, allow_nan=False)
    return (text + "\n").encode()


def read_json(
    path: pathlib.Path, *, most_bytes: int = MAX_JSON_BYTES
) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
      path: Of the file.
      most_bytes: Size beyond which the file is not parsed.

    Raises:
      InputError: If the file holds anything else, or what `parse_json` refuses.
    """
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise InputError(
            f"{path}: over {most_bytes / 1e6:g} MB of JSON, which no such file has; "
            "mend or replace it."
        )
    try:
        values = parse_json(content)
    except InputError as error:
        raise InputError(f"{path}: {error}; mend or replace it.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object; mend or replace it.")
    return values


@contextlib.contextmanager
def whole_folder(
    path: pathlib.Path, *, replace: bool = False
) -> Iterator[pathlib.Path]:
    """Yields an empty temporary folder that becomes `path` at the end.

    Folders on the way to `path` are made. If the block raises, nothing changes. What
    killed writers left beside `path` is removed. What must survive a loss of power, not
    only a kill, is written with `write_bytes` and its like.

    Args:
      path: Of the folder; an empty one that is there already gives way.
      replace: Whether one that holds something gives way too. A kill at any moment
        leaves the old or the new one for `found_folder`.

    Raises:
      OSError: If the folder holds something and is not to be replaced.
    """
    path = _with_a_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_beside(path)
    with (
        held_temporary(path, folder=True) as temporary,
        naming(path, temporary=temporary),
    ):
        yield temporary
        if replace:
            _replace_folder(temporary, path)
        else:
            os.rename(temporary, path)


def found_folder(path: pathlib.Path) -> pathlib.Path:
    """Returns where the folder `path` is to be read.

    That is elsewhere only if a kill came between the two renames of `whole_folder`
    with `replace`: the earlier folder then still waits under its second name.
    """
    aside = _aside(path)
    return aside if aside.is_dir() and not path.exists() else path


@contextlib.contextmanager
def resumed_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the unfinished folder of `path`, which gets its name at the end.

    It is `.NAME.partial` beside `path` and holds what an earlier call left when it was
    interrupted, or what `path` itself holds. If the block raises, it stays for the next
    call. Whoever calls this keeps other processes out.
    """
    partial = path.with_name(f".{path.name}.partial")
    if path.exists():
        os.rename(path, partial)
    partial.mkdir(parents=True, exist_ok=True)
    remove_leftovers(partial)
    yield partial
    os.rename(partial, path)


def sweep_beside(path: pathlib.Path) -> None:
    """Removes what killed writers left beside `path`.

    An earlier folder that `found_folder` would give stays.
    """
    path = _with_a_name(path)
    remove_unlocked(path.parent)
    if path.exists():
        remove(_aside(path))


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes from a folder what killed writers left; those at work keep theirs."""
    remove_unlocked(folder)


def _nearest_folder(path: pathlib.Path) -> pathlib.Path:
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def set_aside(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Gives a folder another name, in the place of what had it."""
    remove(aside := folder.with_name(name))
    return folder.rename(aside)


def remove_folder(folder: pathlib.Path) -> None:
    """Removes a folder and all in it, as far as the system lets it."""
    remove(folder)


def _aside(path: pathlib.Path) -> pathlib.Path:
    path = _with_a_name(path)
    return path.with_name(f".{path.name}.replaced")


def _with_a_name(path: pathlib.Path) -> pathlib.Path:
    """Returns the path, or the absolute one of the folder ".", which has no name."""
    return path if path.name else path.absolute()


def _flush_to_disk(path: pathlib.Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _replace_folder(new: pathlib.Path, path: pathlib.Path) -> None:
    # A folder cannot be renamed onto a full one: the old steps aside.
    aside = _aside(path)
    if path.exists():
        remove(aside)
        os.rename(path, aside)
    try:
        os.rename(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.rename(aside, path)
        raise
    remove(aside)
