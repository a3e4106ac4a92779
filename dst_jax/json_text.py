"""Parses JSON and refuses what no file of the package holds.

Python's parser also takes numbers that JSON has not, a key that comes twice, integers
of any length, and text that cannot be written again; and it gives up on deep nesting
with an error of its own.
"""

import json
import math
from typing import Any, TypeAlias

from dst_jax.errors import InputError, shortened

MAX_DEPTH = 64  # an experiment is 6 deep
MAX_INTEGER = 2**64


def parse_json(text: str | bytes) -> Any:
    """Returns the values of a JSON text.

    Args:
      text: The text; bytes are read as UTF-8.

    Raises:
      InputError: If it is no JSON, a number is not finite or beyond 64 bits, a key
        comes twice in one object, or the nesting is deep. It names the field.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        values = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise InputError(f"nested over {MAX_DEPTH} deep") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"not JSON ({error})") from None
    _check(values)
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {shortened(twice)} comes twice")
    return values


# The way to a value: that to what it lies in, and its key or number there.
_Way: TypeAlias = "tuple[Any, str | int] | None"


def _check(values: Any) -> None:
    # Without recursion, which the depth of the values would decide, and with names of
    # fields only where one is told: a file may hold a million values.
    waiting: list[tuple[Any, _Way, int]] = [([values], None, -1)]
    while waiting:
        owner, way, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"nested over {MAX_DEPTH} deep")
        inner = owner.items() if isinstance(owner, dict) else enumerate(owner)
        for name, one in inner:
            if isinstance(one, dict | list):
                waiting.append((one, (way, name), depth + 1))
            elif problem := _problem(one):
                raise InputError(f"{_label((way, name), one)}: {problem}")
            if isinstance(name, str) and _problem(name):
                raise InputError(f"{_label(way, name)}: {_problem(name)}")


def _problem(value: Any) -> str | None:
    """Returns what is wrong with a value that holds no others."""
    match value:
        case float() if not math.isfinite(value):
            return "must be a finite number"
        case int() if abs(value) >= MAX_INTEGER:
            return "must have at most 64 bits"
        case str() if not value.isascii():
            # Half a pair of UTF-16 cannot be written; bytes of file names that are no
            # UTF-8, which Python holds as such halves too, can.
            try:
                value.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                return "is no text"
    return None


def _label(way: _Way, value: Any) -> str:
    """Returns a field and its value, as "input.mean[2]=nan"."""
    parts: list[str | int] = []
    while way is not None:
        way, name = way
        parts.append(name)
    # The first is the list in which all values lie.
    names = [f"[{n}]" if isinstance(n, int) else f".{n}" for n in parts[-2::-1]]
    field = "".join(names).removeprefix(".")[:100]
    return f"{field}={shortened(value)}" if field else shortened(value)
