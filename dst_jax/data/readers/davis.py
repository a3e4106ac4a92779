"""The DAVIS layout (and YouTube-VOS's): a mask image per frame, objects by number.

JPEGImages/480p/NAME/00000.jpg ...    frames; the folder of the resolution is optional
Annotations/480p/NAME/00000.png ...   palette or grey images: 0 is background, the
                                      others number the objects, 255 is "no matter"
"""

import functools
import os
import pathlib
import struct

import numpy as np

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.image_file import read_pixels
from dst_jax.data.image_header import PNG_SIGNATURE
from dst_jax.data.readers.annotation import Annotation, nowhere, read_each, require_any
from dst_jax.data.readers.folders import (
    folder_of,
    frames_in,
    require_annotated,
    subfolders,
)
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.typing import Int

_VOID = 255


def read_davis(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every object of every video; its box is the bounding box of its pixels.

    A video of several objects gives `NAME-1`, `NAME-2` and so on; a video of a single
    object gives `NAME`. Where an object has no pixel it is absent. The value 255 marks
    pixels of no object, unless it is the only value besides 0 (DAVIS-2016). Frames
    without a mask file, which YouTube-VOS has between annotated ones, are left out and
    counted.

    Args:
      root: Folder with `JPEGImages` and `Annotations`.
      frames_required: If False, only the masks are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences, in the order of names.

    Raises:
      InputError: At the first file that is missing or is no mask, or if a video has
        frames but no mask.
    """
    folder = folder_of(root, "DAVIS")
    problems = problems or Problems()
    source = f"davis:{root}"
    masks = _resolution(folder / "Annotations")
    read = functools.partial(
        _annotations,
        images=_resolution(folder / "JPEGImages") if frames_required else None,
        source=source,
        problems=problems,
    )
    found = read_each(subfolders(masks), read, problems)
    if frames_required:
        videos = subfolders(_resolution(folder / "JPEGImages"))
        require_annotated(((v.name, v, masks / v.name) for v in videos), problems)
    return require_any(found, problems, root, "Annotations/NAME/00000.png")


def _resolution(folder: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the videos: of some resolution, or `folder` itself."""
    known = ("480p", "Full-Resolution", "1080p")
    return next((folder / k for k in known if (folder / k).is_dir()), folder)


def _annotations(
    entry: pathlib.Path,
    *,
    images: pathlib.Path | None,
    source: str,
    problems: Problems,
) -> list[Annotation]:
    files = frames_in(entry)
    boxes, size = _boxes(files)
    frames = None
    if images is not None:
        found = {pathlib.PurePath(p).stem: p for p in frames_in(images / entry.name)}
        stems = [pathlib.PurePath(p).stem for p in files]
        if lost := next((stem for stem in stems if stem not in found), None):
            raise DataFault(
                "missing frame",
                f"{images / entry.name} has no frame {lost} for its mask; restore it.",
            )
        frames = tuple(found[stem] for stem in stems)
        if others := len(found) - len(frames):
            reason = "frame without a mask"
            problems.left_out.append(Finding(entry.name, others, reason))
    if not boxes:
        raise InputError(f"{entry} marks no object in any frame; leave it out.")
    return [
        Annotation(
            name=entry.name if len(boxes) == 1 else f"{entry.name}-{number}",
            file=entry,
            xywh=xywh,
            frames=frames,
            source=source,
            video=entry.name,
            absent=nowhere(xywh),
            size=size,
            place=lambda row: files[row],
        )
        for number, xywh in boxes.items()
    ]


def _boxes(
    files: tuple[str, ...],
) -> tuple[dict[int, np.ndarray], tuple[int, int] | None]:
    """Returns every object's x,y,w,h [t, 4], NaN where absent, and the masks' size."""
    found: dict[int, np.ndarray] = {}
    size: tuple[int, int] | None = None
    for time, file in enumerate(files):
        mask = read_mask(file)
        size = size or (mask.shape[0], mask.shape[1])
        if mask.shape != size:
            raise DataFault(
                "frame of another size",
                f"mask {file} has {mask.shape[1]}x{mask.shape[0]} px, the first one "
                f"{size[1]}x{size[0]}; restore it.",
            )
        for number in np.unique(mask).tolist():
            empty = np.full((len(files), 4), np.nan)
            rows, columns = np.nonzero(mask == number)
            low = columns.min(), rows.min()
            sides = columns.max() + 1 - low[0], rows.max() + 1 - low[1]
            found.setdefault(number, empty)[time] = (*low, *sides)
    objects = {n: found[n] for n in sorted(found) if n not in (0, _VOID)}
    if not objects and _VOID in found:
        objects = {_VOID: found[_VOID]}
    return objects, size


def read_mask(path: str | os.PathLike[str]) -> Int[np.ndarray, "h w"]:
    """Reads the object numbers of a palette or grey PNG file.

    OpenCV gives a palette's colours and not its indices, which are looked up again.

    Raises:
      InputError: If the file is missing, truncated or has colours without a palette.
    """
    pixels, header = read_pixels(path, "mask")
    if header.kind != "PNG":
        raise DataFault(
            "unreadable frame", f"mask {path} is a {header.kind} image; save it as PNG."
        )
    if pixels.ndim == 2:
        return pixels.astype(np.int64)
    palette = _palette(pathlib.Path(path).read_bytes())
    if palette is None:
        raise InputError(
            f"mask {path} has colours and no palette; save it as a palette image."
        )
    blue, green, red = (pixels[..., c].astype(np.int64) for c in range(3))
    codes = (red << 16) | (green << 8) | blue
    table = np.zeros(1 << 24, np.uint8)
    # If two entries are equal, the first one counts, as for every reader of colours.
    for index in range(len(palette) - 1, -1, -1):
        table[palette[index]] = index
    return table[codes].astype(np.int64)


def _palette(data: bytes) -> list[int] | None:
    """Returns the colours of the PLTE chunk as 0xRRGGBB, or None without the chunk."""
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"PLTE":
            body = data[position + 8 : position + 8 + length]
            triples = zip(body[0::3], body[1::3], body[2::3], strict=False)
            return [(r << 16) | (g << 8) | b for r, g, b in triples]
        position += 12 + length
    return None
