"""The layouts of ImageNet VID and DET: one XML file per image, below two folders.

Data/VID/train/SET/SNIPPET/000000.JPEG          frames
Annotations/VID/train/SET/SNIPPET/000000.xml    size, and per object: trackid, name,
                                                bndbox, occluded
Data/DET/train/SET/IMAGE.JPEG, Annotations/DET/train/SET/IMAGE.xml: the same, no trackid

Corners are 0-based pixel indices, the last one included: a box that spans an image of
1280 px has xmin 0 and xmax 1279.
"""

import os
import pathlib
from collections.abc import Container, Iterator

import numpy as np

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.frames import frame_paths, image_names
from dst_jax.data.readers.annotation import (
    Annotation,
    nowhere,
    numbers_of,
    read_each,
    require_any,
)
from dst_jax.data.readers.folders import folder_of, require_annotated, subfolders
from dst_jax.data.readers.xml_tree import Element, read_xml
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

_MEND = "correct the file, or take the image out of both folders"


def read_vid(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every track of every snippet as `SNIPPET-TRACKID`.

    In frames without the track's object the target is absent. A target that is marked
    occluded, which in this set means partly occluded, stays visible. Snippets without
    any object are left out and counted. Sets of `Data` for which `Annotations` has no
    folder, such as the published test set, are passed over.

    Args:
      root: Folder with `Annotations` and `Data` (the archive's ILSVRC or ILSVRC2015).
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences, snippets in the order of paths; the category is the synset's number.

    Raises:
      InputError: At the first missing file, file that is no annotation, or bad box.
    """
    problems = problems or Problems()
    folder = folder_of(root, "ImageNet VID")
    files = _xml_files(folder, "VID")
    snippets = list(dict.fromkeys(file.parent for file in files))

    def read(snippet: pathlib.Path) -> list[Annotation]:
        found = _tracks(snippet, folder, f"vid:{root}", frames_required)
        if not found:
            count = sum(1 for _ in snippet.glob("*.xml"))
            reason = "frame of a snippet without an object"
            problems.left_out.append(Finding(snippet.name, count, reason))
        return found

    found = read_each(snippets, read, problems)
    if frames_required:
        require_annotated(_unannotated(folder, set(snippets)), problems)
    return require_any(found, problems, root, "Annotations/VID/SET/SNIPPET/000000.xml")


def read_det(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every object of every image as a sequence of one frame, `IMAGE-NUMBER`.

    Images without an object, or without a file of annotations, are part of the set;
    they are left out and counted.

    Args:
      root: Folder with `Annotations` and `Data`.
      frames_required: If False, only the boxes are read and `frames` is empty.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences, images in the order of paths; the category is the synset's number.

    Raises:
      InputError: At the first missing file, file that is no annotation, or bad box.
    """
    problems = problems or Problems()
    folder = folder_of(root, "ImageNet DET")
    empty: list[pathlib.Path] = []

    def read(file: pathlib.Path) -> list[Annotation]:
        found = _objects(file, folder, f"det:{root}", frames_required)
        if not found:
            empty.append(file)
        return found

    files = _xml_files(folder, "DET")
    sequences = read_each(files, read, problems, name_of=lambda file: file.stem)
    without = {"image without an object": len(empty)}
    if frames_required:
        known = {file.with_suffix("") for file in files}
        images = (i.with_suffix("") for i in _images(folder, "DET"))
        without["image without an annotation"] = sum(i not in known for i in images)
    for reason, count in without.items():
        if count:
            problems.left_out.append(Finding("DET", count, reason))
    expected = "Annotations/DET/SET/IMAGE.xml with an object"
    return require_any(sequences, problems, root, expected)


def _xml_files(folder: pathlib.Path, part: str) -> list[pathlib.Path]:
    return sorted((folder / "Annotations" / part).rglob("*.xml"))


def _images(folder: pathlib.Path, part: str) -> Iterator[pathlib.Path]:
    """Yields the images of annotated sets, with paths as if in `Annotations`."""
    for annotated in subfolders(folder / "Annotations" / part):
        images = folder / "Data" / part / annotated.name
        for below, _, _ in os.walk(images):
            place = annotated / pathlib.Path(below).relative_to(images)
            yield from (place / name for name in image_names(below))


def _unannotated(
    folder: pathlib.Path, known: Container[pathlib.Path]
) -> Iterator[tuple[str, pathlib.Path, pathlib.Path]]:
    """Yields snippets that have only images: name, frames and first missing file."""
    first: dict[pathlib.Path, pathlib.Path] = {}
    for image in _images(folder, "VID"):
        if image.parent not in known:
            first[image.parent] = min(image, first.get(image.parent, image))
    for snippet, image in first.items():
        frames = folder / "Data" / snippet.relative_to(folder / "Annotations")
        yield snippet.name, frames, image.with_suffix(".xml")


def _tracks(
    snippet: pathlib.Path, folder: pathlib.Path, source: str, frames_required: bool
) -> list[Annotation]:
    files = sorted(snippet.glob("*.xml"))
    boxes: dict[str, np.ndarray] = {}
    categories: dict[str, str] = {}
    size = (0, 0)
    for time, file in enumerate(files):
        tree = read_xml(file)
        size = _size(tree, file)
        for number, found in enumerate(tree.findall("object")):
            track = found.findtext("trackid") or ""
            rows = boxes.setdefault(track, np.full((len(files), 4), np.nan))
            if not track.strip() or not np.isnan(rows[time]).all():
                raise InputError(
                    f"{file}: object {number} has no trackid of its own; correct it."
                )
            rows[time] = _xywh(found, file)
            categories.setdefault(track, found.findtext("name") or "")
    frames = _frames(folder, snippet, files) if frames_required else None
    return [
        Annotation(
            name=f"{snippet.name}-{track.strip()}",
            file=snippet,
            xywh=xywh,
            frames=frames,
            source=source,
            video=snippet.name,
            absent=nowhere(xywh),
            category=categories[track],
            size=size,
            place=lambda row: str(files[row]),
            mend=_MEND,
        )
        for track, xywh in boxes.items()
    ]


def _frames(
    folder: pathlib.Path, snippet: pathlib.Path, files: list[pathlib.Path]
) -> tuple[str, ...]:
    """Returns the images of XML files, one for each image of the folder.

    Raises:
      DataFault: If an image or an XML file has no counterpart.
    """
    images = folder / "Data" / snippet.relative_to(folder / "Annotations")
    try:
        found = {pathlib.PurePath(p).stem: p for p in frame_paths(images)}
    except InputError as error:
        kind = getattr(error, "kind", "missing frame")
        raise DataFault(kind, str(error)) from None
    stems = [file.stem for file in files]
    for stem in stems:
        if stem not in found:
            raise DataFault(
                "missing frame", f"{images} has no image {stem}; restore it."
            )
    if surplus := sorted(set(found).difference(stems)):
        raise DataFault(
            "missing annotation",
            f"{snippet} has no {surplus[0]}.xml for its image; restore it.",
        )
    return tuple(found[stem] for stem in stems)


def _objects(
    file: pathlib.Path, folder: pathlib.Path, source: str, frames_required: bool
) -> list[Annotation]:
    tree = read_xml(file)
    objects = tree.findall("object")
    size = _size(tree, file) if objects else None
    below = file.relative_to(folder / "Annotations")
    image = (folder / "Data" / below).with_suffix(".JPEG")
    if objects and frames_required and not image.is_file():
        raise DataFault("missing frame", f"{image} does not exist; restore it.")
    return [
        Annotation(
            name=f"{file.stem}-{number}",
            file=file,
            xywh=np.array([_xywh(found, file)]),
            frames=(str(image),) if frames_required else None,
            source=source,
            video=file.stem,
            category=found.findtext("name") or "",
            size=size,
            place=lambda _: str(file),
            mend=_MEND,
        )
        for number, found in enumerate(objects)
    ]


def _size(tree: Element, file: pathlib.Path) -> tuple[int, int]:
    """Returns the (height, width) that the file gives.

    Raises:
      InputError: If it gives none, or an impossible one.
    """
    sides = ("size/height", "size/width")
    texts = {side: tree.findtext(side) for side in sides}
    height, width = numbers_of(texts, str(file))
    if not (0.0 < height < 1e6 and 0.0 < width < 1e6):
        raise InputError(f"{file}: size {width:g}x{height:g} px; correct it.")
    return int(height), int(width)


def _xywh(found: Element, file: pathlib.Path) -> list[float]:
    """Returns left, top, width and height; the box includes the last corner's pixel."""
    corners = ("bndbox/xmin", "bndbox/ymin", "bndbox/xmax", "bndbox/ymax")
    texts = {corner: found.findtext(corner) for corner in corners}
    left, top, right, bottom = numbers_of(texts, str(file))
    return [left, top, right + 1.0 - left, bottom + 1.0 - top]
