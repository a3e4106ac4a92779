"""The GOT-10k layout: `list.txt`, and per target frames, boxes and labels.

list.txt                     names of the folders, one per line
NAME/00000001.jpg ...        frames
NAME/groundtruth.txt         x,y,w,h of each frame, 0-based
NAME/absence.label           1 where the target is absent (optional)
NAME/cover.label             eighths of the target that can be seen (optional)
NAME/meta_info.ini           url, object_class, resolution (optional)
"""

import configparser
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Sequence as ListOf

import numpy as np

from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.data.readers.tables import checked_boxes, read_lines, read_rows
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

_MEND = (
    "correct the line, mark the frame 1 in absence.label, or take the sequence out of "
    "list.txt"
)


def read_got10k(
    root: str | os.PathLike[str], *, frames_required: bool = True
) -> tuple[Sequence, ...]:
    """Reads the sequences that `list.txt` names, or every folder if there is none.

    Two targets share their `video` if `meta_info.ini` gives one url for both, if
    the urls (paths, not web addresses) differ only in a final `_1`, `_2`, or if their
    first frames are the same file. Parts of one video that start at different frames
    and have no such url are not recognised.

    Args:
      root: The folder of `list.txt`.
      frames_required: If False, only the boxes are read: images may be missing and
        `frames` is empty.

    Returns:
      Sequences in the order of the list. A frame is visible if the target is not
      absent and not wholly covered.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if the numbers of
        frames, boxes and labels differ.
    """
    folder = pathlib.Path(root)
    if not folder.is_dir():
        raise InputError(f"GOT-10k folder {root} does not exist; correct the path.")
    if (folder / "list.txt").is_file():
        lines = (line.strip() for line in read_lines(folder / "list.txt"))
        names = [line for line in lines if line]
    else:
        names = sorted(p.parent.name for p in folder.glob("*/groundtruth.txt"))
    if not names:
        raise InputError(
            f"{root} holds no GOT-10k sequence; list folders in list.txt, each with a "
            "groundtruth.txt."
        )
    source = f"got10k:{root}"
    sequences = [_read_target(folder / n, source, frames_required) for n in names]
    return _join_videos(sequences)


def _read_target(entry: pathlib.Path, source: str, frames_required: bool) -> Sequence:
    if not entry.is_dir():
        raise InputError(f"{entry} is in list.txt but does not exist; remove the line.")
    rows = read_rows(entry / "groundtruth.txt", columns=4)
    absent = _labels(entry / "absence.label", len(rows), default=0) != 0
    covered = _labels(entry / "cover.label", len(rows), default=8) == 0
    meta = _meta(entry / "meta_info.ini")
    frames: tuple[str, ...] = ()
    size = _resolution(meta.get("resolution", ""))
    if frames_required:
        frames = frame_paths(entry)
        if len(frames) != len(rows):
            raise InputError(
                f"{entry / 'groundtruth.txt'} has {len(rows)} boxes for {len(frames)} "
                "frames; give one line per frame."
            )
        if size is None:
            height, width, _ = read_frame(frames[0]).shape
            size = (height, width)
    boxes = checked_boxes(
        rows,
        absent=absent,
        size=size,
        origin=0.0,
        where=lambda line: f"{entry / 'groundtruth.txt'} line {line}",
        mend=_MEND,
    )
    category = meta.get("object_class", "")
    return Sequence(
        name=entry.name,
        video=_video_key(meta.get("url", "")) or entry.name,
        frames=frames,
        boxes=boxes,
        visible=~absent & ~covered,
        category="" if category == "n/a" else category,
        source=source,
        size=size,
    )


def _labels(path: pathlib.Path, count: int, *, default: int) -> np.ndarray:
    if not path.exists():
        return np.full(count, default)
    labels = read_rows(path, columns=1)[:, 0]
    if len(labels) != count:
        raise InputError(
            f"{path} has {len(labels)} labels for {count} boxes; give one per frame."
        )
    return labels


def _meta(path: pathlib.Path) -> dict[str, str]:
    if not path.exists():
        return {}
    # No interpolation: web addresses hold percent signs.
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string("\n".join(read_lines(path)))
    except configparser.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no INI file ({reason}); correct it.") from error
    sections = parser.sections()
    return dict(parser[sections[0]]) if sections else {}


def _resolution(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"\((\d+),\s*(\d+)\)", text.strip())
    return (int(match[2]), int(match[1])) if match else None


def _video_key(url: str) -> str:
    """The url without the number of the target; "" if there is none."""
    if url in ("", "n/a") or "://" in url:
        return "" if url == "n/a" else url
    # At most two digits: a longer number counts videos, not targets.
    return re.sub(r"(?<=[^/])_\d{1,2}$", "", url)


def _join_videos(sequences: ListOf[Sequence]) -> tuple[Sequence, ...]:
    """Gives sequences that start with the same image one video, transitively."""
    parent: dict[str, str] = {s.video: s.video for s in sequences}

    def root_of(video: str) -> str:
        while parent[video] != video:
            video = parent[video]
        return video

    for same in _equal_first_frames(sequences):
        roots = sorted({root_of(s.video) for s in same})
        for other in roots[1:]:
            parent[other] = roots[0]
    return tuple(dataclasses.replace(s, video=root_of(s.video)) for s in sequences)


def _equal_first_frames(sequences: ListOf[Sequence]) -> list[list[Sequence]]:
    """Groups of two or more whose first frames are equal files."""
    by_size: dict[int, list[Sequence]] = {}
    for sequence in (s for s in sequences if s.frames):
        length = os.stat(sequence.frames[0]).st_size
        by_size.setdefault(length, []).append(sequence)
    by_digest: dict[bytes, list[Sequence]] = {}
    # Only files of equal length are read: most data sets need no reading at all.
    for sequence in (s for same in by_size.values() if len(same) > 1 for s in same):
        data = pathlib.Path(sequence.frames[0]).read_bytes()
        by_digest.setdefault(hashlib.sha256(data).digest(), []).append(sequence)
    return [same for same in by_digest.values() if len(same) > 1]
