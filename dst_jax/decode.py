"""Frozen dataclasses as JSON values, and back; nothing that is read is executed.

A class that shares a field with others of a union may declare `KIND: ClassVar[str]`.
Its JSON then carries "kind", and reading chooses by it. Without one the class is
chosen that has most of the value's fields.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from dst_jax.errors import InputError, shortened

# Metadata of a field that JSON leaves out while it has its default: so a class that
# gains a field keeps the identities of its older values.
OMIT_DEFAULT: Mapping[str, bool] = types.MappingProxyType({"omit_default": True})

# Of a list: the longest of the package are the stages of a network.
MAX_ITEMS = 10_000


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
            raise InputError(f"{where}={shortened(value)}: expected a list.")
        if len(value) > MAX_ITEMS:
            raise InputError(
                f"{where}: {len(value):,} values; there may be {MAX_ITEMS:,}."
            )
        kinds = [args[0]] * len(value) if args[-1] is ... else list(args)
        if len(kinds) != len(value):
            raise InputError(
                f"{where}={shortened(value)}: expected {len(kinds)} values."
            )
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
    if len(kinds) == 1:
        return kinds[0]
    classes: list[Any] = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    if not isinstance(value, Mapping) or not classes:
        # Whether a list or a plain value fits, its own check says.
        other = [kind for kind in kinds if kind not in classes]
        same = [kind for kind in other if type(value) is kind]
        if not other:
            names = " or ".join(kind.__name__ for kind in classes)
            raise InputError(f"{where}={shortened(value)}: expected fields of {names}.")
        return (same or other)[0]
    named = {getattr(kind, "KIND", None): kind for kind in classes}
    if "kind" in value:
        if not isinstance(value["kind"], str) or value["kind"] not in named:
            known = ", ".join(name for name in named if name)
            shown = shortened(value["kind"])
            raise InputError(f"{where}.kind={shown}: there is {known or 'none'}.")
        return named[value["kind"]]

    def shared(kind: Any) -> int:
        return len({field.name for field in _fields(kind)} & set(value))

    unnamed = [kind for kind in classes if getattr(kind, "KIND", None) is None]
    return max(unnamed or classes, key=shared)


# Evaluating the annotations of a class takes longer than all else.
_hints = functools.cache(typing.get_type_hints)


def _dataclass(kind: Any, value: Any, where: str, complete: bool) -> Any:
    name_of_kind = kind.__name__
    if not isinstance(value, Mapping):
        shown = shortened(value)
        raise InputError(f"{where}={shown}: expected the fields of {name_of_kind}.")
    if (own := getattr(kind, "KIND", None)) is not None:
        if value.get("kind", own) != own:
            shown = shortened(value["kind"])
            raise InputError(f"{where}.kind={shown}: expected {own!r}.")
        value = {name: one for name, one in value.items() if name != "kind"}
    hints = _hints(kind)
    names = [field.name for field in _fields(kind)]
    known = f"{name_of_kind} has {', '.join(names)}"
    if unknown := sorted(set(value) - set(names)):
        raise InputError(f"{where}: unknown field {shortened(unknown[0])}; {known}.")
    missing = [n for n in _needed(kind, complete=complete) if n not in value]
    if missing:
        raise InputError(f"{where}: field {missing[0]!r} is missing; {known}.")
    decoded = {
        name: from_json(hints[name], value[name], f"{where}.{name}", complete=complete)
        for name in value
    }
    try:
        return kind(**decoded)
    except InputError as error:
        # Its message begins with the class, which does not say which one of a list.
        if where == name_of_kind or str(error).startswith(where):
            raise
        raise InputError(f"{where}: {error}") from None


def _needed(kind: Any, *, complete: bool) -> list[str]:
    """The fields that JSON must hold: all but optional ones, or those of no default."""
    without = dataclasses.MISSING
    return [
        field.name
        for field in _fields(kind)
        if (
            not field.metadata.get("omit_default")
            if complete
            else field.default is without and field.default_factory is without
        )
    ]


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        known = typing.get_args(kind)
        if not any(type(value) is type(word) and value == word for word in known):
            raise InputError(f"{where}={shortened(value)}: expected {known}.")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise InputError(f"{where}={shortened(value)}: must be finite.") from None
    if type(value) is not kind:
        raise InputError(f"{where}={shortened(value)}: expected {kind.__name__}.")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{where}={value!r}: must be finite.")
    return value
