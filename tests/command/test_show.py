"""What `dst-jax config` prints, in a pipe and on a terminal."""

import io
import shlex

import pytest
from rich.console import Console

from dst_jax.command import settings, show


def printed(call, *, terminal=False, width=100):
    file = io.StringIO()
    call(Console(file=file, force_terminal=terminal, width=width, color_system=None))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("name", ["demo_students", "demo_siamrpn_students"])
def test_what_is_shown_can_be_given(name):
    experiment = settings.load_experiment(name)
    lines = printed(lambda console: show.print_fields(experiment, console))
    lines = [line for line in lines if line.startswith("--")]
    words = [word for line in lines for word in shlex.split(line, comments=True)]
    assert len(lines) > 90
    assert settings.override(experiment, words) == experiment


def test_in_a_pipe_a_field_is_one_line_however_long():
    experiment = settings.load_experiment("demo_students")
    lines = printed(lambda console: show.print_fields(experiment, console), width=40)
    (line,) = (line for line in lines if line.startswith("--data.weights"))
    assert line.endswith(
        "# Share of the examples per source, in any unit; empty makes "
        "every sequence equally frequent, whatever its source."
    )
    assert lines[-3].startswith("student dull: widths [")
    assert lines[-1].startswith("seed 0")


def test_on_a_terminal_help_stands_in_a_column_of_its_own():
    experiment = settings.load_experiment("demo_students")
    lines = printed(
        lambda console: show.print_fields(experiment, console), terminal=True
    )
    assert max(map(len, lines)) <= 100
    at = lines[0].index("Data sets as")
    (row,) = (i for i, line in enumerate(lines) if line.startswith("--data.weights"))
    assert lines[row].index("Share of") == at
    assert lines[row + 1].index("makes every sequence") == at


def test_all_configurations_are_listed_in_two_columns():
    found = settings.packaged()
    for terminal in (False, True):
        lines = printed(
            lambda console: show.print_configurations(found, console),
            terminal=terminal,
            width=120,
        )
        assert [line.split()[0] for line in lines] == sorted(found)
        assert len({line.index(found[line.split()[0]]) for line in lines}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        ((3, 4), "3 4"),
        ((("a", 1.0), ("b", 2.0)), "a 1.0 b 2.0"),
        ("got10k:D", "got10k:D"),
        ("otb:my videos", "'otb:my videos'"),
        ((), ""),
    ],
)
def test_values_are_spelled_as_the_command_line_takes_them(value, text):
    assert show.as_argument(value) == text
