"""Prints the output of `dst-jax config`: fields and names of configurations."""

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from dst_jax.command.fields import fields_of
from dst_jax.command.settings import by_section
from dst_jax.experiment import Experiment
from dst_jax.workflows.printing import say, shown


def print_fields(experiment: Experiment, console: Console) -> None:
    """Prints every field as the command line takes it, with its help.

    A terminal gets two columns. In a pipe each field is one line, with the help after a
    #, which a shell ignores.
    """
    found = fields_of(by_section(experiment))
    rows = {f"--{f.name} {as_argument(f.value)}".rstrip(): f.help for f in found}
    _print_columns(rows, console, comment="# ")
    for name, spec in experiment.students.items():
        say(console, f"student {name}: {spec.backbone.sizes}")
    say(console, f"seed {experiment.seed}; --seed N gives another")


def print_configurations(found: Mapping[str, str], console: Console) -> None:
    """Prints the names of configurations, each with the line that describes it."""
    _print_columns(found, console)


def as_argument(value: Any) -> str:
    """Returns a field's value as the command line takes it."""
    if isinstance(value, list | tuple):
        return " ".join(as_argument(item) for item in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return shlex.quote(str(value))


def _print_columns(
    rows: Mapping[str, str], console: Console, *, comment: str = ""
) -> None:
    """Prints rows in two columns, the second one dim; in a pipe no row is wrapped."""
    if not console.is_terminal:
        width = min(max(map(len, rows)), 40)
        for left, right in rows.items():
            line = f"{left:{width}}  {comment}{right}" if right else left
            say(console, line)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold", max_width=console.width // 2)
    table.add_column(style="dim", overflow="fold")
    for left, right in rows.items():
        table.add_row(shown(left), shown(right))
    console.print(table)
