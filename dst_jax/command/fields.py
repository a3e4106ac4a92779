"""Makes options of the fields of nested frozen settings.

A field is an option `--section.field VALUE`; a field of settings within settings has a
longer path. Settings in a mapping are called by their keys. tyro parses the options,
with the settings of a configuration as defaults.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import docstring_parser
import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
)

from dst_jax.command.parsing import parse
from dst_jax.errors import InputError

REGISTRY = ConstructorRegistry()
# Said of an option that exists, but not with the terms of this configuration.
LACKS = ", of a term that this configuration (or its --row) lacks"
# This annotates a mapping whose own name does not appear in the names of options.
_UNNAMED = tyro.conf.arg(name="")


class Field(NamedTuple):
    """One field as an option.

    Attributes:
      name: Name "section.field", without dashes.
      value: Current value.
      help: Description in the docstring of the field's class, or "".
    """

    name: str
    value: Any
    help: str


def fields_of(settings: Mapping[str, Any]) -> Iterator[Field]:
    """Yields every field of named settings, and of all settings within them."""
    for name, value in settings.items():
        yield from _fields(Field(name, value, ""))


def _fields(field: Field) -> Iterator[Field]:
    """Yields the field itself, or the fields of the settings in it."""
    if isinstance(field.value, Mapping):
        for key, value in field.value.items():
            yield from _fields(Field(f"{field.name}.{key}", value, field.help))
    elif dataclasses.is_dataclass(field.value):
        kind = type(field.value)
        hints, help_of = typing.get_type_hints(kind, include_extras=True), _help(kind)
        for part in filter(lambda part: part.init, dataclasses.fields(field.value)):
            unnamed = _UNNAMED in getattr(hints[part.name], "__metadata__", ())
            name = field.name if unnamed else f"{field.name}.{part.name}"
            value = getattr(field.value, part.name)
            kinds = typing.get_args(hints[part.name])
            if value is None and any(map(dataclasses.is_dataclass, kinds)):
                # Settings that are absent have no fields to give.
                continue
            yield from _fields(Field(name, value, help_of.get(part.name, "")))
    else:
        yield field


def _help(kind: type) -> dict[str, str]:
    """Returns the descriptions of fields of a class and its parents, a line each."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        for entry in docstring_parser.parse(cls.__doc__ or "").params:
            found[entry.arg_name] = " ".join((entry.description or "").split())
    return found


def override(
    settings: Mapping[str, Any],
    words: Sequence[str],
    *,
    renamed: Mapping[str, str],
    also: Iterable[str] = (),
) -> dict[str, Any]:
    """Returns settings with new values for the fields that `words` name.

    Settings are checked once, with all of their new values. Those that do not change
    remain the same objects.

    Args:
      settings: Frozen dataclasses by section.
      words: Words `--section.field VALUE [VALUE ...]`, fields in any order.
      renamed: New names of renamed fields by their old names, as the error states them.
      also: Further options, among which the error looks for similar names.

    Raises:
      InputError: If a field is unknown or a value unfit.
    """
    sections = dataclasses.make_dataclass(
        "Sections", [(name, type(value)) for name, value in settings.items()]
    )
    parsed, strange = parse(
        sections,
        words,
        default=sections(**settings),
        registry=REGISTRY,
        config=(tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands),
        use_underscores=True,
        add_help=False,
    )
    if strange:
        known = [*also, *(field.name for field in fields_of(settings))]
        refuse_unknown(strange, known, help_of="config show CONFIG", renamed=renamed)
    return {name: _kept(settings[name], getattr(parsed, name)) for name in settings}


def _kept(old: Any, new: Any) -> Any:
    """Returns `new` with every part that is equal in `old` taken from `old`."""
    if old == new:
        return old
    if isinstance(old, Mapping):
        return {key: _kept(old.get(key), value) for key, value in new.items()}
    if not dataclasses.is_dataclass(old):
        return new
    names = [field.name for field in dataclasses.fields(old) if field.init]
    parts = {name: _kept(getattr(old, name), getattr(new, name)) for name in names}
    return dataclasses.replace(old, **parts)  # pyright: ignore[reportArgumentType]


def refuse_unknown(
    words: Sequence[str],
    known: Iterable[str],
    *,
    help_of: str,
    renamed: Mapping[str, str] = types.MappingProxyType({}),
) -> typing.NoReturn:
    """Raises an error that names the first of `words` and a similar option.

    Args:
      words: Words that belong to no option.
      known: Names of all options, without dashes.
      help_of: Words after `dst-jax` that show help.
      renamed: The argument of `override`.

    Raises:
      InputError: Always.
    """
    given = words[0].partition("=")[0]
    if not given.startswith("--"):
        raise InputError(f"{given!r}: unexpected; see dst-jax {help_of}.")
    name = given[2:].replace("-", "_")
    spelled = {option.replace("-", "_"): option for option in known}
    if name in renamed:
        now = re.findall(r"--([\w.]+)", renamed[name])
        lacks = "" if all(option in spelled for option in now) else LACKS
        raise InputError(f"{given}: is now {renamed[name]}{lacks}.")
    # A user who gives only the last part of a field's name means that field.
    near = [option for key, option in spelled.items() if key.endswith(f".{name}")]
    near += [spelled[k] for k in difflib.get_close_matches(name, spelled, n=1)]
    hint = f"did you mean --{near[0]}?" if near else f"see dst-jax {help_of}."
    raise InputError(f"{given}: unknown; {hint}")


@REGISTRY.primitive_rule
def read_bool(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[bool] | None:
    """Returns tyro's rule for booleans: "true", "false", or no value for true."""
    if info.type is not bool:
        return None
    spelled = {(): True, ("true",): True, ("false",): False}

    def read(words: list[str]) -> bool:
        lower = tuple(word.lower() for word in words)
        if lower not in spelled:
            raise ValueError("neither true nor false")
        return spelled[lower]

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="true or false",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, bool),
        str_from_instance=lambda value: [str(value).lower()],
    )


@REGISTRY.primitive_rule
def read_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[None] | None:
    """Returns tyro's rule for None, which is spelled "none"."""
    if info.type is not type(None):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="none",
        choices=("none", "None"),
        instance_from_str=lambda _: None,
        is_instance=lambda value: value is None,
        str_from_instance=lambda _: ["none"],
    )
