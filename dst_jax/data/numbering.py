"""Orders the names of frames by the numbers in them, or says why that is not clear.

The part of a name that is no number tells its series, as `left_` in `left_012.png`.
Case, the suffix and how accents are written do not count.
"""

import collections.abc
import dataclasses
import itertools
import os
import re
import unicodedata
from collections.abc import Iterable
from fractions import Fraction

from dst_jax.errors import InputError

# A minus belongs to a number unless it parts it from a letter or another number.
_NUMBER = re.compile(r"(?:(?<![^\W_])-)?\d+(?:[.,]\d+)*")
# A number's whole part and what follows it: a fraction, or a count in its own right.
_Value = tuple[int | Fraction, int]


class UnclearOrder(InputError):
    """Names that do not tell which frame comes first."""

    kind = "frames in no clear order"


@dataclasses.dataclass(frozen=True, slots=True)
class _Number:
    minus: bool
    whole: str
    fraction: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Name:
    text: str
    words: tuple[str, ...]
    numbers: tuple[_Number, ...]


def in_order(names: Iterable[str]) -> list[str]:
    """Returns names of frames in the order of their numbers: 2 comes before 10.

    `0.25` comes before `0.5` where the numbers after the dot can be no counts, and
    `1.9` before `1.10` where they can be no fractions. Numbers with a minus come before
    0 where there are some without.

    Args:
      names: Names of files, each once.

    Raises:
      UnclearOrder: If two names have one number, or could be read in two orders.
    """
    parsed = [_parse(name) for name in sorted(names)]
    numbered = [name for name in parsed if name.numbers]
    if numbered and len(numbered) < len(parsed):
        odd = next(name for name in parsed if not name.numbers)
        raise UnclearOrder(
            f"{odd.text} has no number among {len(numbered)} numbered frames; take it "
            "out of the folder, or give it a number."
        )
    series: dict[tuple[str, ...], list[_Name]] = {}
    for name in parsed:
        series.setdefault(name.words, []).append(name)
    values: dict[str, tuple[_Value, ...]] = {}
    for members in series.values():
        values.update(_values(members))
    ordered = sorted(parsed, key=lambda name: _natural(name, values))
    _require_different(ordered, values)
    if len(series) > 1 and numbered:
        _require_one_order(ordered, values)
    return [name.text for name in ordered]


def natural_order(names: Iterable[str]) -> list[str]:
    """Returns names in the order of their numbers, where any order will do."""
    parsed = [_parse(name) for name in sorted(names)]
    values = {
        name.text: tuple(_value(number, decimal=True) for number in name.numbers)
        for name in parsed
    }
    return [n.text for n in sorted(parsed, key=lambda name: _natural(name, values))]


def missing_name(names: collections.abc.Sequence[str]) -> str | None:
    """Returns the first missing name among ordered names that count up, or None.

    It returns None if no name is missing or the names do not count frame by frame.
    """
    matches = [re.fullmatch(r"(.*?)(\d+)(\.\w+)", name) for name in names]
    if len({match and match[1] for match in matches}) != 1 or matches[0] is None:
        return None
    found = [match for match in matches if match]
    numbers = [int(match[2]) for match in found]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    # Where numbers fall, they are fractions.
    if min(steps, default=0) < 0 or _may_skip(steps):
        return None
    for match, number, step in zip(found, numbers, steps, strict=False):
        if step > 1:
            return f"{match[1]}{number + 1:0{len(match[2])}d}{match[3]}"
    return None


def _may_skip(steps: list[int]) -> bool:
    """Returns whether numbers so far apart are no numbers of frames, or every nth."""
    regular = len(steps) > 1 and len(set(steps)) == 1
    # Where more numbers are missing than present, they are times or names of objects.
    return regular or sum(steps) - len(steps) > len(steps) + 1


def _parse(text: str) -> _Name:
    stem = unicodedata.normalize("NFC", os.path.splitext(text)[0]).casefold()
    words, numbers, at = [], [], 0
    for match in _NUMBER.finditer(stem):
        words.append(stem[at : match.start()])
        minus = match[0].startswith("-")
        pieces = re.split(r"[.,]", match[0].removeprefix("-"))
        if len(pieces) == 2:
            numbers.append(_Number(minus, *pieces))
        else:  # one number, or a version as 1.2.10
            words += ["."] * (len(pieces) - 1)
            numbers += [
                _Number(minus and not i, piece, "") for i, piece in enumerate(pieces)
            ]
        at = match.end()
    return _Name(text, (*words, stem[at:]), tuple(numbers))


def _value(number: _Number, *, decimal: bool) -> _Value:
    whole: int | Fraction = int(number.whole)
    count = -1
    if number.fraction and decimal:
        whole += Fraction(int(number.fraction), 10 ** len(number.fraction))
    elif number.fraction:
        count = int(number.fraction)
    return (-whole if number.minus else whole), count


def _values(members: list[_Name]) -> dict[str, tuple[_Value, ...]]:
    """Returns the values of the numbers in each name of a series."""
    found: dict[str, tuple[_Value, ...]] = {name.text: () for name in members}
    for place in range(len(members[0].numbers)):
        column = _signed(members, [name.numbers[place] for name in members])
        groups: dict[object, dict[str, str]] = {}
        for name, number in zip(members, column, strict=True):
            key = (found[name.text], number.minus, int(number.whole))
            if number.fraction:
                groups.setdefault(key, {})[name.text] = number.fraction
        decimal = _are_decimals(list(groups.values()))
        for name, number in zip(members, column, strict=True):
            found[name.text] += (_value(number, decimal=decimal),)
    return found


def _signed(members: list[_Name], column: list[_Number]) -> list[_Number]:
    """Returns numbers of which a minus that only parts them from a word is taken."""
    minus = [number for number in column if number.minus]
    padded = any(len(n.whole) > 1 and n.whole[0] == "0" for n in minus)
    if padded or len(column) == 1:
        return [dataclasses.replace(number, minus=False) for number in column]
    if len(minus) == len(column) and len(set(minus)) > 1:
        _refuse(members[0].text, members[1].text)
    return column


def _are_decimals(groups: list[dict[str, str]]) -> bool:
    """Returns whether what follows a dot are fractions, or counts.

    Args:
      groups: For each whole number, what follows its dot, by name of the frame.
    """
    unclear = [group for group in groups if not _agree(list(group.values()))]
    if not unclear:
        return False
    texts = [text for group in groups for text in group.values() if len(text) > 1]
    may_be_decimal = not any(text.endswith("0") for text in texts)
    may_count = not any(text.startswith("0") for text in texts)
    for group in groups:
        counts = sorted({int(text) for text in group.values()})
        steps = [after - before for before, after in itertools.pairwise(counts)]
        regular = len(steps) > 1 and len(set(steps)) == 1
        may_count &= regular or not _may_skip(steps)
    if may_be_decimal == may_count:
        ordered = sorted(unclear[0].items(), key=lambda item: int(item[1]))
        for (name, text), (other, text_of_other) in itertools.pairwise(ordered):
            if not _agree([text, text_of_other]):
                _refuse(name, other)
    return may_be_decimal


def _agree(fractions: list[str]) -> bool:
    """Returns whether digits after a dot have one order, as fractions or as counts."""
    ordered = sorted(set(fractions), key=int)
    parts = [Fraction(int(text), 10 ** len(text)) for text in ordered]
    return all(before < after for before, after in itertools.pairwise(parts))


def _natural(name: _Name, values: dict[str, tuple[_Value, ...]]) -> tuple[object, ...]:
    parts: list[tuple[int, str, tuple[object, ...]]] = []
    numbers = [*values[name.text], None]
    for word, number in zip(name.words, numbers, strict=True):
        if word:
            parts.append((0, word, ()))
        if number is not None:
            parts.append((1, "", number))
    return tuple(parts)


def _require_different(
    ordered: list[_Name], values: dict[str, tuple[_Value, ...]]
) -> None:
    for before, after in itertools.pairwise(ordered):
        if before.words == after.words and values[before.text] == values[after.text]:
            _refuse_twice(before, after)


def _require_one_order(
    ordered: list[_Name], values: dict[str, tuple[_Value, ...]]
) -> None:
    """Raises UnclearOrder unless several series follow one another."""
    by_number = sorted(ordered, key=lambda name: values[name.text])
    for before, after in itertools.pairwise(by_number):
        first, second = values[before.text], values[after.text]
        if before.words != after.words and second[: len(first)] == first:
            _refuse_twice(before, after)
    for name, other in zip(ordered, by_number, strict=True):
        if name is not other:
            _refuse(name.text, other.text)


def _refuse_twice(first: _Name, second: _Name) -> None:
    raise UnclearOrder(
        f"frames {first.text} and {second.text} have the same number or "
        "name; keep one of the two in the folder."
    )


def _refuse(first: str, second: str) -> None:
    raise UnclearOrder(
        f"which of the frames {first} and {second} comes first is not clear; "
        "number them alike, as 0001 and 0002."
    )
