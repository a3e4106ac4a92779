"""The YouTube-BoundingBoxes layout: Google's CSV files, and frames that you decode.

*.csv                                   youtube_id,timestamp_ms,class_id,class_name,
                                        object_id,object_presence,xmin,xmax,ymin,ymax
frames/YOUTUBE_ID/TIMESTAMP_MS.jpg      one image per annotated time (any image suffix)

Coordinates are shares of the frame's sides; note the order of the four.
"""

import array
import csv
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.frames import image_names
from dst_jax.data.image_file import require_file
from dst_jax.data.readers.annotation import (
    Annotation,
    frame_size,
    require_any,
    to_sequence,
)
from dst_jax.data.readers.folders import folder_of, frames_in, subfolders
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

_COLUMNS = 10
# Column of the last field that is part of a sequence's name.
_OBJECT = 4
_PRESENCE = {"present": 1.0, "absent": 0.0, "uncertain": 0.0}
# Numbers of each frame: time in ms, 1 if present, xmin, xmax, ymin, ymax, line.
_WIDTH = 7


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """One object in one stretch of one video, as the CSV file has it."""

    file: pathlib.Path
    video: str
    category: str
    rows: array.array


def read_ytbb(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every segment as `YOUTUBE_ID-CLASS_ID-OBJECT_ID`, in the order of rows.

    Where presence is "absent" or "uncertain" the target is absent. Segments of videos
    without a folder of frames are left out and counted, because many videos are no
    longer available; images of times without a row are left out and counted too.

    Args:
      root: Folder with CSV files and `frames`.
      frames_required: True, because boxes are shares of the frames' sizes.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences.

    Raises:
      InputError: At the first malformed row, missing frame or bad box, or if
        `frames_required` is False. A row that does not name its sequence raises the
        error even if `problems` is not strict.
    """
    folder = folder_of(root, "YouTube-BoundingBoxes")
    problems = problems or Problems()
    if not frames_required:
        raise InputError(
            f"ytbb:{root}: boxes are shares of frames' sizes; give the frames."
        )
    sequences: list[Sequence] = []
    frames_of_lost_videos = 0
    segments, complaints = _segments(folder)
    for name, segment in segments.items():
        with problems.reading(name):
            if name in complaints:
                raise InputError(complaints[name])
            images = folder / "frames" / segment.video
            if not images.is_dir():
                frames_of_lost_videos += len(segment.rows) // _WIDTH
                continue
            found = _annotation(name, segment, images, f"ytbb:{root}", problems)
            sequences.append(to_sequence(found, problems))
    if frames_of_lost_videos:
        reason = "frame of a video without a folder in frames"
        problems.left_out.append(Finding("videos", frames_of_lost_videos, reason))
    _compare_images(folder / "frames", segments.values(), problems)
    expected = "*.csv and frames/YOUTUBE_ID/TIMESTAMP_MS.jpg"
    return require_any(sequences, problems, root, expected)


def _compare_images(
    frames: pathlib.Path, segments: Iterable[_Segment], problems: Problems
) -> None:
    """Counts the images that have no row, also those of videos in no CSV file."""
    stamps: dict[str, set[str]] = {}
    for segment in segments:
        times = (f"{stamp:.0f}" for stamp in segment.rows[::_WIDTH])
        stamps.setdefault(segment.video, set()).update(times)
    for entry in subfolders(frames):
        known = stamps.get(entry.name, set())
        images = image_names(entry)
        others = sum(pathlib.PurePath(i).stem not in known for i in images)
        if others:
            reason = "image of a time without a row"
            problems.left_out.append(Finding(entry.name, others, reason))


def _segments(folder: pathlib.Path) -> tuple[dict[str, _Segment], dict[str, str]]:
    """Returns segments by name, and the first complaint about each that has a bad row.

    Only numbers are kept of the rows, because the files have millions.
    """
    found: dict[str, _Segment] = {}
    complaints: dict[str, str] = {}
    for file in sorted(folder.glob("*.csv")):
        line = 0
        for line, fields in _lines(file):
            video, _, class_id, category, object_id = fields[: _OBJECT + 1]
            name = f"{video}-{class_id}-{object_id}"
            segment = found.get(name)
            if segment is None:
                segment = _Segment(file, video, category, array.array("d"))
                found[name] = segment
            try:
                segment.rows.extend([*_numbers(fields), line])
            except ValueError as error:
                where = f"{file} line {line}: {','.join(fields)[:60]!r}"
                complaints.setdefault(name, f"{where} {error}; correct the line.")
        if not line:
            raise InputError(f"{file} holds no row; restore the file.")
    return found, complaints


def _numbers(fields: list[str]) -> list[float]:
    """Returns the numbers of a row, or raises a ValueError that says what is wrong."""
    if len(fields) != _COLUMNS or "/" in fields[0] or "\0" in fields[0]:
        raise ValueError(f"is not {_COLUMNS} fields")
    stamp, presence, shares = fields[1], fields[5], fields[6:]
    try:
        return [float(stamp), _PRESENCE[presence], *map(float, shares)]
    except (ValueError, KeyError):
        raise ValueError("is no row of detections") from None


def _lines(file: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields line numbers and fields of the rows, which are read one by one."""
    require_file(file, "annotation")
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            for fields in rows:
                if not fields or fields[0] == "youtube_id":
                    continue
                text = ",".join(fields)
                # A surplus quotation mark makes one row of those of other sequences.
                if len(fields) <= _OBJECT or "\n" in text or "\r" in text:
                    raise InputError(
                        f"{file} line {rows.line_num}: {text[:60]!r} names no object "
                        "of a video; correct the line."
                    )
                yield rows.line_num, fields
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}); restore it."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is no CSV file ({error}); restore it.") from error


def _annotation(
    name: str,
    segment: _Segment,
    images: pathlib.Path,
    source: str,
    problems: Problems,
) -> Annotation:
    rows = np.array(segment.rows).reshape(-1, _WIDTH)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    found = {pathlib.PurePath(p).stem: p for p in frames_in(images)}
    frames: list[str] = []
    for stamp in rows[:, 0]:
        if f"{stamp:.0f}" not in found:
            raise DataFault(
                "missing frame", f"{images} has no image {stamp:.0f}; decode it."
            )
        frames.append(found[f"{stamp:.0f}"])
    size = frame_size(frames[0], problems)
    if size is None:
        raise DataFault("unreadable frame", f"frame {frames[0]} is no image; mend it.")
    low, high = rows[:, [2, 4]], rows[:, [3, 5]]
    scale = np.array([[size[1], size[0]]], np.float64)
    return Annotation(
        name=name,
        file=segment.file,
        xywh=np.concatenate([low * scale, (high - low) * scale], axis=1),
        frames=tuple(frames),
        source=source,
        video=segment.video,
        absent=rows[:, 1] == 0.0,
        category=segment.category,
        size=size,
        place=lambda row: f"{segment.file} line {rows[row, 6]:.0f}",
        mend="correct the line",
    )
