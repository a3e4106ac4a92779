"""Finds the folders of videos, their frames, and frames without annotations."""

import collections.abc
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeAlias

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.frames import frame_paths, image_names
from dst_jax.data.numbering import UnclearOrder
from dst_jax.data.readers.tables import read_lines
from dst_jax.errors import InputError
from dst_jax.files import user_path

# Names in a folder by their composed form.
Spellings: TypeAlias = Mapping[str, collections.abc.Sequence[str]]
# No disk has longer names.
_NAME_BYTES = 255


def folder_of(root: str | os.PathLike[str], layout: str) -> pathlib.Path:
    """Returns the folder of a data set.

    Args:
      root: The folder as the user named it.
      layout: Name of the layout, for the message.

    Raises:
      InputError: If it does not exist.
    """
    folder = user_path(root)
    if not folder.is_dir():
        raise InputError(f"{layout} folder {root} does not exist; correct the path.")
    return folder


def subfolders(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Returns the folders in a folder, ordered by name.

    Hidden folders and those that archivers leave are passed over. A folder that does
    not exist has none.
    """
    if not folder.is_dir():
        return ()
    hidden = (".", "__MACOSX")
    entries = (p for p in folder.iterdir() if not p.name.startswith(hidden))
    return tuple(sorted(p for p in entries if p.is_dir()))


def frames_in(folder: pathlib.Path, *, any_order: bool = False) -> tuple[str, ...]:
    """Returns the images of a folder in numeric order, at least one.

    Args:
      folder: An existing folder.
      any_order: Whether names need not tell their order.

    Raises:
      DataFault: If there is no folder, it holds no image, a number is missing, or the
        order is not clear.
    """
    try:
        frames = frame_paths(folder, any_order=any_order)
    except InputError as error:
        kind = getattr(error, "kind", "missing frame")
        raise DataFault(kind, str(error)) from None
    if not frames:
        raise DataFault(
            "missing frame", f"{folder} holds no images; unpack the sequence again."
        )
    return frames


def by_number(frames: Iterable[str]) -> dict[int, str]:
    """Returns images by the last number in their names; others are left out.

    Raises:
      DataFault: If two images have one number.
    """
    found: dict[int, str] = {}
    for path in frames:
        numbers = re.findall(r"\d+", pathlib.PurePath(path).stem)
        if numbers and found.setdefault(int(numbers[-1]), path) != path:
            other = pathlib.PurePath(found[int(numbers[-1])]).name
            raise DataFault(
                UnclearOrder.kind,
                f"frames {path} and {other} have the same number; keep one of the two.",
            )
    return found


def name_on_disk(
    name: str, present: Container[str], spellings: Spellings
) -> str | None:
    """Returns the name of a file as its folder spells it, or None if it has none.

    A letter with an accent is one character or two, depending on the system that wrote
    the name; a text that lists names may spell it the other way.

    Args:
      name: A name that a text gives.
      present: Names in the folder.
      spellings: The same, from `spellings_of`.

    Raises:
      DataFault: If the folder has the name in several other spellings.
    """
    if name in present:
        return name
    alike = spellings.get(unicodedata.normalize("NFC", name), ())
    if len(alike) > 1:
        raise DataFault(
            "missing frame",
            f"{name!r} may be any of {', '.join(map(ascii, alike))}, whose accents are "
            "written differently; rename all but one.",
        )
    return alike[0] if alike else None


def spellings_of(present: Iterable[str]) -> Spellings:
    """Returns the names of a folder by how they read, whatever writes their accents."""
    found: dict[str, list[str]] = {}
    for name in present:
        found.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    return found


def frames_from_to(folder: pathlib.Path, first: int, last: int) -> tuple[str, ...]:
    """Returns the images of a folder that are numbered `first` to `last`, inclusive.

    Raises:
      DataFault: If there is no folder or one of the numbers is missing.
    """
    found = by_number(frames_in(folder))
    missing = next((n for n in range(first, last + 1) if n not in found), None)
    if missing is not None or last < first:
        raise DataFault(
            "missing frame",
            f"{folder} has no frame number {missing or first} of {first} to {last}; "
            "unpack the sequence again.",
        )
    return tuple(found[number] for number in range(first, last + 1))


def require_annotation(file: pathlib.Path, folder: pathlib.Path) -> None:
    """Raises an error if a folder of frames lacks its file (or folder) of boxes.

    Raises:
      DataFault: If `file` does not exist.
    """
    if not file.exists():
        shown = file.name if file.parent == folder else file
        raise DataFault(
            "missing annotation",
            f"{folder} has no {shown}; restore it, or move the folder away.",
        )


def require_annotated(
    expected: Iterable[tuple[str, pathlib.Path, pathlib.Path]], problems: Problems
) -> None:
    """Adds a fault for every video whose frames have no annotation.

    Args:
      expected: Name of a sequence, folder of its frames (no video if it holds no image)
        and file or folder of its annotation.
      problems: Receives the faults, or raises the first if strict.
    """
    for name, folder, file in expected:
        with problems.reading(name):
            if image_names(folder):
                require_annotation(file, folder)


def listed_folders(
    folder: pathlib.Path,
    problems: Problems,
    *,
    images_of: Callable[[pathlib.Path], pathlib.Path] = lambda entry: entry,
) -> list[pathlib.Path]:
    """Returns the folders that `list.txt` names.

    Without that file it returns all folders with `groundtruth.txt` or images.

    Args:
      folder: Folder with the sequences' folders and perhaps `list.txt`.
      problems: Receives the sequences that the list leaves out.
      images_of: Function from a sequence's folder to the folder of its images.

    Returns:
      Folders, in the order of the list or of names; those listed may be missing.

    Raises:
      InputError: If a line of the list cannot be a name.
    """
    listing = folder / "list.txt"

    def is_sequence(entry: pathlib.Path) -> bool:
        annotated = (entry / "groundtruth.txt").exists()
        return annotated or bool(image_names(images_of(entry)))

    if not listing.exists():
        return [entry for entry in subfolders(folder) if is_sequence(entry)]
    entries = subfolders(folder)
    names = {entry.name for entry in entries}
    spellings = spellings_of(names)
    lines = [line.strip() for line in read_lines(listing)]
    for number, line in enumerate(lines, 1):
        if "\0" in line or len(line.encode()) > _NAME_BYTES:
            raise InputError(
                f"{listing} line {number}: {line[:60]!r} is no name of a folder; "
                "correct the line."
            )
    listed = [
        folder / (name_on_disk(line, names, spellings) or line)
        for line in filter(None, lines)
    ]
    for entry in sorted(set(entries).difference(listed)):
        if is_sequence(entry):
            count = len(image_names(images_of(entry)))
            reason = "frame of a folder that list.txt does not name"
            problems.left_out.append(Finding(entry.name, count, reason))
    return listed
