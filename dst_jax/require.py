"""Checks on the fields of a frozen dataclass, for its `__post_init__`.

A field that fails is told in one line, "TypeName.field=value: expectation.", so that
whoever wrote the value finds it. NaN satisfies none of the checks on numbers.
"""

import math
from collections.abc import Iterable

from dst_jax.errors import InputError


def require(condition: bool, owner: object, field: str, expectation: str) -> None:
    """Returns if `condition` holds, else refuses the value of one field.

    Args:
      condition: What must hold of the field.
      owner: The dataclass instance; the message names its type.
      field: The field's name; the message holds its value.
      expectation: What to write instead, without a full stop: "must be odd".

    Raises:
      InputError: If it does not hold.

    Example:
      >>> from fractions import Fraction
      >>> require(False, Fraction(1, 2), "numerator", "must be even")
      Traceback (most recent call last):
        ...
      dst_jax.errors.InputError: Fraction.numerator=1: must be even.
    """
    if not condition:
        value = getattr(owner, field)
        raise InputError(f"{type(owner).__name__}.{field}={value!r}: {expectation}.")


def require_at_least(least: int | float, owner: object, *fields: str) -> None:
    """Returns if each field is a number of at least `least`; see `require`."""
    for field in fields:
        fits = getattr(owner, field) >= least
        require(fits, owner, field, f"must be at least {least}")


def require_positive(owner: object, *fields: str) -> None:
    """Returns if each field is a finite number above 0; see `require`."""
    for field in fields:
        fits = 0.0 < getattr(owner, field) < math.inf
        require(fits, owner, field, "must be finite and positive")


def require_not_negative(owner: object, *fields: str) -> None:
    """Returns if each field is a finite number of at least 0; see `require`."""
    for field in fields:
        fits = 0.0 <= getattr(owner, field) < math.inf
        require(fits, owner, field, "must be finite and at least 0")


def require_one_of(known: Iterable[str], owner: object, *fields: str) -> None:
    """Returns if each field is one of the `known` words; see `require`."""
    known = tuple(known)
    for field in fields:
        shown = " or ".join(f'"{word}"' for word in known)
        require(getattr(owner, field) in known, owner, field, f"must be {shown}")


def require_share(owner: object, *fields: str) -> None:
    """Returns if each field lies in [0, 1]; see `require`."""
    for field in fields:
        fits = 0.0 <= getattr(owner, field) <= 1.0
        require(fits, owner, field, "must lie in [0, 1]")
