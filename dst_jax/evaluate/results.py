"""Reading, checking and writing raw result files, `<sequence>.txt`, of any tracker.

A file holds x,y,w,h of every frame, the first included, in its data set's convention:
`origin` is the coordinate of the first pixel, 1 for OTB. Boxes in memory are 0-based.
"""

import os
from collections.abc import Mapping
from typing import Literal

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.data.readers.tables import read_rows
from dst_jax.errors import InputError
from dst_jax.evaluate.protocols import require_names
from dst_jax.files import user_path, whole_folder
from dst_jax.typing import Float

Origin = Literal[0, 1]


def read_boxes(
    path: str | os.PathLike[str], *, origin: Origin, frames: int | None = None
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
    rows = read_rows(path, columns=4)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        values = ",".join(f"{v:g}" for v in rows[bad[0]])
        raise InputError(
            f"{path} line {bad[0] + 1}: box {values} is not finite; give four numbers."
        )
    if frames is not None and len(rows) != frames:
        fault = (
            f"ends at line {len(rows)}"
            if len(rows) < frames
            else f"goes on at line {frames + 1}"
        )
        raise InputError(
            f"{path} {fault}, but the sequence has {frames} frames; give one line of "
            "x,y,w,h per frame, the first included."
        )
    boxes = np.asarray(box_math.xywh_to_cxcywh(rows))
    return boxes - np.array([origin, origin, 0.0, 0.0])


def read_results(
    folder: str | os.PathLike[str], frames: Mapping[str, int], *, origin: Origin
) -> dict[str, Float[np.ndarray, "_ 4"]]:
    """Reads the result file of every sequence of a data set.

    Args:
      folder: Folder with `<sequence>.txt`; files of further sequences are ignored.
      frames: Number of frames of each sequence.
      origin: Coordinate of the first pixel in the files.

    Returns:
      Boxes of each sequence, as from `read_boxes`.

    Raises:
      InputError: If the folder or a file is missing (all are listed, with the nearest
        spelling), or `read_boxes` refuses one.
    """
    root = user_path(folder)
    if not root.is_dir():
        raise InputError(
            f"results folder {folder} does not exist; name the folder that holds the "
            "files <sequence>.txt."
        )
    require_names(frames, (p.stem for p in sorted(root.glob("*.txt"))), where=str(root))
    return {
        name: read_boxes(root / f"{name}.txt", origin=origin, frames=count)
        for name, count in frames.items()
    }


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
    origin: Origin,
) -> None:
    """Writes `<sequence>.txt` of every sequence, all of them or nothing.

    Args:
      folder: Folder to make; it must not hold anything yet.
      boxes: Finite boxes (cx, cy, w, h), 0-based, of each sequence.
      origin: Coordinate of the first pixel in the files.

    Raises:
      InputError: If the folder already holds something.
    """
    require_new(folder)
    with whole_folder(user_path(folder)) as temporary:
        for name, rows in boxes.items():
            text = _lines(rows, origin)
            (temporary / f"{name}.txt").write_text(text, encoding="utf-8")


def _lines(boxes: Float[np.ndarray, "t 4"], origin: Origin) -> str:
    xywh = box_math.cxcywh_to_xywh(np.asarray(boxes, float))
    if not np.isfinite(xywh).all():
        raise ValueError("a box is not finite")
    xywh = xywh + np.array([origin, origin, 0.0, 0.0])
    return "".join(",".join(f"{v:.4f}" for v in row) + "\n" for row in xywh)
