"""Writes the objective of a run as JSON: class, options and source of every term.

A resumed run compares it with its own, so that changed code of a term is noticed. The
JSON is data only; no class is imported from it.
"""

import inspect
import json
import linecache
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from dst_jax.decode import to_json
from dst_jax.digests import bytes_sha256
from dst_jax.distill.config import DistillConfig
from dst_jax.distill.term import Term
from dst_jax.errors import InputError

# Packages whose classes carry no digest.
KNOWN = ("dst_jax", "abc", "builtins", "typing")
# The module of classes that a notebook or an interactive session defines.
INTERACTIVE = "__main__"


def distill_to_json(config: DistillConfig) -> dict[str, Any]:
    """Returns an objective as JSON values, each term as by `term_to_json`.

    Raises:
      InputError: If the source of a user's class cannot be read.
    """
    terms = {name: term_to_json(term) for name, term in config.terms.items()}
    return {**to_json(config), "terms": terms}


def term_to_json(term: Term) -> dict[str, Any]:
    """Returns class and options of a term, and a digest of a user's own classes.

    The package's own terms carry no digest: their meaning is the release's. Classes
    that a user's term inherits from count; functions beside it do not.

    Args:
      term: The term.

    Raises:
      InputError: If the source of a user's class cannot be read, or an option is no
        JSON value.
    """
    kind = type(term)
    values = {"class": f"{kind.__module__}.{kind.__qualname__}", **to_json(term)}
    for field, value in values.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InputError(
                f"term {kind.__name__}: {field}={value!r} cannot be stored; use "
                "numbers, text, tuples or frozen dataclasses of these."
            ) from None
    own = [k for k in kind.__mro__ if k.__module__.partition(".")[0] not in KNOWN]
    if own:
        source = "".join(_source(k) for k in own)
        values["source_sha256"] = bytes_sha256(source.encode())
    return values


def interactive_terms(config: Any) -> dict[str, str]:
    """Returns the terms of a stored configuration that a notebook defined.

    Args:
      config: JSON values that hold those of `distill_to_json` at any depth.

    Returns:
      Names of classes by the names of their terms.
    """
    found: dict[str, str] = {}
    if isinstance(config, Mapping):
        for name, value in config.items():
            kind = value.get("class") if isinstance(value, Mapping) else None
            if isinstance(kind, str) and kind.startswith(f"{INTERACTIVE}."):
                found[name] = kind
            found |= interactive_terms(value)
    return found


def _source(kind: type) -> str:
    """Returns the source of a class, or of its methods if that is hidden.

    In a notebook the source of a class may not be found where that of its methods is.
    """
    linecache.checkcache()
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        methods = [value for value in vars(kind).values() if inspect.isfunction(value)]
        # Methods that dataclasses generate have no file. Their __repr__ is wrapped by
        # a function that has one.
        own = [m for m in methods if not _file(m).startswith("<string>")]
        try:
            source = "".join(inspect.getsource(method) for method in own)
        except (OSError, TypeError):
            source = ""
    if not source:
        raise InputError(
            f"term {kind.__name__}: its source cannot be read, so a resumed run could "
            "not tell whether it changed; define it in a file or a notebook cell."
        )
    return textwrap.dedent(source)


def _file(method: Callable[..., Any]) -> str:
    """Returns the file of a function's source, without its wrappers."""
    return inspect.unwrap(method).__code__.co_filename
