"""A table of an ablation as it is shown, and its numbers as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """A table as it is shown: the first `words` columns hold words, others numbers."""

    title: str
    headings: Sequence[str]
    rows: list[list[str]]
    notes: Sequence[str] = ()
    words: int = 2


def megabytes(size: float) -> str:
    """Returns a size with three significant digits and at least one decimal."""
    digits = 2 - math.floor(math.log10(size)) if size > 0.0 else 1
    return f"{size:.{max(digits, 1)}f}"


def decimals(value: float) -> str:
    """Returns a value with three decimals and no 0 before the point."""
    return f"{value:.3f}".removeprefix("0")


def with_spread(value: Mapping[str, Any]) -> str:
    """Returns a mean with the standard deviation, if there is one, in brackets."""
    mean, sd = value["mean"], value["sd"]
    return decimals(mean) + ("" if sd is None else f" ({decimals(sd)})")
