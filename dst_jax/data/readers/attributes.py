"""Reads which sequences have which attribute, such as occlusion.

Benchmarks publish them in tables whose columns have no names, in orders that differ.
Files that name them are read alone: `attributes.json` of one's own, and those of pysot,
which lie in the data set's folder, such as `OTB100.json`.
"""

import os
from collections.abc import Collection, Mapping
from typing import Any

from dst_jax.errors import InputError, shortened
from dst_jax.files import read_json, user_path

# The first that is there is read.
FILES = (
    "attributes.json",
    "OTB100.json",
    "OTB50.json",
    "CVPR13.json",
    "UAV123.json",
    "DTB70.json",
    "LaSOT.json",
    "LaSOText.json",
    "NFS30.json",
    "NFS240.json",
    "TC128.json",
)
_PYSOT = "attr"
_MOST_BYTES = 200_000_000  # pysot's hold all boxes too


def read_attributes(
    folder: str | os.PathLike[str], names: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Returns the sequences that have each attribute, by attribute.

    Args:
      folder: Folder of the data set.
      names: Names of its sequences; others in the file are left out.

    Returns:
      The mapping, empty if the folder has no such file.

    Raises:
      InputError: If the file is faulty.
    """
    root = user_path(folder)
    path = next((root / name for name in FILES if (root / name).is_file()), None)
    if path is None:
        return {}
    found: dict[str, list[str]] = {}
    for name, value in read_json(path, most_bytes=_MOST_BYTES).items():
        attributes: Any = value.get(_PYSOT) if isinstance(value, Mapping) else value
        if not isinstance(attributes, list) or not all(
            isinstance(one, str) for one in attributes
        ):
            raise InputError(
                f"{path}: {name}: {shortened(attributes)} is no list of attributes; "
                'give "SEQUENCE": ["occlusion", ...].'
            )
        for attribute in attributes if name in names else ():
            found.setdefault(attribute, []).append(name)
    return {name: tuple(sequences) for name, sequences in found.items()}
