"""What a page is made of, and its HTML, which refers to nothing outside itself.

A page is a title and a list of sections, such as `Heading` and `Table`. It reads on
light and dark screens, on narrow ones and in print, and escapes whatever text it is
given.
"""

import dataclasses
import html
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from dst_jax.errors import printable
from dst_jax.evaluate.page.stylesheet import STYLE

NOTHING = "\N{EN DASH}"

Cell: TypeAlias = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading within the page."""

    text: str
    level: Literal[2, 3] = 2


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; a blank line inside it starts a new paragraph."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of rows under a heading row.

    Attributes:
      rows: One mapping from column to cell per row; a cell that is absent or None
        shows as a dash. The columns are those of all rows, in order of appearance.
      units: Unit of each column that has one, set small under the column's name.
      formats: Format specification of a column's numbers, such as ".1f"; in other
        columns whole numbers get thousands separators and others three decimals.
      caption: Text below the table.
      compared: Columns whose largest number in a row is set in bold.
      right: Columns that are set to the right although their cells are words.
    """

    rows: Sequence[Mapping[str, Cell]]
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    formats: Mapping[str, str] = dataclasses.field(default_factory=dict)
    caption: str = ""
    compared: Sequence[str] = ()
    right: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture with a caption.

    Attributes:
      image: `<svg …>` markup, or a `data:image/…;base64,…` address, as
        `plots.figure_to_svg` and `plots.figure_to_jpeg_base64` return them.
      caption: Text below the picture.
      alt: Description for those who cannot see the picture; the caption if empty.
    """

    image: str
    caption: str = ""
    alt: str = ""


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """Pictures that stand side by side where the screen is wide enough.

    Attributes:
      figures: The pictures.
      size: How wide they are at least: two, three or five of them fill a wide page.
    """

    figures: Sequence[Figure]
    size: Literal["large", "medium", "small"] = "large"


@dataclasses.dataclass(frozen=True)
class Lead:
    """Sentences that a reader is to see first, each a paragraph."""

    sentences: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Facts:
    """Values beside what they are, which need no row of numbers."""

    values: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Fold:
    """Sections that the reader may fold away.

    Attributes:
      summary: The line that stays.
      sections: The sections.
      opened: Whether they are seen at first; print shows what is.
    """

    summary: str
    sections: "Sequence[Section]"
    opened: bool = True


Section: TypeAlias = (
    Heading | Paragraph | Table | Figure | SideBySide | Lead | Facts | Fold
)


def html_page(title: str, sections: Iterable[Section]) -> str:
    """Returns one self-contained HTML page.

    Args:
      title: Title of the window and of the page, plain text.
      sections: Sections of the page, from top to bottom.

    Example:
      >>> page = html_page("A & B", [Table([{"AUC": 0.5}])])
      >>> "A &amp; B" in page, "0.500" in page
      (True, True)
    """
    body = "\n".join(_markup(section) for section in sections)
    return _PAGE.substitute(title=_escaped(title), style=STYLE, body=body)


def _escaped(text: str) -> str:
    """Returns text as HTML; bytes of file names that are no UTF-8 are written out."""
    return html.escape(printable(text))


def _markup(section: Section) -> str:
    match section:
        case Heading(text, level):
            return f"<h{level}>{_escaped(text)}</h{level}>"
        case Paragraph(text):
            return _paragraphs(text)
        case Lead(sentences):
            inner = "\n".join(map(_paragraphs, sentences))
            return f'<div class="lead">{inner}</div>'
        case Facts(values):
            inner = "\n".join(
                f"<dt>{_escaped(what)}</dt><dd>{_escaped(value)}</dd>"
                for what, value in values.items()
            )
            return f"<dl>{inner}</dl>"
        case Table():
            return _table_markup(section)
        case Figure():
            return _figure_markup(section)
        case SideBySide(figures, size):
            inner = "\n".join(_figure_markup(figure) for figure in figures)
            return f'<div class="row {size}">{inner}</div>'
        case Fold(summary, sections, opened):
            inner = "\n".join(_markup(inside) for inside in sections)
            state = " open" if opened else ""
            return (
                f"<details{state}><summary>{_escaped(summary)}</summary>\n"
                f"{inner}\n</details>"
            )


def _paragraphs(text: str) -> str:
    parts = (" ".join(part.split()) for part in text.split("\n\n"))
    return "\n".join(f"<p>{_escaped(part)}</p>" for part in parts if part)


def _figure_markup(figure: Figure) -> str:
    alt = _escaped(figure.alt or figure.caption)
    if figure.image.startswith("<svg"):
        image = f'<div class="plot" role="img" aria-label="{alt}">{figure.image}</div>'
    elif figure.image.startswith("data:image/"):
        source = html.escape(figure.image)
        image = f'<div class="photo"><img src="{source}" alt="{alt}"></div>'
    else:
        raise ValueError("Figure.image must be <svg …> or data:image/…")
    return f"<figure>{image}{_caption(figure.caption)}</figure>"


def _table_markup(table: Table) -> str:
    columns = list(dict.fromkeys(column for row in table.rows for column in row))
    numeric = {
        column: column in table.right
        or all(not isinstance(row.get(column), str) for row in table.rows)
        for column in columns
    }
    head = "".join(
        f"<th{_kind(numeric[column])}>{_escaped(column)}"
        f"{_unit(table.units.get(column, ''))}</th>"
        for column in columns
    )
    rows = "\n".join(_row_markup(table, columns, numeric, row) for row in table.rows)
    # The caption stands outside of what a narrow screen scrolls.
    return (
        '<figure class="data"><div class="table"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
        f"{_caption(table.caption)}</figure>"
    )


def _row_markup(
    table: Table,
    columns: Sequence[str],
    numeric: Mapping[str, bool],
    row: Mapping[str, Cell],
) -> str:
    found = [row.get(name) for name in table.compared]
    numbers = [cell for cell in found if isinstance(cell, int | float)]
    best = max(numbers) if len(numbers) > 1 else None
    cells = []
    for number, column in enumerate(columns):
        cell = row.get(column)
        text = _escaped(_shown(cell, table.formats.get(column)))
        if best is not None and column in table.compared and cell == best:
            text = f"<b>{text}</b>"
        # The first column names the row, and stays in sight on a narrow screen.
        tag = "td" if number else "th"
        scope = "" if number else ' scope="row"'
        cells.append(f"<{tag}{scope}{_kind(numeric[column])}>{text}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _kind(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _unit(unit: str) -> str:
    return f"<small>{_escaped(unit)}</small>" if unit else ""


def _caption(text: str) -> str:
    return f"<figcaption>{_escaped(text)}</figcaption>" if text else ""


def _shown(cell: Cell, spec: str | None) -> str:
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return cell
    if spec is not None:
        return format(cell, spec)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.3f}"


_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")
