"""Specs on disk: plain JSON and a stable identity."""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

from dst_jax.arch.spec import OMIT_DEFAULT, TrackerSpec
from dst_jax.errors import InputError


def spec_to_json(spec: TrackerSpec) -> dict[str, Any]:
    """Returns `spec` as JSON values: dicts, lists, numbers, strings, None.

    A field marked `OMIT_DEFAULT` is there only when it has another value.
    """
    return json.loads(json.dumps(_encode(spec)))


def spec_from_json(values: Mapping[str, Any]) -> TrackerSpec:
    """Reads back what `spec_to_json` wrote.

    Raises:
      InputError: If a field is unknown, missing or out of range; it names the field.
    """
    return _decode(TrackerSpec, values, "spec")


def spec_id(spec: TrackerSpec) -> str:
    """Returns the SHA-256 of the spec's sorted JSON, equal on every host."""
    text = json.dumps(spec_to_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(value: Any) -> Any:
    """Dataclasses as dicts of their fields, whatever tuples they stand in."""
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    held = {field.name: getattr(value, field.name) for field in _written(value)}
    return {name: _encode(item) for name, item in held.items()}


def _written(spec: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a spec that its JSON carries."""
    return [
        field
        for field in dataclasses.fields(spec)
        if field.metadata != OMIT_DEFAULT or getattr(spec, field.name) != field.default
    ]


def _decode(kind: Any, value: Any, where: str) -> Any:
    """Rebuilds a value of the annotated type `kind` from JSON."""
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType or origin is typing.Union:
        inner = [arg for arg in args if arg is not types.NoneType]
        return None if value is None else _decode(_which(inner, value), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where}={value!r}: expected a list.")
        kinds = [args[0]] * len(value) if args[-1] is ... else list(args)
        if len(kinds) != len(value):
            raise InputError(f"{where}={value!r}: expected {len(kinds)} values.")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(_decode(k, v, f"{where}[{i}]") for i, (k, v) in pairs)
    return _decode_scalar(kind, value, where)


def _which(kinds: list[Any], value: Any) -> Any:
    """The dataclass among `kinds` that has most of the value's fields."""

    def shared(kind: Any) -> int:
        return len({field.name for field in dataclasses.fields(kind)} & set(value))

    if len(kinds) == 1 or not isinstance(value, Mapping):
        return kinds[0]
    return max(kinds, key=shared)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}={value!r}: expected the fields of {kind.__name__}.")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(value) - set(fields)):
        raise InputError(
            f"{where}: unknown field {unknown[0]!r}; "
            f"{kind.__name__} has {', '.join(fields)}."
        )
    decoded = {
        name: _decode(hints[name], value[name], f"{where}.{name}") for name in value
    }
    try:
        return kind(**decoded)
    except TypeError as error:
        raise InputError(f"{where}: {error}.") from None


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            raise InputError(f"{where}={value!r}: expected {typing.get_args(kind)}.")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where}={value!r}: expected {kind.__name__}.")
    return value
