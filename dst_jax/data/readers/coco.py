"""The COCO layout, `instances.json` and `images/`: a box is a video of one frame."""

import dataclasses
import json
import os
import pathlib
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy as np

from dst_jax.data.checks.lint import DataFault, Finding, Problems
from dst_jax.data.image_file import require_file
from dst_jax.data.readers.annotation import Annotation, to_sequence
from dst_jax.data.readers.folders import name_on_disk, spellings_of
from dst_jax.data.readers.tables import decode_text
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.files import user_path
from dst_jax.typing import Float

_CROWD, _NO_AREA = "crowd annotation", "box without area"
_EMPTY = "image without an annotation"


@dataclasses.dataclass(frozen=True, slots=True)
class _Instances:
    """The parts of an instance file to which boxes refer."""

    path: pathlib.Path
    source: str
    images: dict[Any, dict[str, Any]]
    categories: dict[Any, str]
    on_disk: Mapping[str, str | None]
    frames_required: bool


def read_coco(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every usable annotation as a sequence of one frame.

    Crowds, boxes without area and images without a box are part of the published sets;
    they are left out and counted. All boxes of one image share its `video`.

    Args:
      root: Folder with `instances.json` and the folder `images`.
      frames_required: If False, images may be missing and `frames` is empty.
      problems: Receives all faults and what is left out; None raises the first fault.

    Returns:
      Sequences in the order of the file.

    Raises:
      InputError: If a file is missing, a record lacks a field, a box is not finite or
        lies outside its image, or nothing usable is left.
    """
    problems = problems or Problems()
    path = user_path(root) / "instances.json"
    content = _load(path)
    images = _images(path, content["images"], problems)
    instances = _Instances(
        path,
        f"coco:{root}",
        images,
        _categories(path, content.get("categories", []), problems),
        _on_disk(path.parent / "images", images.values() if frames_required else ()),
        frames_required,
    )
    sequences: list[Sequence] = []
    left_out: Counter[tuple[str, str]] = Counter()
    for number, record in enumerate(content["annotations"]):
        with problems.reading(f"annotation {_id(record, number)}"):
            found = _annotation(instances, record, number)
            if isinstance(found, Annotation):
                sequences.append(to_sequence(found, problems))
            else:
                left_out[found] += 1
    left_out["images", _EMPTY] = _unnamed(images, content["annotations"])
    problems.left_out.extend(
        Finding(what, count, why) for (what, why), count in left_out.items() if count
    )
    if not sequences and not problems.faults:
        raise InputError(f"{path} holds no usable box; annotate an image.")
    return tuple(sequences)


def _load(path: pathlib.Path) -> dict[str, Any]:
    require_file(path, "annotation")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); name the folder that holds "
            "instances.json."
        ) from error
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            decode_text(path, data)  # it names another encoding
        raise InputError(f"{path} is no JSON file ({error}); restore it.") from error
    for part in ("images", "annotations"):
        records = content.get(part) if isinstance(content, dict) else None
        if not isinstance(records, list):
            raise InputError(
                f"{path} has no list {part!r}; it is no COCO instance file."
            )
    return content


def _require_fields(path: pathlib.Path, where: str, record: Any, *names: str) -> None:
    """Raises InputError unless a record has the fields, with ids of number or text."""
    if not isinstance(record, dict):
        raise InputError(f"{path} {where} is no record; remove it.")
    if missing := [name for name in names if name not in record]:
        raise InputError(f"{path} {where} lacks {missing}; add them.")
    for name in (n for n in names if n.endswith("id")):
        value = record[name]
        if isinstance(value, bool) or not isinstance(value, int | str):
            shown = json.dumps(value)[:40]
            integral = isinstance(value, float) and value.is_integer()
            mend = f"write {value:.0f}" if integral else "correct it"
            raise InputError(
                f"{path} {where}: {name} {shown} is neither a whole number nor text; "
                f"{mend}."
            )


def _require_one_type(
    where: str, name: str, record: dict[str, Any], known: Container[Any]
) -> None:
    """Raises InputError if an id is text here and a number there."""
    value = record[name]
    if value in known:
        return
    other = str(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value):
        other = int(value)
    if other in known:
        raise InputError(
            f"{where}: {name} is {json.dumps(value)}, the record's id is "
            f"{json.dumps(other)}; write both as a number or both as text."
        )


def _images(
    path: pathlib.Path, records: list[Any], problems: Problems
) -> dict[Any, dict[str, Any]]:
    """Returns the records of images by id, without bad records and repeated ids."""
    found: dict[Any, dict[str, Any]] = {}
    twice: set[Any] = set()
    for number, record in enumerate(records):
        where = f"images[{number}]"
        with problems.reading(where):
            _require_image(path, where, record)
            if record["id"] in found:
                twice.add(record["id"])
                raise InputError(f"{path} {where}: id is taken; correct it.")
            found[record["id"]] = record
    return {key: image for key, image in found.items() if key not in twice}


def _require_image(path: pathlib.Path, where: str, record: Any) -> None:
    _require_fields(path, where, record, "id", "file_name", "width", "height")
    sides = (record["width"], record["height"])
    # No image has a side of 1e6 px, and a mistyped side must not overflow later.
    if not all(isinstance(n, int | float) and 0 < n < 1e6 for n in sides):
        raise InputError(f"{path} {where}: {sides} is no size; correct it.")
    if not isinstance(record["file_name"], str) or "\0" in record["file_name"]:
        raise InputError(f"{path} {where}: file_name is no name; correct it.")


def _categories(path: pathlib.Path, records: Any, problems: Problems) -> dict[Any, str]:
    if not isinstance(records, list):
        raise InputError(f"{path}: 'categories' is no list; restore the file.")
    found: dict[Any, str] = {}
    for number, record in enumerate(records):
        where = f"categories[{number}]"
        with problems.reading(where):
            _require_fields(path, where, record, "id", "name")
            found[record["id"]] = str(record["name"])
    return found


def _unnamed(images: Iterable[Any], records: Iterable[Any]) -> int:
    """Returns the number of images that have no annotation."""
    ids = (r.get("image_id") for r in records if isinstance(r, dict))
    used = {key for key in ids if isinstance(key, int | str)}
    return sum(image not in used for image in images)


def _on_disk(
    folder: pathlib.Path, images: Iterable[dict[str, Any]]
) -> dict[str, str | None]:
    """Returns the name on disk of every image, None if it is not there."""
    present = set(os.listdir(folder)) if folder.is_dir() else set[str]()
    spellings = spellings_of(present)
    found: dict[str, str | None] = {}
    for name in (image["file_name"] for image in images):
        # Names with a subfolder are not in the listing and are looked up one by one.
        there = name not in present and os.path.isfile(folder / name)
        found[name] = name if there else name_on_disk(name, present, spellings)
    return found


def _id(record: Any, number: int) -> Any:
    return record.get("id", number) if isinstance(record, dict) else number


def _xywh(record: dict[str, Any], where: str) -> Float[np.ndarray, "1 4"]:
    try:
        return np.array(record["bbox"], np.float64).reshape(1, 4)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: bbox is not 4 numbers; correct it.") from error


def _annotation(
    instances: _Instances, record: Any, number: int
) -> Annotation | tuple[str, str]:
    """Returns the annotation of one box, or its category and why it is left out."""
    path = instances.path
    fields = ("id", "image_id", "category_id", "bbox")
    _require_fields(path, f"annotations[{number}]", record, *fields)
    where = f"{path} annotation {record['id']}"
    _require_one_type(where, "category_id", record, instances.categories)
    category = instances.categories.get(record["category_id"], "")
    if record.get("iscrowd", 0):
        return category, _CROWD  # a crowd's box may be that of a mask
    xywh = _xywh(record, where)
    if (xywh[0, 2:] <= 0.0).any():
        return category, _NO_AREA
    image = instances.images.get(record["image_id"])
    if image is None:
        _require_one_type(where, "image_id", record, instances.images)
        raise DataFault(
            "missing frame",
            f"{where}: no image {record['image_id']!r}; remove the annotation.",
        )
    file = path.parent / "images" / image["file_name"]
    if instances.frames_required:
        name = instances.on_disk[image["file_name"]]
        if name is None:
            raise DataFault(
                "missing frame", f"{file}, named in {path}, does not exist; restore it."
            )
        file = file.parent / name
    return Annotation(
        name=f"{file.stem}-{record['id']}",
        file=path,
        xywh=xywh,
        frames=(str(file),) if instances.frames_required else None,
        source=instances.source,
        video=file.stem,
        category=category,
        size=(int(image["height"]), int(image["width"])),
        place=lambda _: where,
        mend="correct or remove the annotation",
    )
