"""Writes the objective of a run as JSON: class, options and source of every term.

A resumed run compares it with its own, so that changed code of a term is noticed. The
JSON is data only; no class is imported from it.
"""

import inspect
import linecache
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from dst_jax.decode import to_json
from dst_jax.distill.config import DistillConfig
from dst_jax.distill.term import Term
from dst_jax.errors import InputError
from dst_jax.files import bytes_sha256

PACKAGE = "dst_jax"
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
    """Returns class and options of a term, and a hash of the source of a user's class.

    The package's own terms have no hash, because the release determines their source.

    Raises:
      InputError: If the source of a user's class cannot be read.
    """
    kind = type(term)
    values = {"class": f"{kind.__module__}.{kind.__qualname__}", **to_json(term)}
    if kind.__module__.partition(".")[0] != PACKAGE:
        values["source_sha256"] = _digest(kind)
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


def _digest(kind: type) -> str:
    """Returns the hash of a class's source, or of its methods' if that is hidden.

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
    return bytes_sha256(textwrap.dedent(source).encode())


def _file(method: Callable[..., Any]) -> str:
    """Returns the file of a function's source, without its wrappers."""
    return inspect.unwrap(method).__code__.co_filename
