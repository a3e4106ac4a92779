"""What is shown of a name is one line that a terminal does not obey."""

import pytest

from dst_jax.errors import InputError, printable

SHOWN = [
    ("caf\u00e9 and spaces [v2].mp4", "caf\u00e9 and spaces [v2].mp4"),
    ("no\u00a0break \u6f22\u5b57", "no\u00a0break \u6f22\u5b57"),
    ("two\nlines\tand\rmore", "two\\nlines\\tand\\rmore"),
    ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    ("vid\udce9o", "vid\\xe9o"),
    ("right\u202eleft\u2028line\u0085", "right\\u202eleft\\u2028line\\x85"),
]


@pytest.mark.parametrize(("name", "expected"), SHOWN)
def test_names_are_shown_as_one_harmless_line(name, expected):
    assert printable(name) == expected
    assert printable(name).isprintable() or "\u00a0" in name
    printable(name).encode()


def test_messages_are_one_line_whatever_they_name():
    error = InputError("a\nb\udcff.mp4: \x1b[2J is no video.")
    assert str(error) == "a\\nb\\xff.mp4: \\x1b[2J is no video."
