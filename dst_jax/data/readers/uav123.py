"""The UAV123 layout, at 30 and 10 frames per second, with several targets per folder.

data_seq/UAV123/bird1/000001.jpg ...   frames (UAV123_10fps in place of UAV123)
anno/UAV123/bird1_2.txt                x,y,w,h of each frame, 1-based, NaN where absent
"""

import functools
import os
import pathlib
from collections.abc import Iterator

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.annotation import (
    Annotation,
    absent_codes,
    read_each,
    require_any,
)
from dst_jax.data.readers.folders import (
    folder_of,
    frames_from_to,
    frames_in,
    require_annotated,
    subfolders,
)
from dst_jax.data.readers.tables import read_rows
from dst_jax.data.sequence import Sequence

# First and last frames of targets that share the folder of their name up to the last
# "_"; all others have a folder of their own. Source: configSeqs.m of the benchmark
# (Mueller, Smith, Ghanem), which is not in its archive. The set at 10 frames per second
# has every third frame: its frame (n - 1) / 3 + 1 is frame n here.
PARTS = {
    "bird1": ((1, 253), (775, 1477), (1573, 2437)),
    "car1": ((1, 751), (751, 1627), (1627, 2629)),
    "car6": ((1, 487), (487, 1807), (1807, 2953), (2953, 3925), (3925, 4861)),
    "car8": ((1, 1357), (1357, 2575)),
    "car16": ((1, 415), (415, 1993)),
    "group1": ((1, 1333), (1333, 2515), (2515, 3925), (3925, 4873)),
    "group2": ((1, 907), (907, 1771), (1771, 2683)),
    "group3": ((1, 1567), (1567, 2827), (2827, 4369), (4369, 5527)),
    "person2": ((1, 1189), (1189, 2623)),
    "person4": ((1, 1501), (1501, 2743)),
    "person5": ((1, 877), (877, 2101)),
    "person7": ((1, 1249), (1249, 2065)),
    "person8": ((1, 1075), (1075, 1525)),
    "person12": ((1, 601), (601, 1621)),
    "person14": ((1, 847), (847, 1813), (1813, 2923)),
    "person17": ((1, 1501), (1501, 2347)),
    "person19": ((1, 1243), (1243, 2791), (2791, 4357)),
    "truck4": ((1, 577), (577, 1261)),
    "uav1": ((1, 1555), (1555, 2377), (2473, 3469)),
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
      root: Folder with `data_seq` and `anno`.
      fps: Frames per second: 30, or 10 for UAV123@10fps.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences; the target is absent where the file has NaN for its box.

    Raises:
      InputError: At the first missing file, bad line or bad box, if there are frames
        without an annotation, or if the numbers of frames and boxes differ.
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
    anno = folder / "anno" / part
    files = sorted(anno.glob("*.txt"))
    found = read_each(files, read, problems, name_of=lambda file: file.stem)
    if frames_required:
        expected = _expected(folder / "data_seq" / part, anno)
        require_annotated(expected, problems)
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
    video, span = _place(file.stem, stride)
    frames = None
    if frames_required:
        folder = videos / video
        frames = frames_from_to(folder, *span) if span else frames_in(folder)
    return [
        Annotation(
            name=file.stem,
            file=file,
            xywh=rows,
            frames=frames,
            source=source,
            video=video,
            origin=1,
            absent=absent_codes(rows),
        )
    ]


def _place(name: str, stride: int) -> tuple[str, tuple[int, int] | None]:
    """Returns a sequence's folder, and its first and last frame, or None for all."""
    video, _, part = name.rpartition("_")
    parts = PARTS.get(video, ())
    if part.isdecimal() and 1 <= int(part) <= len(parts):
        first, last = parts[int(part) - 1]
        return video, ((first - 1) // stride + 1, (last - 1) // stride + 1)
    return name, None


def _expected(
    videos: pathlib.Path, anno: pathlib.Path
) -> Iterator[tuple[str, pathlib.Path, pathlib.Path]]:
    """Yields name, frames and annotation of every sequence that has frames."""
    for entry in subfolders(videos):
        parts = range(1, len(PARTS.get(entry.name, ())) + 1)
        whole = not parts or (anno / f"{entry.name}.txt").exists()
        for name in [entry.name] if whole else [f"{entry.name}_{n}" for n in parts]:
            yield name, entry, anno / f"{name}.txt"
