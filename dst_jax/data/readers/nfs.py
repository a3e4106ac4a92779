"""The layout of NfS (Need for Speed) at 30 or 240 frames per second.

NAME/30/NAME/00001.jpg ...   frames
NAME/30/NAME.txt             one line per frame, from VATIC, separated by spaces:
                             track xmin ymin xmax ymax frame lost occluded generated
                             "label"
"""

import functools
import os
import pathlib
import shlex

import numpy as np

from dst_jax.data.checks.lint import Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.readers.annotation import Annotation, read_each, require_any
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    require_annotation,
    subfolders,
)
from dst_jax.data.readers.tables import (
    MOST_BYTES,
    read_lines,
    require_length,
    require_size,
)
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

_COLUMNS = 10
# Some files of the 30 fps set have a line for each frame of the 240 fps video.
_DENSER = 8
# In some sequences there is one more frame than boxes, or one more box than frames.
_SURPLUS = 1


def read_nfs(
    root: str | os.PathLike[str],
    *,
    fps: int = 30,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every sequence at one frame rate, in the order of names.

    Lost targets are absent, and occluded ones are not visible. Two rules mend the set
    as it was published: if there are eight times as many boxes as frames, every eighth
    box is used, and one frame or box too many at the end is left out. What is left out
    is counted.

    Args:
      root: Folder with one folder per sequence.
      fps: Frames per second, 30 or 240.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences; the category is the label.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if counts differ.
    """
    folder = folder_of(root, "NfS")
    problems = problems or Problems()
    read = functools.partial(
        _annotations,
        fps=fps,
        source=f"{'nfs' if fps == 30 else f'nfs-{fps}'}:{root}",
        frames_required=frames_required,
        problems=problems,
    )
    entries = [p for p in subfolders(folder) if _is_sequence(p / str(fps))]
    found = read_each(entries, read, problems)
    return require_any(found, problems, root, f"NAME/{fps}/NAME.txt")


def _is_sequence(entry: pathlib.Path) -> bool:
    name = entry.parent.name
    return (entry / f"{name}.txt").is_file() or bool(image_names(entry / name))


def _annotations(
    entry: pathlib.Path,
    *,
    fps: int,
    source: str,
    frames_required: bool,
    problems: Problems,
) -> list[Annotation]:
    file = entry / str(fps) / f"{entry.name}.txt"
    require_annotation(file, file.parent)
    require_size(file, MOST_BYTES, "the boxes of a sequence")
    lines = read_lines(file)
    rows = np.array([_numbers(file, i, line) for i, line in enumerate(lines, 1)])
    if not len(rows):
        raise InputError(f"{file} is empty; give one line per frame.")
    label = shlex.split(lines[0])[-1]
    lines_kept = np.arange(len(rows))
    frames = frames_in(file.with_suffix("")) if frames_required else None
    if frames is not None:
        if abs(len(rows) / len(frames) - _DENSER) < 1.0:
            lines_kept = lines_kept[::_DENSER]
            reason = "box of the 240 fps video between two frames"
            thinned = len(rows) - len(lines_kept)
            problems.left_out.append(Finding(entry.name, thinned, reason))
        surplus = abs(len(frames) - len(lines_kept))
        if 0 < surplus <= _SURPLUS:
            reason = "last frame or box without the other"
            problems.left_out.append(Finding(entry.name, surplus, reason))
            count = min(len(frames), len(lines_kept))
            frames, lines_kept = frames[:count], lines_kept[:count]
    rows = rows[lines_kept]
    return [
        Annotation(
            name=entry.name,
            file=file,
            xywh=np.concatenate([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]], axis=1),
            frames=frames,
            source=source,
            absent=rows[:, 6] != 0.0,
            hidden=rows[:, 7] != 0.0,
            marks=("absent", "covered"),
            empty_codes=True,
            category=label,
            place=lambda row: f"{file} line {lines_kept[row] + 1}",
        )
    ]


def _numbers(file: pathlib.Path, number: int, line: str) -> list[float]:
    """Returns the nine numbers before the label, which is quoted for its spaces."""
    require_length(file, number, line)
    try:
        fields = shlex.split(line)
        values = [float(field) for field in fields[: _COLUMNS - 1]]
    except ValueError:
        fields, values = [], []
    if len(fields) != _COLUMNS:
        raise InputError(
            f"{file} line {number}: {line.strip()[:60]!r} is not nine numbers and a "
            "label; correct the line."
        )
    return values
