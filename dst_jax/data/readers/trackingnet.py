"""The TrackingNet layout: chunks TRAIN_0 ... TRAIN_11 and TEST, or one of them.

TRAIN_0/frames/VIDEO/0.jpg ...   frames, numbered from 0
TRAIN_0/anno/VIDEO.txt           x,y,w,h of each frame, 0-based, with decimals
"""

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from dst_jax.data.checks.lint import Finding, Problems
from dst_jax.data.readers.annotation import (
    Annotation,
    absent_codes,
    read_each,
    require_any,
)
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    require_annotated,
    subfolders,
)
from dst_jax.data.readers.tables import read_rows
from dst_jax.data.sequence import Sequence


def read_trackingnet(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every annotation of every chunk, chunks in numeric order.

    Videos of TEST have a box for their first frame only, because a server holds the
    others. The other frames are kept without a box and are not visible; they are
    counted as left out.

    Args:
      root: Folder with the chunks' folders, or a chunk with `anno` and `frames`.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences, which have the names of the annotation files.

    Raises:
      InputError: At the first missing file, bad line or bad box, if counts differ, or
        if there are frames without an annotation.
    """
    folder = folder_of(root, "TrackingNet")
    problems = problems or Problems()
    chunks = [folder] if (folder / "anno").is_dir() else list(subfolders(folder))
    chunks = [c for c in chunks if (c / "anno").is_dir() or (c / "frames").is_dir()]
    # TRAIN_2 comes before TRAIN_10.
    chunks.sort(key=lambda c: (len(c.name), c.name))
    files = [file for chunk in chunks for file in sorted(chunk.glob("anno/*.txt"))]
    source = f"trackingnet:{root}"

    def read(file: pathlib.Path) -> list[Annotation]:
        return [_annotation(file, source, frames_required, problems)]

    found = read_each(files, read, problems, name_of=lambda file: file.stem)
    if frames_required:
        require_annotated((v for c in chunks for v in _expected(c)), problems)
    expected = "TRAIN_0/anno/VIDEO.txt or anno/VIDEO.txt"
    return require_any(found, problems, root, expected)


def _annotation(
    file: pathlib.Path, source: str, frames_required: bool, problems: Problems
) -> Annotation:
    rows = read_rows(file, columns=4)
    chunk = file.parent.parent
    frames = frames_in(chunk / "frames" / file.stem) if frames_required else None
    count = len(rows) if frames is None else len(frames)
    if chunk.name == "TEST" and len(rows) == 1 < count:
        reason = "test frame, whose box is not published"
        problems.left_out.append(Finding(file.stem, count - 1, reason))
        rows = np.concatenate([rows, np.full((count - 1, 4), np.nan)])
    return Annotation(
        name=file.stem,
        file=file,
        xywh=rows,
        frames=frames,
        source=source,
        absent=absent_codes(rows),
    )


def _expected(
    chunk: pathlib.Path,
) -> Iterator[tuple[str, pathlib.Path, pathlib.Path]]:
    """Yields name, frames and annotation of every video of a chunk."""
    for entry in subfolders(chunk / "frames"):
        yield entry.name, entry, chunk / "anno" / f"{entry.name}.txt"
