"""Parses JSON and refuses what no file of the package holds.

Python's parser also takes numbers that JSON has not, a key that comes twice, integers
of any length, and text that cannot be written again; and it gives up on deep nesting
with an error of its own.
"""

import json
import math
from typing import Any

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


def _check(values: Any) -> None:
    # Without recursion, which the depth of the values would decide.
    waiting = [(values, "", 0)]
    while waiting:
        value, where, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"nested over {MAX_DEPTH} deep")
        if isinstance(value, dict):
            inner = [(f"{where}.{name}", one) for name, one in value.items()]
            for name in value:
                _check_text(name, where)
        elif isinstance(value, list):
            inner = [(f"{where}[{i}]", one) for i, one in enumerate(value)]
        else:
            _check_leaf(value, where)
            continue
        waiting += [(one, name, depth + 1) for name, one in reversed(inner)]


def _check_leaf(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{_label(value, where)}: must be a finite number")
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise InputError(f"{_label(value, where)}: must have at most 64 bits")
    if isinstance(value, str):
        _check_text(value, where)


def _check_text(text: str, where: str) -> None:
    # Half a pair of UTF-16 cannot be written; bytes of file names that are no UTF-8,
    # which Python holds as such halves too, can.
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InputError(f"{_label(text, where)}: is no text") from None


def _label(value: Any, where: str) -> str:
    name = where.removeprefix(".")[:100]
    return f"{name}={shortened(value)}" if name else shortened(value)
