"""Turns one target's annotation, as its files hold it, into a checked `Sequence`."""

import collections.abc
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.data.checks.lint import DataFault, Fault, Finding, Problems
from dst_jax.data.frames import read_frame
from dst_jax.data.image_file import check_frame
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.typing import Bool, Float, Mark, Region

# Kinds of faults.
NO_AREA_FAULT = "box has no area"
OUTSIDE_FAULT = "box lies outside the frame"
NO_AREA = "true box without area, so that the target counts as covered"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One target as its files describe it, before anything is checked.

    Attributes:
      name: Name of the sequence.
      file: File (or folder) of its boxes, for messages.
      xywh: Left, top, width and height of the box in each frame, as in the file.
      frames: Images in order; None where only boxes were asked for.
      video: Key of the video; "" means the name.
      source: The data set as the user named it.
      origin: Coordinate of the first pixel: 1 for sets made with MATLAB, else 0.
      absent: Whether a frame lacks the target; its box may then be anything.
      hidden: Whether the target is there but cannot be seen.
      category: Kind of object, or "".
      size: (height, width) of the frames; None means that of the first frame.
      empty_codes: Whether width and height both 0 are no mistake, but say that the
        truth of a frame has no area.
      place: Function that names the place of a row, counted from 0; None means the
        row's line in `file`.
      marks: What the files mark, of "absent" and "covered", in any frame or in none.
      regions: See `Sequence.regions`.
      mend: Imperative clause that says what to do about a bad box.
    """

    name: str
    file: pathlib.Path
    xywh: Float[np.ndarray, "t 4"]
    frames: tuple[str, ...] | None
    source: str
    video: str = ""
    origin: int = 0
    absent: Bool[np.ndarray, " t"] | None = None
    hidden: Bool[np.ndarray, " t"] | None = None
    category: str = ""
    size: tuple[int, int] | None = None
    empty_codes: bool = False
    place: Callable[[int], str] | None = None
    marks: tuple[Mark, ...] = ()
    regions: tuple[Region, ...] | None = None
    mend: str = "correct the line, or take the sequence out of the folder"


def to_sequence(annotation: Annotation, problems: Problems) -> Sequence:
    """Checks counts and boxes; a frame with a bad box has no visible target.

    Args:
      annotation: The annotation as read.
      problems: Receives every bad box, or raises the first if strict.

    Returns:
      The sequence, whose boxes are NaN where the target is absent or its box not
      finite. Other bad boxes stay as they are, for an evaluation that accepts them.

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
    empty = _without_area(annotation) & ~absent
    if empty.any():
        problems.left_out.append(Finding(annotation.name, int(empty.sum()), NO_AREA))
    bad = never.copy()
    for problem, rows in _bad_boxes(boxes, size).items():
        for row in np.flatnonzero(rows & ~absent & ~empty & ~bad).tolist():
            bad[row] = True
            problems.add(_box_fault(annotation, row, problem))
    boxes[~_finite(boxes)] = np.nan
    stated = boxes.astype(np.float32) if np.isfinite(boxes[absent]).any() else None
    boxes[absent] = np.nan
    return Sequence(
        name=annotation.name,
        video=annotation.video or annotation.name,
        frames=annotation.frames or (),
        boxes=boxes.astype(np.float32),
        visible=~(absent | hidden | empty | bad),
        category=annotation.category,
        source=annotation.source,
        size=size,
        origin=annotation.origin,
        stated=stated,
        covered=hidden if hidden.any() else None,
        marks=annotation.marks,
        regions=annotation.regions,
    )


def _without_area(annotation: Annotation) -> Bool[np.ndarray, " t"]:
    """Returns where the data set says that the true box has no area."""
    point = (annotation.xywh[:, 2:] == 0.0).all(axis=1)
    return np.asarray(annotation.empty_codes & point & _finite(annotation.xywh))


def _finite(boxes: Float[np.ndarray, "t 4"]) -> Bool[np.ndarray, " t"]:
    # No place in an image lies beyond this, and float32 holds its square.
    return np.asarray((np.abs(boxes) < 1e9).all(axis=1))


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
    """Returns which rows are bad, by the words that say what is wrong with them."""
    finite = _finite(boxes)
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
    message = f"{where}: box {values} {problem}{_asks(annotation, row)}; "
    message += f"{annotation.mend}."
    kind = "box " + problem.partition(" of ")[0]
    return Fault(kind, message, annotation.name, row)


def _asks(annotation: Annotation, row: int) -> str:
    """Returns a clause for a frame that viewers show turned, else nothing."""
    if not annotation.frames:
        return ""
    try:
        turned = check_frame(annotation.frames[row]).turn != 1
    except InputError:
        return ""  # whoever decodes the frames reports it
    return " (the file asks viewers to turn it, boxes count stored pixels)" * turned


def nowhere(xywh: Float[np.ndarray, "t 4"]) -> Bool[np.ndarray, " t"]:
    """Returns whether the box of each frame is four NaN."""
    return np.asarray(np.isnan(xywh).all(axis=1))


def absent_codes(xywh: Float[np.ndarray, "t 4"]) -> Bool[np.ndarray, " t"]:
    """Returns whether the box of each frame is a published code for "no target".

    The codes are four NaN, width and height both 0, and four times -1. Any other box
    without area, or with only some NaN, is a mistake.
    """
    negative = (xywh == -1.0).all(axis=1)
    return nowhere(xywh) | negative | (xywh[:, 2:] == 0.0).all(axis=1)


def frame_size(path: str, problems: Problems) -> tuple[int, int] | None:
    """Returns (height, width) of an image, or None if it cannot be read.

    Raises:
      InputError: If `problems` is strict and the image cannot be read.
    """
    try:
        height, width, _ = read_frame(path).shape
    except InputError:
        if problems.strict:
            raise
        return None  # whoever decodes the frames reports it, with its index
    return height, width


def read_each(
    entries: Iterable[pathlib.Path],
    read: Callable[[pathlib.Path], Iterable[Annotation]],
    problems: Problems,
    *,
    name_of: Callable[[pathlib.Path], str] = lambda entry: entry.name,
) -> tuple[Sequence, ...]:
    """Reads and checks the annotations in every entry; failures become faults.

    Args:
      entries: Folders or files.
      read: Function that reads the annotations of one entry.
      problems: Receives the faults, or raises the first if strict.
      name_of: Function that names the faults of an entry as its sequence is named. The
        name of a folder includes what follows a dot; that of a file has no suffix.

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
    """Returns the sequences if there are any, or faults that say why not.

    Args:
      sequences: Sequences that were found.
      problems: Faults that were met.
      root: The data set, for the message.
      expected: Files that were expected, for the message.

    Raises:
      InputError: If there are neither sequences nor faults.
    """
    if not sequences and not problems.faults:
        raise InputError(
            f"{root} holds no sequence: expected {expected}; correct the path."
        )
    return tuple(sequences)


def numbers_of(values: Mapping[str, str | None], where: str) -> list[float]:
    """Returns the numbers that named texts hold, in order.

    Args:
      values: Text of each number by its name; None or "" if it is missing.
      where: Place of the texts, for the message.

    Raises:
      InputError: If a text is missing or is no number.
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
