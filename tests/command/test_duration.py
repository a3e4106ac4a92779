"""A time limit is hours, minutes and seconds, and nothing else."""

import pytest

from dst_jax.command.duration import parse_duration
from dst_jax.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("170m", 10_200.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("1h0m5s", 3605.0),
        ("8784h", 31_622_400.0),
    ],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text, "--time-limit") == seconds


@pytest.mark.parametrize(
    "text",
    ["", "90", "0s", "-5m", "1.5h", "30m1h", "2 h", "h", "2d", "1e3s", "٣s", "nan"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match=r"^--time-limit .*as (90s|170m)") as told:
        parse_duration(text, "--time-limit")
    assert len(str(told.value)) < 150


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 5000 + "s", "8785h", "2h\n2m"])
def test_what_no_clock_counts_is_refused_in_one_short_line(text):
    test_other_texts_are_refused(text)
