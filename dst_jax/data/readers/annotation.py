"""From what a data set's files say of one target to a checked `Sequence`."""

import collections.abc
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.data.checks.lint import DataFault, Fault, Problems
from dst_jax.data.frames import read_frame
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.typing import Bool, Float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One target as its files tell it, before anything is checked.

    Attributes:
      name: Of the sequence.
      file: Where its boxes stand, for complaints.
      xywh: Left, top, width and height of each frame, as in the file.
      frames: Images in order, None where only boxes were asked for.
      video: Key of the video; the name if "".
      source: The data set as the user named it.
      origin: Coordinate of the first pixel: 1 for sets made with MATLAB, else 0.
      absent: Frames without the target; their boxes may be anything.
      hidden: Frames in which the target is there, but cannot be seen.
      category: Kind of object, or "".
      size: (height, width) of the frames; None: that of the first one.
      place: Names the place of a row, counted from 0; None: its line in `file`.
      mend: What to do about a bad box, an imperative clause.
    """

    name: str
    file: pathlib.Path
    xywh: Float[np.ndarray, "t 4"]
    frames: tuple[str, ...] | None
    source: str
    video: str = ""
    origin: float = 0.0
    absent: Bool[np.ndarray, " t"] | None = None
    hidden: Bool[np.ndarray, " t"] | None = None
    category: str = ""
    size: tuple[int, int] | None = None
    place: Callable[[int], str] | None = None
    mend: str = "correct the line, or take the sequence out of the folder"


def to_sequence(annotation: Annotation, problems: Problems) -> Sequence:
    """Checks counts and boxes; a frame with a bad box becomes an absent one.

    Args:
      annotation: As read.
      problems: Gets every bad box; raises at the first if strict.

    Returns:
      The sequence, its boxes NaN where the target is absent or its box bad.

    Raises:
      DataFault: If the numbers of boxes, frames and labels differ.
      InputError: If the size is read off a first frame that is no image.
    """
    count = len(annotation.xywh)
    _require_counts(annotation)
    size = annotation.size
    if size is None and annotation.frames:
        size = frame_size(annotation.frames[0], problems)
    never = np.zeros(count, bool)
    absent = never if annotation.absent is None else annotation.absent
    hidden = never if annotation.hidden is None else annotation.hidden
    with np.errstate(all="ignore"):  # absurd values are refused below
        boxes = np.array(box_math.xywh_to_cxcywh(annotation.xywh))
    boxes[:, :2] -= annotation.origin
    bad = never.copy()
    for problem, rows in _bad_boxes(boxes, size).items():
        for row in np.flatnonzero(rows & ~absent & ~bad).tolist():
            bad[row] = True
            problems.add(_box_fault(annotation, row, problem))
    boxes[absent | bad] = np.nan
    return Sequence(
        name=annotation.name,
        video=annotation.video or annotation.name,
        frames=annotation.frames or (),
        boxes=boxes.astype(np.float32),
        visible=~(absent | hidden | bad),
        category=annotation.category,
        source=annotation.source,
        size=size,
    )


def _require_counts(annotation: Annotation) -> None:
    count = len(annotation.xywh)
    if annotation.frames is not None and len(annotation.frames) != count:
        raise DataFault(
            "counts differ",
            f"{annotation.file} has {count} boxes for {len(annotation.frames)} frames; "
            "give one line per frame.",
        )
    for labels in (annotation.absent, annotation.hidden):
        if labels is not None and len(labels) != count:
            raise DataFault(
                "counts differ",
                f"{annotation.file} has {count} boxes for {len(labels)} labels; "
                "give one label per box.",
            )


def _bad_boxes(
    boxes: Float[np.ndarray, "t 4"], size: tuple[int, int] | None
) -> dict[str, Bool[np.ndarray, " t"]]:
    """Rows that no frame can have, by what is wrong with them."""
    # Nothing beyond this is a place in an image, and float32 holds its square.
    finite = np.asarray((np.abs(boxes) < 1e9).all(axis=1))
    problems = {
        "is not finite": np.asarray(~finite),
        "has no area": np.asarray(finite & (boxes[:, 2:] <= 0.0).any(axis=1)),
    }
    if size is not None:
        usable = np.where(finite[:, None], boxes, 0.0)
        corners = np.array(box_math.cxcywh_to_xyxy(usable))
        limit = np.array([[size[1], size[0]]], np.float64)
        outside = (corners[:, 2:] <= 0.0) | (corners[:, :2] >= limit)
        problem = f"lies outside the frame of {size[1]}x{size[0]} px"
        problems[problem] = np.asarray(finite & outside.any(axis=1))
    return problems


def _box_fault(annotation: Annotation, row: int, problem: str) -> Fault:
    if annotation.place is None:
        where = f"{annotation.file} line {row + 1}"
    else:
        where = annotation.place(row)
    values = ",".join(f"{v:g}" for v in annotation.xywh[row])
    message = f"{where}: box {values} {problem}; {annotation.mend}."
    kind = "box " + problem.partition(" of ")[0]
    return Fault(kind, message, annotation.name, row)


def nowhere(xywh: Float[np.ndarray, "t 4"]) -> Bool[np.ndarray, " t"]:
    """Frames whose box is four NaN."""
    return np.asarray(np.isnan(xywh).all(axis=1))


def absent_codes(xywh: Float[np.ndarray, "t 4"]) -> Bool[np.ndarray, " t"]:
    """Frames that published sets mark as "no target" through the box alone.

    The codes are four NaN, width and height both 0, and four times -1. Any other box
    without area, or with one NaN, is a mistake.
    """
    negative = (xywh == -1.0).all(axis=1)
    return nowhere(xywh) | negative | (xywh[:, 2:] == 0.0).all(axis=1)


def frame_size(path: str, problems: Problems) -> tuple[int, int] | None:
    """(height, width) of an image; None for no image, unless strict.

    Raises:
      InputError: If strict and the image cannot be read.
    """
    try:
        height, width, _ = read_frame(path).shape
    except InputError:
        if problems.strict:
            raise
        return None  # whoever decodes the frames meets it again, with its index
    return height, width


def read_each(
    entries: Iterable[pathlib.Path],
    read: Callable[[pathlib.Path], Iterable[Annotation]],
    problems: Problems,
    *,
    name_of: Callable[[pathlib.Path], str] = lambda entry: entry.name,
) -> tuple[Sequence, ...]:
    """Reads and checks what is in every entry; one that fails becomes a fault.

    Args:
      entries: Folders or files.
      read: Gives the annotations of one entry.
      problems: Gets the faults; raises at the first if strict.
      name_of: Names the faults of an entry as its sequence is named. Folders keep what
        follows a dot; of files the suffix is no part of the name.

    Returns:
      The sequences, in order.
    """
    found: list[Sequence] = []
    for entry in entries:
        with problems.reading(name_of(entry)):
            for annotation in read(entry):
                with problems.reading(annotation.name):
                    found.append(to_sequence(annotation, problems))
    return tuple(found)


def require_any(
    sequences: collections.abc.Sequence[Sequence],
    problems: Problems,
    root: object,
    expected: str,
) -> tuple[Sequence, ...]:
    """The sequences, if there are any or it is known why not.

    Raises:
      InputError: If nothing was found and nothing was wrong.
    """
    if not sequences and not problems.faults:
        raise InputError(
            f"{root} holds no sequence: expected {expected}; correct the path."
        )
    return tuple(sequences)


def numbers_of(values: Mapping[str, str | None], where: str) -> list[float]:
    """Finite numbers of named texts, in order.

    Raises:
      InputError: If one is missing or no number.
    """
    found: list[float] = []
    for name, text in values.items():
        try:
            found.append(float(text or ""))
        except ValueError:
            raise InputError(
                f"{where}: {name} {text!r} is no number; correct it."
            ) from None
    return found
