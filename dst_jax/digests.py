"""SHA-256 of bytes, files and JSON values."""

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any


def bytes_sha256(content: bytes) -> str:
    """Returns the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def parts_sha256(parts: Iterable[bytes]) -> str:
    """Returns the SHA-256 of parts one after another, which need not fit in memory."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of what a file holds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(values: Any) -> str:
    """Returns the SHA-256 of JSON values, whatever the order of their keys.

    Example:
      >>> json_sha256({"a": 1, "b": 2}) == json_sha256({"b": 2, "a": 1})
      True
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return bytes_sha256(text.encode())
