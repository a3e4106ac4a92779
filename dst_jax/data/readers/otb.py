"""The OTB layout: `NAME/img/0001.jpg`, `NAME/groundtruth_rect.txt`, 1-based x,y,w,h."""

import os
import pathlib
import re

from dst_jax.data.checks.lint import Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.readers.annotation import Annotation, nowhere, to_sequence
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    require_annotation,
    subfolders,
)
from dst_jax.data.readers.tables import read_rows
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

# First and last frame that the benchmark annotates where it does not annotate all,
# counted from 1 in the order of the files. A range is used only if it has as many
# frames as there are boxes. Source: the benchmark's own configSeqs.m (Wu, Lim, Yang),
# which does not come with its sequences.
FRAME_RANGES = {
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
    "Tiger1": (6, 354),
}
_BOX_FILE = re.compile(r"groundtruth_rect(?:\.(\d+))?\.txt")


def read_otb(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every sequence of an OTB folder, in the order of names.

    A folder with `groundtruth_rect.1.txt` and `.2.txt` gives two sequences, `NAME-1`
    and `NAME-2`, of one video; folders named `NAME-1` and `NAME-2` are one video too.

    Args:
      root: Folder with one folder per sequence.
      frames_required: If False, only the boxes are read: `img` may be missing, `frames`
        is empty, and boxes outside the frame go unnoticed.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences. OTB marks no absence, but Board and Twinnings end in boxes 0,0,0,0:
      such a frame keeps its box, and the target is not visible in it. Where the box is
      four NaN, there is no target.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if the numbers of
        boxes and frames differ and no documented range explains it.
    """
    return read_rect_folders(
        root,
        layout="otb",
        frames_required=frames_required,
        problems=problems or Problems(),
    )


def read_rect_folders(
    root: str | os.PathLike[str],
    *,
    layout: str,
    frames_required: bool,
    problems: Problems,
) -> tuple[Sequence, ...]:
    """Reads the folders of a data set that has OTB's files, as `read_otb` does.

    Args:
      root: Folder with one folder per sequence.
      layout: Name of the layout, for `source` and messages.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults, or raises the first if strict.

    Returns:
      Sequences, in the order of names.

    Raises:
      InputError: If nothing was found, or at the first fault if strict.
    """
    folder = folder_of(root, layout.upper())
    sequences: list[Sequence] = []
    for entry in subfolders(folder):
        with problems.reading(entry.name):
            files = _box_files(entry)
            frames = frames_in(entry / "img") if files and frames_required else None
            for file, name in files:
                with problems.reading(name):
                    found = _annotation(file, name, frames, f"{layout}:{root}")
                    _note_range(found, frames, problems)
                    sequences.append(to_sequence(found, problems))
    if not sequences and not problems.faults:
        raise InputError(
            f"{root} holds no {layout.upper()} sequence (NAME/groundtruth_rect.txt); "
            "name the folder that holds the sequences' folders."
        )
    return tuple(sequences)


def _box_files(entry: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """Returns files of boxes and names of their sequences; none in a foreign folder."""
    matches = (_BOX_FILE.fullmatch(p.name) for p in sorted(entry.iterdir()))
    found = [(m.group(0), m.group(1)) for m in matches if m]
    if not found and image_names(entry / "img"):
        require_annotation(entry / "groundtruth_rect.txt", entry)
    return [
        (entry / file, entry.name if target is None else f"{entry.name}-{target}")
        for file, target in found
    ]


def _annotation(
    file: pathlib.Path, name: str, frames: tuple[str, ...] | None, source: str
) -> Annotation:
    rows = read_rows(file, columns=4)
    if frames is not None and len(frames) != len(rows):
        frames = _annotated(frames, len(rows), file)
    return Annotation(
        name=name,
        file=file,
        xywh=rows,
        frames=frames,
        source=source,
        # Jogging-1 and Jogging-2, or Jogging.1, follow two people through one video.
        video=re.sub(r"[-.]\d$", "", name),
        origin=1,
        absent=nowhere(rows),
        empty_codes=True,
    )


def _annotated(
    frames: tuple[str, ...], boxes: int, file: pathlib.Path
) -> tuple[str, ...]:
    """Returns the frames to which the boxes belong, or all if that is unknown."""
    first, last = FRAME_RANGES.get(file.parent.name, (1, 0))
    fits = len(frames) >= last and boxes == last - first + 1
    return frames[first - 1 : last] if fits else frames


def _note_range(
    annotation: Annotation, frames: tuple[str, ...] | None, problems: Problems
) -> None:
    """Adds the number of frames that a documented range leaves out to `problems`."""
    if others := len(frames or ()) - len(annotation.frames or ()):
        reason = "frame outside the documented range"
        problems.left_out.append(Finding(annotation.name, others, reason))
