"""Reading and writing raw result files, `<sequence>.txt`, of any tracker.

A file holds x,y,w,h of every frame, the first included, in its data set's convention:
`origin` is the coordinate of the first pixel, which the reader of the data set knows
(`Sequence.origin`). Boxes in memory are 0-based.
"""

import os
from collections.abc import Mapping

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.data.readers.tables import (
    LINE_LENGTH,
    read_numbers,
    read_rows,
    require_size,
)
from dst_jax.errors import InputError
from dst_jax.evaluate.result_folders import ResultFiles
from dst_jax.files import user_path, whole_folder
from dst_jax.typing import Float


def read_boxes(
    path: str | os.PathLike[str], *, origin: int, frames: int | None = None
) -> Float[np.ndarray, "t 4"]:
    """Reads one result file.

    Args:
      path: Lines of x,y,w,h, separated by comma, tab or space.
      origin: Coordinate of the first pixel in the file.
      frames: Number of lines that the file must have; None allows any.

    Returns:
      float64 boxes (cx, cy, w, h), 0-based. Empty boxes are kept; they score 0.

    Raises:
      InputError: If the file is missing, a line is not four finite numbers, or the
        number of lines is not that of the frames; it names the file and the line.
    """
    if frames is not None:
        require_size(path, LINE_LENGTH * (frames + 1000), f"{frames} lines of x,y,w,h")
    rows = read_rows(path, columns=4)
    # The sum of two such numbers is finite too.
    bad = np.flatnonzero(~(np.abs(rows) < 1e300).all(axis=1))
    if bad.size:
        values = ",".join(f"{v:g}" for v in rows[bad[0]])
        raise InputError(
            f"{path} line {bad[0] + 1}: box {values} is not finite; give four numbers."
        )
    if frames is not None:
        require_count(path, len(rows), frames, "x,y,w,h")
    return _from_file_rows(rows, origin)


def require_count(
    path: str | os.PathLike[str], lines: int, frames: int, what: str
) -> None:
    """Raises an error if a result file does not have a line per frame.

    Args:
      path: The file, for the message.
      lines: Number of its lines.
      frames: Number of frames.
      what: What a line holds, for the message.

    Raises:
      InputError: If the numbers differ.
    """
    if lines == frames:
        return
    fault = f"goes on at line {frames + 1}"
    if lines < frames:
        fault = f"ends at line {lines}"
    raise InputError(
        f"{path} {fault}, but the sequence has {frames} frames; give one line of "
        f"{what} per frame, the first included."
    )


def read_results(
    found: ResultFiles, frames: Mapping[str, int], *, origin: int
) -> dict[str, Float[np.ndarray, "*repeats _ 4"]]:
    """Reads the result files of every sequence of a data set.

    Args:
      found: The files, as `find_results` finds them.
      frames: Number of frames of each sequence.
      origin: Coordinate of the first pixel in the files.

    Returns:
      Boxes of each sequence, as from `read_boxes`; of a tracker that ran several times
      an array with a further axis, one entry a file.

    Raises:
      InputError: If `read_boxes` refuses a file.
    """
    boxes: dict[str, Float[np.ndarray, "*repeats _ 4"]] = {}
    for name, files in found.files.items():
        runs = [read_boxes(f, origin=origin, frames=frames[name]) for f in files]
        boxes[name] = np.stack(runs) if len(runs) > 1 else runs[0]
    return boxes


def read_speed(found: ResultFiles) -> float | None:
    """Returns the frames per second that files of times give, None if there is none.

    That is the number of frames over their seconds; the first frame's time, which some
    trackers leave at 0, does not count then.

    Args:
      found: The files, as `find_results` finds them.

    Raises:
      InputError: If a file holds anything but numbers.
    """
    count, seconds = 0, 0.0
    for file in found.times.values():
        values = read_numbers(file)
        used = values[np.isfinite(values) & (values > 0.0)]
        count, seconds = count + len(used), seconds + float(used.sum())
    return count / seconds if count else None


def require_new(folder: str | os.PathLike[str]) -> None:
    """Raises an error if a folder of results could not be written there.

    Callers ask before hours of tracking.

    Raises:
      InputError: If the folder exists and holds something.
    """
    root = user_path(folder)
    if root.is_dir() and not any(root.iterdir()):
        return
    if root.exists():
        raise InputError(
            f"results folder {folder} already holds something; remove it or name "
            "another."
        )


def write_results(
    folder: str | os.PathLike[str],
    boxes: Mapping[str, Float[np.ndarray, "_ 4"]],
    *,
    origin: int,
) -> None:
    """Writes `<sequence>.txt` of every sequence, all of them or nothing.

    Args:
      folder: Folder to make; it must not hold anything yet.
      boxes: Finite boxes (cx, cy, w, h), 0-based, of each sequence.
      origin: Coordinate of the first pixel in the files.

    Raises:
      InputError: If the folder already holds something.
    """
    texts = {f"{n}.txt": result_text(b, origin=origin) for n, b in boxes.items()}
    write_texts(folder, texts)


def write_texts(folder: str | os.PathLike[str], texts: Mapping[str, str]) -> None:
    """Writes files of results, all of them or nothing.

    Args:
      folder: Folder to make; it must not hold anything yet.
      texts: Texts by the files' places in it.

    Raises:
      InputError: If the folder already holds something.
    """
    require_new(folder)
    with whole_folder(user_path(folder)) as temporary:
        for place, text in texts.items():
            path = temporary / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def result_text(boxes: Float[np.ndarray, "t 4"], *, origin: int) -> str:
    """Returns what the result file of a sequence holds.

    Args:
      boxes: Finite boxes (cx, cy, w, h), 0-based.
      origin: Coordinate of the first pixel in the file.
    """
    rows = _file_rows(boxes, origin)
    return "".join(",".join(f"{v:.4f}" for v in row) + "\n" for row in rows)


def as_written(
    boxes: Float[np.ndarray, "t 4"], *, origin: int
) -> Float[np.ndarray, "t 4"]:
    """Returns boxes as they are read from the file that `result_text` fills.

    So a score is the same whether the boxes come from a tracker or from its files.

    Args:
      boxes: Finite boxes (cx, cy, w, h), 0-based.
      origin: Coordinate of the first pixel in the file.
    """
    rows = [[float(f"{v:.4f}") for v in row] for row in _file_rows(boxes, origin)]
    return _from_file_rows(np.array(rows), origin)


def _file_rows(
    boxes: Float[np.ndarray, "t 4"], origin: int
) -> Float[np.ndarray, "t 4"]:
    xywh = box_math.cxcywh_to_xywh(np.asarray(boxes, float))
    if not np.isfinite(xywh).all():
        raise ValueError("a box is not finite")
    return np.asarray(xywh) + np.array([origin, origin, 0.0, 0.0])


def _from_file_rows(
    rows: Float[np.ndarray, "t 4"], origin: int
) -> Float[np.ndarray, "t 4"]:
    boxes = np.asarray(box_math.xywh_to_cxcywh(rows))
    return boxes - np.array([origin, origin, 0.0, 0.0])
