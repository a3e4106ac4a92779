"""The COCO layout, `instances.json` and `images/`: a box is a video of one frame."""

import json
import os
import pathlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from dst_jax.data.lint import Finding, LintReport
from dst_jax.data.readers.tables import checked_boxes
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.typing import Float

_Record = dict[str, Any]
_CROWD, _NO_AREA = "crowd annotation", "box without area"


def read_coco(
    root: str | os.PathLike[str], *, frames_required: bool = True
) -> tuple[Sequence, ...]:
    """The sequences of `read_coco_with_report`, without the report."""
    return read_coco_with_report(root, frames_required=frames_required)[0]


def read_coco_with_report(
    root: str | os.PathLike[str], *, frames_required: bool = True
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads every usable annotation as a sequence of one frame.

    Crowds and boxes without area are part of the published sets: they are left out and
    counted. All boxes of one image share its `video`.

    Args:
      root: Holds `instances.json` and the folder `images`.
      frames_required: If False, images may be missing and `frames` is empty.

    Returns:
      Sequences in the order of the file, and what was left out, per category.

    Raises:
      InputError: If a file is missing, a record lacks a field, a box is not finite or
        lies outside its image, or nothing usable is left.
    """
    folder = pathlib.Path(root)
    path = folder / "instances.json"
    images, annotations, categories = _load(path)
    if frames_required:
        _require_images(folder / "images", images.values(), path)
    sequences: list[Sequence] = []
    left_out: Counter[tuple[str, str]] = Counter()
    for record in annotations:
        category = categories.get(record["category_id"], "")
        reason = _reason_to_leave_out(record, path)
        if reason:
            left_out[category, reason] += 1
            continue
        image = images.get(record["image_id"])
        if image is None:
            raise InputError(
                f"{path} annotation {record['id']}: no image {record['image_id']}; "
                "remove the annotation."
            )
        file = folder / "images" / image["file_name"] if frames_required else None
        sequences.append(
            _one_frame(record, image, category, path, file, f"coco:{root}")
        )
    if not sequences:
        raise InputError(f"{path} holds no usable box; annotate an image.")
    found = (Finding(c, n, reason) for (c, reason), n in left_out.items())
    return tuple(sequences), LintReport(tuple(found), len(sequences), len(sequences))


def _load(
    path: pathlib.Path,
) -> tuple[dict[Any, _Record], list[_Record], dict[Any, str]]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); name the folder that holds "
            "instances.json."
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON file ({error}); restore it.") from error
    fields = {
        "images": ("id", "file_name", "width", "height"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
    }
    for part, names in fields.items():
        records = content.get(part) if isinstance(content, dict) else None
        if not isinstance(records, list):
            raise InputError(
                f"{path} has no list {part!r}; it is no COCO instance file."
            )
        for number, record in enumerate(records):
            missing = [n for n in names if n not in record]
            if missing:
                raise InputError(f"{path} {part}[{number}] lacks {missing}; add them.")
    images = {image["id"]: image for image in content["images"]}
    categories = {c["id"]: str(c["name"]) for c in content.get("categories", ())}
    return images, content["annotations"], categories


def _require_images(
    folder: pathlib.Path, images: Iterable[_Record], path: pathlib.Path
) -> None:
    present = set(os.listdir(folder)) if folder.is_dir() else set[str]()
    for image in images:
        # Names with a subfolder are not in the listing and are looked up one by one.
        name = str(image["file_name"])
        if name not in present and not (folder / name).is_file():
            raise InputError(
                f"{folder / name}, named in {path}, does not exist; restore the image."
            )


def _xywh(record: _Record, path: pathlib.Path) -> Float[np.ndarray, "1 4"]:
    try:
        return np.array(record["bbox"], np.float64).reshape(1, 4)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} annotation {record['id']}: bbox is not 4 numbers; correct it."
        ) from error


def _reason_to_leave_out(record: _Record, path: pathlib.Path) -> str:
    if record.get("iscrowd", 0):
        return _CROWD  # its box may be a mask's
    return _NO_AREA if (_xywh(record, path)[0, 2:] <= 0.0).any() else ""


def _one_frame(
    record: _Record,
    image: _Record,
    category: str,
    path: pathlib.Path,
    file: pathlib.Path | None,
    source: str,
) -> Sequence:
    where = f"{path} annotation {record['id']}"
    size = (int(image["height"]), int(image["width"]))
    boxes = checked_boxes(
        _xywh(record, path),
        absent=np.zeros(1, bool),
        size=size,
        origin=0.0,
        where=lambda _: where,
        mend="correct or remove the annotation",
    )
    stem = pathlib.PurePath(str(image["file_name"])).stem
    return Sequence(
        name=f"{stem}-{record['id']}",
        video=stem,
        frames=() if file is None else (str(file),),
        boxes=boxes,
        visible=np.ones(1, bool),
        category=category,
        source=source,
        size=size,
    )
