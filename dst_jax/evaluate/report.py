"""Scores as JSON, as a table in the terminal, and as one self-contained HTML page.

Every score is a fraction in [0, 1]. A page is a title and a list of `Heading`,
`Paragraph`, `Table`, `Figure` and `SideBySide`; it refers to nothing outside itself,
reads on light and dark screens, and escapes whatever text it is given.
"""

import dataclasses
import html
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import rich.table
import rich.text

from dst_jax.errors import printable
from dst_jax.evaluate.notes import notes
from dst_jax.evaluate.score import Score, SequenceScore

NOTHING = "\N{EN DASH}"

Cell: TypeAlias = str | int | float | None


def scores_json(
    scores: Mapping[str, Score],
    *,
    dataset: str,
    fps: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Returns the report of an evaluation as JSON values.

    Args:
      scores: Score of each tracker, at least one, all under one protocol.
      dataset: The data set as the user named it.
      fps: End-to-end frames per second of each tracker for which they were measured.

    Returns:
      `protocol` (its name and conventions), `dataset`, `notes` and `trackers`. Each
      tracker has by its name the numbers of the protocol's measures, such as
      `success_auc`, `fps` if measured, and `sequences`, which hold by their names the
      same numbers and `frames`.
    """
    speeds = fps or {}
    protocol = next(iter(scores.values())).protocol
    trackers = {
        name: {
            **score.values,
            **({"fps": float(speeds[name])} if name in speeds else {}),
            "sequences": {
                sequence: {**part.values, "frames": part.frames}
                for sequence, part in score.sequences.items()
            },
        }
        for name, score in scores.items()
    }
    return {
        "protocol": protocol.describe(),
        "dataset": dataset,
        "notes": list(notes(scores)),
        "trackers": trackers,
    }


def score_table(
    scores: Mapping[str, Score],
    *,
    dataset: str = "",
    fps: Mapping[str, float] | None = None,
) -> rich.table.Table:
    """Returns a table of every tracker's means, for a terminal.

    Its title names the protocol, whose measures are the columns. If there is only one
    tracker, the table also holds its score on each sequence, with a dash for what a
    sequence alone does not have.

    Args:
      scores: Score of each tracker, all under one protocol.
      dataset: The data set as the user named it, for the title.
      fps: End-to-end frames per second of each tracker for which they were measured.
    """
    protocol = next(iter(scores.values())).protocol
    title = _plain(f"by {protocol.name}")
    if dataset:
        title = rich.text.Text("\n").join([_plain(dataset), title])
    table = rich.table.Table(title=title)
    table.add_column("tracker")
    headings = [measure.heading for measure in protocol.measures]
    headings += ["frames/s"] if fps else []
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, score in scores.items():
        speed = [f"{fps[name]:.1f}" if name in fps else NOTHING] if fps else []
        table.add_row(_plain(name), *_decimals(score), *speed)
    if len(scores) == 1:
        table.add_section()
        (score,) = scores.values()
        for sequence, part in score.sequences.items():
            table.add_row(_plain(f"  {sequence}"), *_decimals(part))
    return table


def _plain(name: str) -> rich.text.Text:
    # As text, and not as markup, in which [red] is a colour.
    return rich.text.Text(printable(name))


def _decimals(score: Score | SequenceScore) -> list[str]:
    names = (measure.name for measure in score.protocol.measures)
    known = score.values
    return [f"{known[name]:.3f}" if name in known else NOTHING for name in names]


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
    """

    rows: Sequence[Mapping[str, Cell]]
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    formats: Mapping[str, str] = dataclasses.field(default_factory=dict)
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture with a caption.

    Attributes:
      image: `<svg …>` markup, or a `data:image/png;base64,…` address, as
        `plots.figure_to_svg` and `plots.figure_to_png_base64` return them.
      caption: Text below the picture.
      alt: Description for those who cannot see the picture; the caption if empty.
    """

    image: str
    caption: str = ""
    alt: str = ""


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """Pictures that stand side by side where the screen is wide enough."""

    figures: Sequence[Figure]


Section: TypeAlias = Heading | Paragraph | Table | Figure | SideBySide


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
    return _PAGE.substitute(title=_escaped(title), style=_STYLE, body=body)


def _escaped(text: str) -> str:
    """Returns text as HTML; bytes of file names that are no UTF-8 are written out."""
    return html.escape(printable(text))


def _markup(section: Section) -> str:
    match section:
        case Heading(text, level):
            return f"<h{level}>{_escaped(text)}</h{level}>"
        case Paragraph(text):
            parts = (" ".join(part.split()) for part in text.split("\n\n"))
            return "\n".join(f"<p>{_escaped(part)}</p>" for part in parts if part)
        case Table():
            return _table_markup(section)
        case Figure():
            return _figure_markup(section)
        case SideBySide(figures):
            inner = "\n".join(_figure_markup(figure) for figure in figures)
            return f'<div class="row">{inner}</div>'


def _figure_markup(figure: Figure) -> str:
    alt = _escaped(figure.alt or figure.caption)
    if figure.image.startswith("<svg"):
        image = f'<div class="plot" role="img" aria-label="{alt}">{figure.image}</div>'
    elif figure.image.startswith("data:image/"):
        source = html.escape(figure.image)
        image = f'<div class="plot"><img src="{source}" alt="{alt}"></div>'
    else:
        raise ValueError("Figure.image must be <svg …> or data:image/…")
    return f"<figure>{image}{_caption(figure.caption, 'figcaption')}</figure>"


def _table_markup(table: Table) -> str:
    columns = list(dict.fromkeys(column for row in table.rows for column in row))
    numeric = {
        column: all(not isinstance(row.get(column), str) for row in table.rows)
        for column in columns
    }
    head = "".join(
        f"<th{_kind(numeric[column])}>{_escaped(column)}"
        f"{_unit(table.units.get(column, ''))}</th>"
        for column in columns
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<td{_kind(numeric[column])}>"
            f"{_escaped(_shown(row.get(column), table.formats.get(column)))}</td>"
            for column in columns
        )
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="table"><table>{_caption(table.caption, "caption")}'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _kind(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _unit(unit: str) -> str:
    return f"<small>{_escaped(unit)}</small>" if unit else ""


def _caption(text: str, tag: str) -> str:
    return f"<{tag}>{_escaped(text)}</{tag}>" if text else ""


def _shown(cell: Cell, spec: str | None) -> str:
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return cell
    if spec is not None:
        return format(cell, spec)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.3f}"


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #59636e; --line: #d8dee4;
  --paper: #ffffff; --stripe: #f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #9aa4af;
  --line: #363d46; --paper: #15191e; --stripe: #1d2228; } }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem;
  color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: 1.2rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p { max-width: 44rem; margin: .6rem 0; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; }
caption, figcaption { caption-side: bottom; text-align: left; color: var(--quiet);
  font-size: .88rem; padding-top: .5rem; }
th, td { padding: .35rem .9rem; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; }
th small { display: block; color: var(--quiet); font-weight: 400; }
td { border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--stripe); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; }
.row { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
.row figure { margin: .6rem 0; }
/* Plots keep their white paper on a dark screen, where black text would vanish. */
.plot { background: #ffffff; border-radius: 6px; padding: .75rem; overflow-x: auto;
  border: 1px solid var(--line); text-align: center; }
.plot svg, .plot img { max-width: 100%; height: auto; }
@media print { body { max-width: none; padding: 0; }
  figure, tr { break-inside: avoid; } }
"""

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
