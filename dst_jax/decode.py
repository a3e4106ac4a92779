"""Frozen dataclasses as JSON values, and back; nothing that is read is executed.

A class that shares a field with others of a union may declare `KIND: ClassVar[str]`.
Its JSON then carries "kind", and reading chooses by it. Without one the class is
chosen that has most of the value's fields.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from dst_jax.errors import InputError

# Metadata of a field that JSON leaves out while it has its default: so a class that
# gains a field keeps the identities of its older values.
OMIT_DEFAULT: Mapping[str, bool] = types.MappingProxyType({"omit_default": True})


def to_json(value: Any) -> Any:
    """Returns a dataclass as JSON values: dicts, lists, numbers, strings, None."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in _written(value)}
        kind = getattr(value, "KIND", None)
        return fields if kind is None else {"kind": kind, **fields}
    if isinstance(value, Mapping):
        return {str(name): to_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    return value


def from_json(kind: Any, value: Any, where: str, *, complete: bool = False) -> Any:
    """Returns a value of the annotated type `kind` rebuilt from JSON.

    Args:
      kind: A dataclass, or what a field of one is annotated with.
      value: JSON values.
      where: Name of the value, for messages.
      complete: Whether every field must be there, those with a default too.

    Raises:
      InputError: If a field is unknown, missing, not finite or out of range; it names
        the field.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where, complete)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType or origin is typing.Union:
        inner = [arg for arg in args if arg is not types.NoneType]
        if value is None and len(inner) < len(args):
            return None
        return from_json(_which(inner, value, where), value, where, complete=complete)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where}={value!r}: expected a list.")
        kinds = [args[0]] * len(value) if args[-1] is ... else list(args)
        if len(kinds) != len(value):
            raise InputError(f"{where}={value!r}: expected {len(kinds)} values.")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(from_json(k, v, f"{where}[{i}]") for i, (k, v) in pairs)
    return _scalar(kind, value, where)


def _fields(owner: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(owner)


def _written(value: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a value that its JSON carries."""
    return [
        field
        for field in _fields(value)
        if not field.metadata.get("omit_default")
        or getattr(value, field.name) != field.default
    ]


def _which(kinds: list[Any], value: Any, where: str) -> Any:
    """The class of a union that the value's kind names, or its fields speak for."""
    if len(kinds) == 1 or not isinstance(value, Mapping):
        return kinds[0]
    named = {getattr(kind, "KIND", None): kind for kind in kinds}
    if "kind" in value:
        if not isinstance(value["kind"], str) or value["kind"] not in named:
            known = ", ".join(name for name in named if name)
            raise InputError(f"{where}.kind={value['kind']!r}: there is {known}.")
        return named[value["kind"]]

    def shared(kind: Any) -> int:
        return len({field.name for field in _fields(kind)} & set(value))

    unnamed = [kind for kind in kinds if getattr(kind, "KIND", None) is None]
    return max(unnamed or kinds, key=shared)


def _dataclass(kind: Any, value: Any, where: str, complete: bool) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}={value!r}: expected the fields of {kind.__name__}.")
    if (own := getattr(kind, "KIND", None)) is not None:
        if value.get("kind", own) != own:
            raise InputError(f"{where}.kind={value['kind']!r}: expected {own!r}.")
        value = {name: one for name, one in value.items() if name != "kind"}
    hints = typing.get_type_hints(kind)
    names = [field.name for field in _fields(kind)]
    known = f"{kind.__name__} has {', '.join(names)}"
    if unknown := sorted(set(value) - set(names)):
        raise InputError(f"{where}: unknown field {unknown[0]!r}; {known}.")
    optional = [f.name for f in _fields(kind) if f.metadata.get("omit_default")]
    missing = [name for name in names if name not in (*value, *optional)]
    if complete and missing:
        raise InputError(f"{where}: field {missing[0]!r} is missing; {known}.")
    decoded = {
        name: from_json(hints[name], value[name], f"{where}.{name}", complete=complete)
        for name in value
    }
    try:
        return kind(**decoded)
    except TypeError as error:
        raise InputError(f"{where}: {error}.") from None


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            raise InputError(f"{where}={value!r}: expected {typing.get_args(kind)}.")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{where}={value!r}: expected {kind.__name__}.")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{where}={value!r}: must be finite.")
    return value
