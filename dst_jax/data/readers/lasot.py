"""The LaSOT layout, and that of its extension: a folder per class, or none.

CLASS/CLASS-1/img/00000001.jpg ...   frames
CLASS/CLASS-1/groundtruth.txt        x,y,w,h of each frame, 1-based
CLASS/CLASS-1/full_occlusion.txt     one 0 or 1 per frame, on one line (optional)
CLASS/CLASS-1/out_of_view.txt        the same (optional)
"""

import os
import pathlib

from dst_jax.data.checks.lint import Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.readers.annotation import (
    Annotation,
    absent_codes,
    read_each,
    require_any,
)
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    require_annotation,
    subfolders,
)
from dst_jax.data.readers.tables import read_labels, read_rows
from dst_jax.data.sequence import Sequence
from dst_jax.typing import Mark

_BOXES = "groundtruth.txt"
_LABELS: dict[str, Mark] = {
    "out_of_view.txt": "absent",
    "full_occlusion.txt": "covered",
}
# Some downloads have one frame without a box at the end (issue 6 of
# HengLan/LaSOT_Evaluation_Toolkit, which cuts such frames off, as its issue 18 says).
_SURPLUS_FRAMES = 1


def read_lasot(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every sequence below `root`, in the order of names.

    A target that is out of view is absent, and a fully occluded one is not visible. A
    single frame after the last box is left out, as in the official kit, and counted.

    Args:
      root: Folder of the classes' folders, or of the sequences' own.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences; the category is the name up to its last hyphen.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if counts differ.
    """
    folder = folder_of(root, "LaSOT")
    problems = problems or Problems()
    source = f"lasot:{root}"

    def read(entry: pathlib.Path) -> list[Annotation]:
        return [_annotation(entry, source, frames_required, problems)]

    found = read_each(_entries(folder), read, problems)
    expected = "CLASS/NAME/groundtruth.txt or NAME/groundtruth.txt"
    return require_any(found, problems, root, expected)


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of sequences: those with frames or boxes, on either level."""
    found: list[pathlib.Path] = []
    for entry in subfolders(folder):
        inner = [entry] if _is_sequence(entry) else subfolders(entry)
        found.extend(p for p in inner if _is_sequence(p))
    return found


def _is_sequence(entry: pathlib.Path) -> bool:
    return (entry / _BOXES).is_file() or bool(image_names(entry / "img"))


def _annotation(
    entry: pathlib.Path, source: str, frames_required: bool, problems: Problems
) -> Annotation:
    file = entry / _BOXES
    require_annotation(file, entry)
    rows = read_rows(file, columns=4)
    labels = [entry / name for name in _LABELS]
    gone, covered = (read_labels(file, len(rows), default=0) != 0 for file in labels)
    frames = frames_in(entry / "img") if frames_required else None
    if frames is not None and 0 < len(frames) - len(rows) <= _SURPLUS_FRAMES:
        surplus = len(frames) - len(rows)
        reason = "frame after the last box"
        problems.left_out.append(Finding(entry.name, surplus, reason))
        frames = frames[: len(rows)]
    return Annotation(
        name=entry.name,
        file=file,
        xywh=rows,
        frames=frames,
        source=source,
        origin=1,
        absent=gone | absent_codes(rows),
        hidden=covered,
        marks=tuple(_LABELS[file.name] for file in labels if file.is_file()),
        category=entry.name.rpartition("-")[0],
        mend="correct the line, or mark the frame 1 in out_of_view.txt",
    )
