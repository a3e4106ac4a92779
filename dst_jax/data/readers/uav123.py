"""The UAV123 layout, at 30 and at 10 frames per second: several targets a folder.

data_seq/UAV123/bird1/000001.jpg ...   frames (UAV123_10fps in place of UAV123)
anno/UAV123/bird1_2.txt                x,y,w,h of each frame, 1-based, NaN where absent
"""

import functools
import os
import pathlib

from dst_jax.data.lint import Problems
from dst_jax.data.readers.annotation import (
    Annotation,
    absent_codes,
    folder_of,
    frames_from_to,
    read_each,
    require_any,
)
from dst_jax.data.readers.tables import read_rows
from dst_jax.data.sequence import Sequence

# First frames of targets that share the folder of their name up to the last "_";
# all others have a folder of their own and start at 1. Source: configSeqs.m of the
# benchmark (Mueller, Smith, Ghanem), which its archive does not hold; the last frame
# follows from the number of boxes. At 10 frames per second every third frame is left:
# frame n is there frame (n - 1) / 3 + 1.
FIRST_FRAMES = {
    "bird1": (1, 775, 1573),
    "car1": (1, 751, 1627),
    "car6": (1, 487, 1807, 2953, 3925),
    "car8": (1, 1357),
    "car16": (1, 415),
    "group1": (1, 1333, 2515, 3925),
    "group2": (1, 907, 1771),
    "group3": (1, 1567, 2827, 4369),
    "person2": (1, 1189),
    "person4": (1, 1501),
    "person5": (1, 877),
    "person7": (1, 1249),
    "person8": (1, 1075),
    "person12": (1, 601),
    "person14": (1, 847, 1813),
    "person17": (1, 1501),
    "person19": (1, 1243, 2791),
    "truck4": (1, 577),
    "uav1": (1, 1555, 2473),
}


def read_uav123(
    root: str | os.PathLike[str],
    *,
    fps: int = 30,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every target, in the order of names; those of one folder share a video.

    Args:
      root: Holds `data_seq` and `anno`.
      fps: 30, or 10 for UAV123@10fps.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Gets what is wrong; None raises at the first.

    Returns:
      Sequences; where the box is NaN the target is absent.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if a folder has no
        frame for a box.
    """
    folder = folder_of(root, "UAV123")
    problems = problems or Problems()
    layout, part = {30: ("uav123", "UAV123"), 10: ("uav123-10fps", "UAV123_10fps")}[fps]
    read = functools.partial(
        _annotations,
        videos=folder / "data_seq" / part,
        stride=30 // fps,
        source=f"{layout}:{root}",
        frames_required=frames_required,
    )
    files = sorted((folder / "anno" / part).glob("*.txt"))
    found = read_each(files, read, problems)
    return require_any(found, problems, root, f"anno/{part}/NAME.txt")


def _annotations(
    file: pathlib.Path,
    *,
    videos: pathlib.Path,
    stride: int,
    source: str,
    frames_required: bool,
) -> list[Annotation]:
    rows = read_rows(file, columns=4)
    video, first = _place(file.stem, stride)
    frames = None
    if frames_required:
        frames = frames_from_to(videos / video, first, first + len(rows) - 1)
    return [
        Annotation(
            name=file.stem,
            file=file,
            xywh=rows,
            frames=frames,
            source=source,
            video=video,
            origin=1.0,
            absent=absent_codes(rows),
        )
    ]


def _place(name: str, stride: int) -> tuple[str, int]:
    """The folder of a sequence and the number of its first frame there."""
    video, _, part = name.rpartition("_")
    starts = FIRST_FRAMES.get(video, ())
    if part.isdecimal() and 1 <= int(part) <= len(starts):
        return video, (starts[int(part) - 1] - 1) // stride + 1
    return name, 1
