"""Prints what users have named: as it is, on one line, and never as markup."""

from rich.console import Console
from rich.text import Text

from dst_jax.errors import printable


def say(console: Console, *lines: object, style: str = "") -> None:
    """Prints lines that may hold names; each stays one line, however long.

    Args:
      console: Console to print on.
      *lines: Lines; what a terminal would obey or could not show is escaped.
      style: Style of the lines, such as "bold".
    """
    for line in lines:
        console.print(shown(line, style=style), soft_wrap=True)


def shown(text: object, *, style: str = "") -> Text:
    """Returns text for a cell, a title or a rule; rich reads no markup in it."""
    return Text(printable(text), style)
