"""Finding, reading and writing raw result files, `<sequence>.txt`, of any tracker.

A file holds x,y,w,h of every frame, the first included, in its data set's convention:
`origin` is the coordinate of the first pixel, which the reader of the data set knows
(`Sequence.origin`). Boxes in memory are 0-based.
"""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.data.readers.folders import subfolders
from dst_jax.data.readers.tables import LINE_LENGTH, read_rows, require_size
from dst_jax.errors import InputError
from dst_jax.evaluate.protocols import require_names
from dst_jax.files import user_path, whole_folder
from dst_jax.typing import Float


@dataclasses.dataclass(frozen=True)
class ResultFiles:
    """The result files of one tracker.

    Attributes:
      folder: Folder that holds them, whose name is the tracker's.
      files: File of each sequence.
      others: Files that look like results, of no sequence of the data set.
    """

    folder: pathlib.Path
    files: Mapping[str, pathlib.Path]
    others: tuple[pathlib.Path, ...] = ()


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
    return _from_file_rows(rows, origin)


def find_results(folder: str | os.PathLike[str], names: Iterable[str]) -> ResultFiles:
    """Finds the result file of every sequence.

    A sequence's file is `<sequence>.txt`, the suffix in any case, or, as GOT-10k lays
    it out, `<sequence>/<sequence>_001.txt`. If the folder holds no file of a sequence
    but one of its folders does, or one of theirs, that one is taken.

    Args:
      folder: The folder as the user named it.
      names: Names of the sequences.

    Raises:
      InputError: If there is no such folder, a sequence has no file or several, or
        several folders hold results; it names what is there.
    """
    root, keys = user_path(folder), {_key(name): name for name in names}
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise InputError(
            f"results folder {folder} {what}; name the folder that holds the files "
            "<sequence>.txt."
        )
    place = _place_of_results(root, keys)
    found = _result_files(place)
    if not found:
        raise InputError(
            f"{place}: no result for any sequence; it holds {_contents(place)}. Name "
            "the folder that holds the files <sequence>.txt."
        )
    require_names(keys, found, where=str(place))
    files: dict[str, pathlib.Path] = {}
    for key, name in keys.items():
        several = found.pop(key)
        if len(several) > 1:
            shown = " and ".join(str(path.relative_to(place)) for path in several[:2])
            raise InputError(
                f"{place}: sequence {name!r} has {len(several)} result files, such as "
                f"{shown}; keep one."
            )
        files[name] = several[0]
    others = sorted(path for several in found.values() for path in several)
    return ResultFiles(place, files, tuple(others))


def read_results(
    folder: str | os.PathLike[str], frames: Mapping[str, int], *, origin: int
) -> dict[str, Float[np.ndarray, "_ 4"]]:
    """Reads the result file of every sequence of a data set.

    Args:
      folder: The argument of `find_results`.
      frames: Number of frames of each sequence.
      origin: Coordinate of the first pixel in the files.

    Returns:
      Boxes of each sequence, as from `read_boxes`.

    Raises:
      InputError: If `find_results` or `read_boxes` refuses.
    """
    found = find_results(folder, frames)
    return {
        name: read_boxes(found.files[name], origin=origin, frames=count)
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
    origin: int,
    further: Mapping[str, str] | None = None,
) -> None:
    """Writes `<sequence>.txt` of every sequence, all of them or nothing.

    Args:
      folder: Folder to make; it must not hold anything yet.
      boxes: Finite boxes (cx, cy, w, h), 0-based, of each sequence.
      origin: Coordinate of the first pixel in the files.
      further: Texts of further files by their names, none of which ends in ".txt".

    Raises:
      InputError: If the folder already holds something.
    """
    require_new(folder)
    texts = {f"{n}.txt": result_text(b, origin=origin) for n, b in boxes.items()}
    with whole_folder(user_path(folder)) as temporary:
        for name, text in {**texts, **(further or {})}.items():
            (temporary / name).write_text(text, encoding="utf-8")


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


def _key(name: str) -> str:
    # Some disks keep accents decomposed, whatever name was given.
    return unicodedata.normalize("NFC", name)


def _result_files(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Returns the files in a folder that could be results, by sequence."""
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".txt" and path.is_file():
            found.setdefault(_key(path.stem), []).append(path)
    for inner in subfolders(folder):
        repetition = re.compile(re.escape(inner.name) + r"_\d+\.txt", re.IGNORECASE)
        for path in sorted(inner.iterdir()):
            if repetition.fullmatch(path.name) and path.is_file():
                found.setdefault(_key(inner.name), []).append(path)
    return found


def _place_of_results(root: pathlib.Path, keys: Iterable[str]) -> pathlib.Path:
    """Returns the folder at or below `root`, two levels at most, that has results."""
    wanted, level = set(keys), [root]
    for _ in range(3):
        holding = [folder for folder in level if wanted & _result_files(folder).keys()]
        if len(holding) == 1:
            return holding[0]
        if holding:
            shown = ", ".join(str(path.relative_to(root)) for path in holding[:5])
            more = f" and {len(holding) - 5} more" if len(holding) > 5 else ""
            raise InputError(
                f"results folder {root} holds the folders {shown}{more}, each with "
                f"results; name one of them, such as {holding[0]}."
            )
        level = [inner for folder in level for inner in subfolders(folder)]
    return root


def _contents(folder: pathlib.Path) -> str:
    """Returns in a few words what a folder holds."""
    kinds = collections.Counter(
        "folder" if path.is_dir() else f"{path.suffix} file".strip()
        for path in folder.iterdir()
    )
    shown = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in kinds.most_common(3)]
    return " and ".join(shown) or "nothing"
