"""The GOT-10k layout: `list.txt`, and per target frames, boxes and labels.

list.txt                     names of the folders, one per line
NAME/00000001.jpg ...        frames
NAME/groundtruth.txt         x,y,w,h of each frame, 0-based
NAME/absence.label           1 where the target is absent (optional)
NAME/cover.label             eighths of the target that can be seen (optional)
NAME/meta_info.ini           url, object_class, resolution (optional)
"""

import collections.abc
import configparser
import dataclasses
import difflib
import os
import pathlib
import re

import numpy as np

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.readers.annotation import Annotation, nowhere, read_each
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    listed_folders,
    require_annotation,
)
from dst_jax.data.readers.tables import read_labels, read_lines, read_rows
from dst_jax.data.sequence import Sequence
from dst_jax.digests import file_sha256
from dst_jax.errors import InputError
from dst_jax.typing import Mark

_MEND = (
    "correct the line, mark the frame 1 in absence.label, or take the sequence out of "
    "list.txt"
)
_LABELS: dict[str, Mark] = {"absence.label": "absent", "cover.label": "covered"}
# As published, these sequences have frames of another video under their boxes. Source:
# issues 10, 29 and 73 of github.com/got-10k/toolkit.
_KNOWN_BAD = (1636, 1638, *range(8623, 8638), 9058, 9059)
KNOWN_BAD = frozenset(f"GOT-10k_Train_{number:06d}" for number in _KNOWN_BAD)


def read_got10k(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads the sequences that `list.txt` names, or every folder if there is none.

    Two targets share their `video` if `meta_info.ini` gives one url for both, if
    the urls (paths, not web addresses) differ only in a final `_1`, `_2`, or if their
    first frames are equal files. Parts of one video that start at different frames
    and have no such url are not recognised. Sequences of the published set that are
    known to show another video (`KNOWN_BAD`) are left out and counted, and so are
    folders of frames that the list does not name. In a folder `test` a sequence may
    have its first box alone, as published; the others are there without one.

    Args:
      root: The folder of `list.txt`.
      frames_required: If False, only the boxes are read: images may be missing and
        `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences in the order of the list. A frame is visible if the target is not
      absent and not wholly covered.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if the numbers of
        frames, boxes and labels differ.
    """
    folder = folder_of(root, "GOT-10k")
    problems = problems or Problems()
    source = f"got10k:{root}"

    def read(entry: pathlib.Path) -> list[Annotation]:
        return [_annotation(entry, source, frames_required, problems)]

    return _join_videos(read_each(_entries(folder, problems), read, problems))


def _entries(folder: pathlib.Path, problems: Problems) -> list[pathlib.Path]:
    entries = listed_folders(folder, problems)
    if not entries:
        raise InputError(
            f"{folder} holds no GOT-10k sequence; list folders in list.txt, each with "
            "a groundtruth.txt."
        )
    reason = "known to show another video (got-10k/toolkit issues 10, 29, 73)"
    for entry in entries:
        if entry.name in KNOWN_BAD:
            frames = len(image_names(entry))
            problems.left_out.append(Finding(entry.name, frames, reason))
    return [entry for entry in entries if entry.name not in KNOWN_BAD]


def _require_folder(entry: pathlib.Path) -> None:
    if entry.is_dir():
        return
    siblings = [p.name for p in entry.parent.iterdir()] if entry.parent.is_dir() else []
    near = difflib.get_close_matches(entry.name, siblings, n=1)
    hint = f"it may be spelt {near[0]}" if near else "remove the line"
    raise DataFault(
        "missing sequence", f"{entry} is in list.txt but does not exist; {hint}."
    )


def _annotation(
    entry: pathlib.Path, source: str, frames_required: bool, problems: Problems
) -> Annotation:
    _require_folder(entry)
    file = entry / "groundtruth.txt"
    require_annotation(file, entry)
    rows = read_rows(file, columns=4)
    frames = frames_in(entry) if frames_required else None
    count = len(rows) if frames is None else len(frames)
    if len(rows) == 1 < count:
        # The folder may be given as ".", which is called nothing.
        if entry.parent.absolute().name != "test":
            raise DataFault(
                "counts differ",
                f"{file} has 1 box for {count} frames; give one line per frame, or "
                "call the folder of the data set test if others are not published.",
            )
        reason = "test frame, whose box is not published"
        problems.left_out.append(Finding(entry.name, count - 1, reason))
        rows = np.concatenate([rows, np.full((count - 1, 4), np.nan)])
    absent = read_labels(entry / "absence.label", len(rows), default=0) != 0
    covered = read_labels(entry / "cover.label", len(rows), default=8) == 0
    meta = _meta(entry / "meta_info.ini")
    category = meta.get("object_class", "")
    return Annotation(
        name=entry.name,
        file=file,
        xywh=rows,
        frames=frames,
        source=source,
        video=_video_key(meta.get("url", "")) or entry.name,
        absent=absent | nowhere(rows),
        hidden=covered,
        marks=tuple(m for name, m in _LABELS.items() if (entry / name).is_file()),
        category="" if category == "n/a" else category,
        size=_resolution(meta.get("resolution", "")),
        empty_codes=True,
        mend=_MEND,
    )


def _meta(path: pathlib.Path) -> dict[str, str]:
    if not path.exists():
        return {}
    # Web addresses hold percent signs, so nothing may be interpolated.
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string("\n".join(read_lines(path)))
    except configparser.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no INI file ({reason}); correct it.") from error
    sections = parser.sections()
    return dict(parser[sections[0]]) if sections else {}


def _resolution(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"\((\d{1,6}),\s*(\d{1,6})\)", text.strip())
    return (int(match[2]), int(match[1])) if match else None


def _video_key(url: str) -> str:
    """Returns the url without the number of the target; "" if there is no url."""
    if url in ("", "n/a") or "://" in url:
        return "" if url == "n/a" else url
    # A number of more than two digits counts videos, not targets.
    return re.sub(r"(?<=[^/])_\d{1,2}$", "", url)


def _join_videos(sequences: collections.abc.Sequence[Sequence]) -> tuple[Sequence, ...]:
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


def _equal_first_frames(
    sequences: collections.abc.Sequence[Sequence],
) -> list[list[Sequence]]:
    """Returns groups of two or more sequences whose first frames are equal files."""
    by_size: dict[int, list[Sequence]] = {}
    for sequence in (s for s in sequences if s.frames):
        if os.path.isfile(sequence.frames[0]):  # else whoever reads the frame says so
            length = os.path.getsize(sequence.frames[0])
            by_size.setdefault(length, []).append(sequence)
    by_digest: dict[str, list[Sequence]] = {}
    # Only files of equal length are read, so that most data sets need no reading.
    for sequence in (s for same in by_size.values() if len(same) > 1 for s in same):
        digest = file_sha256(sequence.frames[0])
        by_digest.setdefault(digest, []).append(sequence)
    return [same for same in by_digest.values() if len(same) > 1]
