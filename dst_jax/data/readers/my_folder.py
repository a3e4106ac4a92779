"""The layout for one's own video: a folder of frames and one text file in it.

VIDEO/0001.jpg ...   frames, any names; they are ordered by the numbers in them
VIDEO/boxes.txt      either one line per frame, x,y,w,h or absent,
                     or one line per box, IMAGE,x,y,w,h or IMAGE,absent, followed by
                     ,TARGET where there are several; images not named are not used

Pixels count from 0 at the top left. Lines that start with # are comments.
"""

import functools
import os
import pathlib
import re
from collections.abc import Container

import numpy as np

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.readers.annotation import (
    Annotation,
    absent_codes,
    read_each,
    require_any,
)
from dst_jax.data.readers.folders import (
    Spellings,
    folder_of,
    frames_in,
    name_on_disk,
    require_annotation,
    spellings_of,
    subfolders,
)
from dst_jax.data.readers.tables import read_lines
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

BOXES = "boxes.txt"
_ABSENT = "absent"
# A row is a line's number, the name of its image or "", and its box.
_Row = tuple[int, str, list[float]]


def read_folder(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads a folder of videos, or a single video.

    Args:
      root: Folder that holds `boxes.txt`, or folders with that file.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences in the order of names: `VIDEO`, or `VIDEO-TARGET` for named targets.

    Raises:
      InputError: At the first missing file, bad line or bad box, if lines do not name
        images and their number is not that of the frames, or if there are images
        without boxes.txt.
    """
    folder = folder_of(root, "video")
    problems = problems or Problems()
    single = (folder / BOXES).is_file()
    videos = [p for p in subfolders(folder) if _is_video(p)]
    entries = [folder.resolve()] if single else videos
    read = functools.partial(
        _annotations,
        source=f"folder:{root}",
        frames_required=frames_required,
        problems=problems,
    )
    found = read_each(entries, read, problems)
    return require_any(found, problems, root, f"VIDEO/{BOXES} or {BOXES}")


def _is_video(entry: pathlib.Path) -> bool:
    """Returns whether a folder holds boxes, or images on any level."""
    if (entry / BOXES).is_file():
        return True
    return any(image_names(below) for below, _, _ in os.walk(entry))


def _annotations(
    entry: pathlib.Path, *, source: str, frames_required: bool, problems: Problems
) -> list[Annotation]:
    file = entry / BOXES
    require_annotation(file, entry)
    targets = _targets(file)
    if not targets:
        raise InputError(f"{file} is empty; give one line per frame.")
    frames = None
    if frames_required:
        named = any(image for rows in targets.values() for _, image, _ in rows)
        # Where lines name their images, no box can slip to another.
        frames = frames_in(entry, any_order=named)
    found = [
        _annotation(entry, target, rows, frames, source)
        for target, rows in targets.items()
    ]
    used = {path for annotation in found for path in annotation.frames or ()}
    if others := len(frames or ()) - len(used):
        reason = f"image that {BOXES} does not name"
        problems.left_out.append(Finding(entry.name, others, reason))
    return found


def _annotation(
    entry: pathlib.Path,
    target: str,
    rows: list[_Row],
    frames: tuple[str, ...] | None,
    source: str,
) -> Annotation:
    file = entry / BOXES
    if rows[0][1]:
        rows, frames = _chosen(file, rows, frames)
    xywh = np.array([box for _, _, box in rows])
    return Annotation(
        name=f"{entry.name}-{target}" if target else entry.name,
        file=file,
        xywh=xywh,
        frames=frames,
        source=source,
        video=entry.name,
        absent=absent_codes(xywh),
        place=lambda row: f"{file} line {rows[row][0]}",
        mend=f"correct the line, or write {_ABSENT} for the box",
    )


def _chosen(
    file: pathlib.Path, rows: list[_Row], frames: tuple[str, ...] | None
) -> tuple[list[_Row], tuple[str, ...] | None]:
    """Returns rows that name their images, and the images, in the order of frames."""
    order = {pathlib.PurePath(path).name: i for i, path in enumerate(frames or ())}
    if frames is not None:
        spellings = spellings_of(order)
        rows = [
            (line, _found(file, line, image, order, spellings), box)
            for line, image, box in rows
        ]
    seen: dict[str, int] = {}
    for line, image, _ in rows:
        if image in seen:
            raise InputError(
                f"{file} line {line}: {image} has a box in line {seen[image]} already; "
                "remove one, or name the targets."
            )
        seen[image] = line
    if frames is None:
        return rows, None
    rows = sorted(rows, key=lambda row: order[row[1]])
    return rows, tuple(frames[order[image]] for _, image, _ in rows)


def _found(
    file: pathlib.Path,
    line: int,
    image: str,
    present: Container[str],
    spellings: Spellings,
) -> str:
    """Returns the name on disk of an image that a line names."""
    name = name_on_disk(image, present, spellings)
    if name is None:
        raise DataFault(
            "missing frame",
            f"{file} line {line}: there is no image {image}; correct the name.",
        )
    return name


def _targets(file: pathlib.Path) -> dict[str, list[_Row]]:
    """Returns rows by the name of the target, which is "" where none is given."""
    found: dict[str, list[_Row]] = {}
    named = None
    for number, line in enumerate(read_lines(file), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        first = re.split(r"[,;\s]+", text)[0]
        # The first line says which of the two forms the file has.
        named = first != _ABSENT and not _is_number(first) if named is None else named
        target, row = _row(file, number, text, named)
        found.setdefault(target, []).append(row)
    return found


def _row(file: pathlib.Path, number: int, text: str, named: bool) -> tuple[str, _Row]:
    """Returns the target and the row of one line."""
    # Names of images may hold spaces, which separate fields only in lines without one.
    separator = r"\s*[,;\t]\s*" if named else r"[,;\s]+"
    fields = re.split(separator, text)
    image = fields.pop(0) if named else ""
    box = [float("nan")] * 4
    if fields and fields[0] == _ABSENT:
        fields = fields[1:]
    elif len(fields) >= 4 and all(_is_number(field) for field in fields[:4]):
        box = [float(field) for field in fields[:4]]
        fields = fields[4:]
    else:
        fields = ["", ""]
    if len(fields) > named:
        form = "IMAGE,x,y,w,h" if named else "x,y,w,h"
        raise InputError(
            f"{file} line {number}: {text[:60]!r} is not {form} or {_ABSENT}; correct "
            "the line."
        )
    return (fields[0] if fields else ""), (number, image, box)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
