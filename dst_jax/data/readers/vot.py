"""The VOT layout: four corners, a rectangle or a mask per frame.

list.txt                              names of the folders (optional)
NAME/00000001.jpg ...                 frames, since 2018 in NAME/color/
NAME/groundtruth.txt                  x1,y1,...,x4,y4 or x,y,w,h or m<mask> a line
"""

import functools
import os
import pathlib

import numpy as np

from dst_jax.data.checks.lint import DataFault, Problems
from dst_jax.data.readers.annotation import Annotation, nowhere, read_each, require_any
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    listed_folders,
    require_annotation,
)
from dst_jax.data.readers.tables import (
    MOST_BYTES,
    read_lines,
    require_length,
    require_size,
)
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.regions import (
    CODES,
    NOWHERE,
    corners_of,
    polygon_area,
    region_numbers,
)
from dst_jax.typing import Float, Region

# Characters of a line that holds a mask's runs.
_MASK_LENGTH = 1_000_000


def read_vot(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads the sequences that `list.txt` names, or every folder if there is none.

    A polygon becomes, as in the public kits, an upright box around the mean of its
    corners, with its own area and the proportions of its bounding box. A mask becomes
    its bounding box. A line of NaN, an empty mask or a marker (0, 1, 2) means that the
    target is absent. Rectangles and polygons are kept as they are, too.

    Args:
      root: The folder of `list.txt`.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences, in the order of the list.

    Raises:
      InputError: At the first missing file, bad line or bad box, or if counts differ.
    """
    folder = folder_of(root, "VOT")
    problems = problems or Problems()
    entries = listed_folders(folder, problems, images_of=_images)
    source = f"vot:{root}"
    read = functools.partial(
        _annotations, source=source, frames_required=frames_required
    )
    sequences = read_each(entries, read, problems)
    return require_any(sequences, problems, root, "list.txt or NAME/groundtruth.txt")


def _annotations(
    entry: pathlib.Path, *, source: str, frames_required: bool
) -> list[Annotation]:
    if not entry.is_dir():
        raise DataFault(
            "missing sequence",
            f"{entry} is in list.txt but does not exist; remove the line.",
        )
    file = entry / "groundtruth.txt"
    require_annotation(file, entry)
    require_size(file, MOST_BYTES, "the regions of a sequence")
    lines = read_lines(file)
    if not lines:
        raise InputError(f"{file} is empty; give one line per frame.")
    rows = np.array([_xywh(file, i, line) for i, line in enumerate(lines, 1)])
    frames = None
    if frames_required:
        frames = frames_in(_images(entry))
    annotation = Annotation(
        name=entry.name,
        file=file,
        xywh=rows,
        frames=frames,
        source=source,
        absent=nowhere(rows),
        empty_codes=True,
        regions=_regions(lines),
    )
    return [annotation]


def _images(entry: pathlib.Path) -> pathlib.Path:
    colour = entry / "color"
    return colour if colour.is_dir() else entry


def _regions(lines: list[str]) -> tuple[Region, ...] | None:
    """Returns what the lines of a truth state, None if one is a mask."""
    if any(line.lstrip().startswith("m") for line in lines):
        return None
    each = (tuple(region_numbers(line)) for line in lines)
    return tuple(
        one if len(one) > 1 and np.isfinite(one).all() else NOWHERE for one in each
    )


def _xywh(file: pathlib.Path, number: int, line: str) -> list[float]:
    """Returns the box of one line."""
    require_length(file, number, line, most=_MASK_LENGTH)
    text = line.strip()
    # A mask is m<left>,<top>,<width>,<height>,<runs>; the rectangle around it is first.
    is_mask = text.startswith("m")
    values = region_numbers(text[1:] if is_mask else text)
    # The runs of a mask are of 0, of 1, of 0, ...
    ones = sum(values[5::2]) if len(values) > 4 else 1.0
    empty = is_mask and (values[2:4] == [0.0, 0.0] or ones == 0.0)
    if empty or (not is_mask and tuple(values) in CODES):
        return [float("nan")] * 4
    match len(values):
        case 4:
            return values
        case count if is_mask and count > 4:
            return values[:4]
        case count if count >= 6 and count % 2 == 0:
            if not np.isfinite(values).all():
                # Only a line of NaN means an absent target; others become infinite.
                return [float("nan" if np.isnan(values).all() else "inf")] * 4
            return upright_box(corners_of(tuple(values)))
    raise InputError(
        f"{file} line {number}: {text[:60]!r} is no rectangle, polygon or mask; "
        "correct the line."
    )


def upright_box(corners: Float[np.ndarray, "n 2"]) -> list[float]:
    """Returns x,y,w,h of the upright box that has a polygon's area.

    Args:
      corners: x and y of at least three corners, in order.

    Returns:
      A box centred at the corners' mean; its sides are those of the bounding box times
      sqrt(polygon's area / bounding box's area).
    """
    # Absurd corners overflow; the check of all boxes refuses theirs.
    with np.errstate(all="ignore"):
        area = polygon_area(corners)
        sides = corners.max(axis=0) - corners.min(axis=0)
        bounding = np.prod(sides)
        scale = np.sqrt(area / bounding) if bounding > 0.0 else 0.0
        low = corners.mean(axis=0) - 0.5 * scale * sides
        # Only a point is a code for a frame without truth; a line keeps its length.
        if area == 0.0 < sides.max():
            scale = np.array([1.0, 0.0] if sides[0] > 0.0 else [0.0, 1.0])
    box = np.concatenate([low, scale * sides])
    return np.where(np.isnan(box), np.inf, box).tolist()
