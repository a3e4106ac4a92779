"""What happens if tyro's private events are gone or look different."""

import dataclasses

import pytest

from dst_jax.command import parsing
from dst_jax.command.parsing import parse
from dst_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Two numbers."""

    width: int
    height: int = 1


def test_what_has_no_place_is_returned():
    words = ["--width", "3", "--depth", "4", "loose"]
    assert parse(Sizes, words) == (Sizes(3), ["--depth", "4", "loose"])


def test_an_option_is_named_as_it_was_given():
    with pytest.raises(InputError, match=r"^--width=x: expected INT\.$"):
        parse(Sizes, ["--height", "2", "--width=x"])


def test_without_the_private_events_the_panel_of_tyro_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(parsing, "refused", None)
    with pytest.raises(SystemExit) as stop:
        parse(Sizes, ["--width", "x"])
    assert stop.value.code == 2
    assert "--width" in capsys.readouterr().err
    assert parse(Sizes, ["--width", "3"]) == (Sizes(3), [])


def test_with_events_that_look_different_the_panel_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(parsing, "_as_given", lambda flags, words: flags.gone)
    with pytest.raises(SystemExit) as stop:
        parse(Sizes, ["--width", "x"])
    assert stop.value.code == 2
    assert "--width" in capsys.readouterr().err
