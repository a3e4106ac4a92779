"""The OTB layout: `NAME/img/0001.jpg`, `NAME/groundtruth_rect.txt`, 1-based x,y,w,h."""

import os
import pathlib
import re

import numpy as np

from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.data.readers.tables import checked_boxes, read_rows
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

# Frames that the benchmark annotates where they are not all (first, last, counted from
# 1 in the order of the files). Only used when the number of boxes says so.
FRAME_RANGES = {
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
    "Tiger1": (6, 354),
}
_BOX_FILE = re.compile(r"groundtruth_rect(?:\.(\d+))?\.txt")
_MEND = "correct the line, or take the sequence out of the folder"


def read_otb(
    root: str | os.PathLike[str], *, frames_required: bool = True
) -> tuple[Sequence, ...]:
    """Reads every sequence of an OTB folder, in the order of names.

    A folder with `groundtruth_rect.1.txt` and `.2.txt` gives two sequences, `NAME-1`
    and `NAME-2`, of one video; folders named `NAME-1` and `NAME-2` are one video too.

    Args:
      root: Holds one folder per sequence.
      frames_required: If False, only the boxes are read: `img` may be missing, `frames`
        is empty, and boxes outside the frame go unnoticed.

    Returns:
      Sequences with every target visible in every frame: OTB marks no absence.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if the numbers of
        boxes and frames differ and no documented range explains it.
    """
    folder = pathlib.Path(root)
    if not folder.is_dir():
        raise InputError(f"OTB folder {root} does not exist; correct the path.")
    sequences: list[Sequence] = []
    for entry in sorted(p for p in folder.iterdir() if p.is_dir()):
        matches = (_BOX_FILE.fullmatch(p.name) for p in sorted(entry.iterdir()))
        targets = [(m.group(0), m.group(1)) for m in matches if m]
        if not targets and (entry / "img").is_dir():
            raise InputError(
                f"{entry} has no groundtruth_rect.txt; add it, or move the folder away."
            )
        for file, target in targets:
            name = entry.name if target is None else f"{entry.name}-{target}"
            found = _frames(entry) if frames_required else None
            source = f"otb:{root}"
            sequences.append(_read_sequence(entry / file, name, found, source))
    if not sequences:
        raise InputError(
            f"{root} holds no OTB sequence (NAME/groundtruth_rect.txt); name the "
            "folder that holds the sequences' folders."
        )
    return tuple(sequences)


def _frames(entry: pathlib.Path) -> tuple[str, ...]:
    frames = frame_paths(entry / "img")
    if not frames:
        raise InputError(f"{entry / 'img'} holds no images; unpack the sequence again.")
    return frames


def _read_sequence(
    box_file: pathlib.Path, name: str, frames: tuple[str, ...] | None, source: str
) -> Sequence:
    rows = read_rows(box_file, columns=4)
    size = None
    if frames is not None:
        frames = _annotated(frames, len(rows), box_file)
        height, width, _ = read_frame(frames[0]).shape
        size = (height, width)
    boxes = checked_boxes(
        rows,
        absent=np.zeros(len(rows), bool),
        size=size,
        origin=1.0,
        where=lambda line: f"{box_file} line {line}",
        mend=_MEND,
    )
    return Sequence(
        name=name,
        # Jogging-1 and Jogging-2, or Jogging.1, follow two people through one video.
        video=re.sub(r"[-.]\d$", "", name),
        frames=frames or (),
        boxes=boxes,
        visible=np.ones(len(rows), bool),
        source=source,
        size=size,
    )


def _annotated(
    frames: tuple[str, ...], boxes: int, box_file: pathlib.Path
) -> tuple[str, ...]:
    """The frames that `boxes` boxes belong to."""
    if len(frames) == boxes:
        return frames
    first, last = FRAME_RANGES.get(box_file.parent.name, (1, 0))
    if len(frames) >= last and boxes == last - first + 1:
        return frames[first - 1 : last]
    raise InputError(
        f"{box_file} has {boxes} boxes for {len(frames)} frames; "
        "give one line per frame."
    )
