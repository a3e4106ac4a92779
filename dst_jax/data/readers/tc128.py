"""The TC-128 (Temple Color) layout.

NAME/img/0001.jpg ...   frames, more than are annotated
NAME/NAME_gt.txt        x,y,w,h of each annotated frame, 1-based
NAME/NAME_frames.txt    first,last: the numbers of the annotated frames
"""

import functools
import os
import pathlib

from dst_jax.data.checks.lint import Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.readers.annotation import Annotation, nowhere, read_each, require_any
from dst_jax.data.readers.folders import (
    folder_of,
    frames_from_to,
    frames_in,
    require_annotation,
    subfolders,
)
from dst_jax.data.readers.tables import read_rows
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError


def read_tc128(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every sequence, in the order of names.

    Frames outside the annotated range are left out and counted.

    Args:
      root: Folder with one folder per sequence.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences; four NaN are no target, and a box 0 wide and 0 high is a covered one.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if counts differ.
    """
    folder = folder_of(root, "TC-128")
    problems = problems or Problems()
    source = f"tc128:{root}"
    read = functools.partial(
        _annotations,
        source=source,
        frames_required=frames_required,
        problems=problems,
    )
    entries = [p for p in subfolders(folder) if _is_sequence(p)]
    found = read_each(entries, read, problems)
    return require_any(found, problems, root, "NAME/NAME_gt.txt")


def _is_sequence(entry: pathlib.Path) -> bool:
    return _boxes(entry).is_file() or bool(image_names(entry / "img"))


def _boxes(entry: pathlib.Path) -> pathlib.Path:
    return entry / f"{entry.name}_gt.txt"


def _annotations(
    entry: pathlib.Path, *, source: str, frames_required: bool, problems: Problems
) -> list[Annotation]:
    file = _boxes(entry)
    require_annotation(file, entry)
    rows = read_rows(file, columns=4)
    frames = _frames(entry, problems) if frames_required else None
    annotation = Annotation(
        name=entry.name,
        file=file,
        xywh=rows,
        frames=frames,
        source=source,
        origin=1,
        absent=nowhere(rows),
        empty_codes=True,
    )
    return [annotation]


def _frames(entry: pathlib.Path, problems: Problems) -> tuple[str, ...]:
    file = entry / f"{entry.name}_frames.txt"
    if not file.is_file():
        return frames_in(entry / "img")
    rows = read_rows(file, columns=2)
    first, last = rows[0]
    if len(rows) != 1 or not (0 <= first <= last < 1e9):
        raise InputError(f"{file} is not one line first,last; restore it.")
    frames = frames_from_to(entry / "img", int(first), int(last))
    if others := len(image_names(entry / "img")) - len(frames):
        reason = "frame outside the annotated range"
        problems.left_out.append(Finding(entry.name, others, reason))
    return frames
