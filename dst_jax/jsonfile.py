"""JSON objects on disk: read with one line for what is wrong, written whole."""

import json
import os
import pathlib
from typing import Any

from dst_jax.errors import InputError


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
      InputError: If the file holds anything else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error}); mend or replace it.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object; mend or replace it.")
    return values


def write_json(path: pathlib.Path, values: Any) -> None:
    """Writes `values` with sorted keys: under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    text = json.dumps(values, indent=2, sort_keys=True)
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
