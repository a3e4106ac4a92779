"""Parses the command line with tyro and turns its errors into one line.

tyro prints an error as a panel of many lines and exits. Its public interface (seen in
1.0.17) has no other way to learn of a missing option or an unfit value:
`console_outputs=False` drops the panel and says nothing, and `return_unknown_args=True`
returns unknown words only if nothing is missing. So this module listens to the private
`tyro._errors`, which exists since 1.0.14. Where it is missing or its events differ,
tyro prints its panel and exits with 2.
"""

import contextlib
import difflib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import tyro

from dst_jax.errors import InputError

try:
    from tyro import _errors as refused
except ImportError:
    refused = None


def parse(kind: Any, words: Sequence[str], **settings: Any) -> tuple[Any, list[str]]:
    """Returns a value of type `kind` and the words that belong to no option.

    Args:
      kind: Type of the value, which decides the options.
      words: Words of the command line.
      **settings: Further arguments of `tyro.cli`.

    Raises:
      InputError: If an option is missing or has an unfit value, or `kind` raises it.
    """

    def refuse(event: Any) -> None:
        with contextlib.suppress(AttributeError):
            if line := _sentence(event, words):
                raise InputError(line) from None

    listen: Any = getattr(refused, "on_parse_error", contextlib.nullcontext)
    with listen(refuse):
        return tyro.cli(kind, args=words, return_unknown_args=True, **settings)


def _sentence(event: Any, words: Sequence[str]) -> str | None:
    argument: Any = getattr(event, "argument", None)
    match type(event).__name__, argument:
        case "MissingArgs", _:
            names = ", ".join(_shown(lacks.arg) for lacks in event.missing_arguments)
            # A name with a dot may be a field of a configuration, parsed later.
            strange = [w for w in event.unrecognized_tokens if w[:2] == "--"]
            strange = "".join(f"; unknown: {w}" for w in strange if "." not in w)
            verb = event.missing_arguments[0].source_parser.prog_suffix
            return f"missing: {names}{strange}; see {event.prog} {verb} --help."
        case "MissingSubcommand", _:
            verbs = list(event.subcommand_spec.parser_from_name)
            named = " ".join(itertools.takewhile(lambda w: w[:1] != "-", words))
            given = named or " ".join(words)
            near = [
                verb
                for word in named.lower().split()
                for verb in difflib.get_close_matches(word, verbs, n=1)
            ]
            hint = f"did you mean {near[0]}? See" if near else "see"
            expected = f"expected one of {', '.join(verbs)}"
            return f"{given}: {expected}; {hint} dst-jax --help."
        case "InstantiationFailure", None:
            return " ".join(str(event.message).split())
        case "BadValue", _ if argument.is_positional():
            before = f"before options that are not {event.prog}'s own"
            return f"missing: {_shown(argument)}, {before}; see {event.prog} --help."
        case "InstantiationFailure", _ if argument.is_positional():
            reason = " ".join(str(event.message).split())
            return f"{_shown(argument)}: {reason}"
        case "BadValue" | "InvalidChoice" | "InstantiationFailure", _:
            given = _as_given(argument.lowered.name_or_flags, words)
            if argument.lowered.is_fixed():
                return f"{given}: only a configuration's file can set it."
            expected = argument.lowered.metavar.removeprefix("{None}|")
            return f"{given}: expected {expected}."
    return None


def _shown(argument: Any) -> str:
    flags = () if argument.is_positional() else argument.lowered.name_or_flags
    return " ".join([*flags, argument.lowered.metavar])


def _as_given(flags: Iterable[str], words: Sequence[str]) -> str:
    """Returns an option as it stands in the command line, with its values."""
    known = {flag.replace("_", "-") for flag in flags}
    for i, word in reversed(list(enumerate(words))):
        if word.partition("=")[0].replace("_", "-") in known:
            values = itertools.takewhile(lambda w: w[:2] != "--", words[i + 1 :])
            return " ".join([word, *values])
    return " ".join(flags)
