"""Checks on the fields of a frozen dataclass, for its `__post_init__`.

A field that fails is told in one line, "TypeName.field=value: expectation.", so that
whoever wrote the value finds it. NaN satisfies none of the checks on numbers.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

from dst_jax.errors import InputError, shortened


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
        value = shortened(getattr(owner, field))
        raise InputError(f"{type(owner).__name__}.{field}={value}: {expectation}.")


def require_at_least(least: int | float, owner: object, *fields: str) -> None:
    """Returns if each field is a number of at least `least`; see `require`."""
    for field in fields:
        fits = getattr(owner, field) >= least
        require(fits, owner, field, f"must be at least {least}")


def require_between(
    least: int | float, most: int | float, owner: object, *fields: str
) -> None:
    """Returns if each field is a number from `least` to `most`; see `require`.

    A field that holds a tuple must hold such numbers alone.
    """
    for field in fields:
        fits = _all_within(least, most, numbers.Real, getattr(owner, field))
        require(fits, owner, field, f"must lie in [{least:,g}, {most:,g}]")


def require_whole(least: int, most: int, owner: object, *fields: str) -> None:
    """Returns if each field is a whole number from `least` to `most`; see `require`.

    A field that holds a tuple must hold such numbers alone.
    """
    for field in fields:
        fits = _all_within(least, most, numbers.Integral, getattr(owner, field))
        text = f"must be a whole number from {least:,} to {most:,}"
        require(fits, owner, field, text)


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


def _all_within(least: int | float, most: int | float, kind: type, value: Any) -> bool:
    ones = value if isinstance(value, tuple) else (value,)
    numbers_alone = all(isinstance(one, kind) and type(one) is not bool for one in ones)
    return numbers_alone and all(least <= one <= most for one in ones)
