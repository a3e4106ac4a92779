"""How every figure looks, and how it leaves the program.

Figures are `Figure` objects; there is no global state, no `pyplot` and no display.
"""

import base64
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from dst_jax.digests import bytes_sha256
from dst_jax.errors import printable

# How matplotlib spells a line's dashes.
Dash: TypeAlias = Literal["-"] | tuple[float, tuple[float, ...]]


class Look(NamedTuple):
    """How one tracker is drawn in all figures of a report.

    Attributes:
      colour: Colour, "#rrggbb".
      dash: Style of its lines and boxes, as matplotlib takes it.
      marker: Matplotlib's letter for its points.
    """

    colour: str
    dash: Dash
    marker: str


Looks: TypeAlias = Mapping[str, Look]

# Okabe and Ito's palette can be told apart under every common colour blindness. Its
# yellow is left out, because it vanishes on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# On small boxes and where colours merge, dashes and markers tell trackers apart.
DASHES: tuple[Dash, ...] = (
    "-",
    (0.0, (6.0, 2.0)),
    (0.0, (1.2, 1.6)),
    (0.0, (6.0, 1.8, 1.2, 1.8)),
    (0.0, (3.0, 1.6)),
    (0.0, (9.0, 1.8, 3.0, 1.8)),
    (0.0, (6.0, 1.6, 1.2, 1.6, 1.2, 1.6)),
    (0.0, (1.2, 3.4)),
)
MARKERS = "osv^DPX*"
# The teacher is solid. A student keeps its hue, blue or orange, and the ways of
# training it have dashes of their own.
FIXED = {
    frozenset(words.split()): Look(colour, DASHES[dash], MARKERS[marker])
    for words, colour, dash, marker in (
        ("teacher", "#000000", 0, 0),
        ("still", "#8a939d", 7, 7),
        ("dull", "#D55E00", 1, 1),
        ("dull tsskd", "#D55E00", 1, 1),
        ("dull tskd", "#CC79A7", 3, 3),
        ("dull nokd", "#E69F00", 2, 2),
        ("intelligent", "#0072B2", 5, 4),
        ("intelligent tsskd", "#0072B2", 5, 4),
        ("intelligent tskd", "#009E73", 6, 5),
        ("intelligent nokd", "#56B4E9", 4, 6),
    )
}
_GRID = {"color": "#e3e6ea", "linewidth": 0.8}
INK = "#1b1f24"
QUIET = "#59636e"
TRUTH_COLOUR = "#F0E442"
# Long enough to show a whole pattern of dashes.
_HANDLE = 4.2


def name_looks(names: Iterable[str]) -> dict[str, Look]:
    """Returns a look for each name; of a dozen names no two share colour and dashes.

    The usual roles have looks of their own; other names get the rest in turn.

    Example:
      >>> looks = name_looks(["teacher", "mine", "yours"])
      >>> [look.colour for look in looks.values()]
      ['#000000', '#0072B2', '#D55E00']
      >>> len({look.dash for look in looks.values()})
      3
    """
    words = {name: frozenset(re.findall(r"[a-z0-9]+", name.lower())) for name in names}
    found: dict[str, Look] = {}
    for name, key in words.items():
        if key in FIXED and FIXED[key] not in found.values():
            found[name] = FIXED[key]
    others = [name for name in words if name not in found]
    found |= zip(others, _others(list(found.values()), len(others)), strict=True)
    return {name: found[name] for name in words}


def _others(taken: Sequence[Look], count: int) -> Iterator[Look]:
    """Yields looks, with colours, dashes and markers that nobody has if possible."""
    colours = [c for c in PALETTE if c not in {look.colour for look in taken}]
    dashes: list[Dash] = [d for d in DASHES if d not in {look.dash for look in taken}]
    markers = [m for m in MARKERS if m not in {look.marker for look in taken}]
    colours, dashes = colours or list(PALETTE), dashes or list(DASHES)
    markers = markers or list(MARKERS)
    for number in range(count):
        # Every round shifts the dashes, so that the pairs begin to repeat late.
        turn = number // math.lcm(len(colours), len(dashes))
        yield Look(
            colours[number % len(colours)],
            dashes[(number + turn) % len(dashes)],
            markers[number % len(markers)],
        )


def figure_to_svg(figure: Figure) -> str:
    """Returns the figure as `<svg …>` markup for a page.

    Text is drawn as outlines and needs no font. Equal figures give equal markup;
    different figures on a page share no identifier.
    """
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": "dst-jax"}):
        figure.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    prefix = "f" + bytes_sha256(svg.encode())[:8]
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)


def figure_to_png(figure: Figure, *, dpi: int = 130) -> bytes:
    """Returns the figure as the bytes of a PNG file; `dpi` is pixels per inch."""
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def figure_to_jpeg_base64(figure: Figure, *, dpi: int = 150) -> str:
    """Returns the figure as a `data:` address, for photographs."""
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="jpeg", dpi=dpi, pil_kwargs={"quality": 85})
    code = base64.b64encode(out.getvalue()).decode("ascii")
    return f"data:image/jpeg;base64,{code}"


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty white figure, laid out without overlaps; sides are in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def single_panel(title: str, x: str) -> tuple[Figure, Axes]:
    """Returns a figure with one panel, which has a title and an x axis named `x`."""
    figure = new_figure(4.6, 4.2)
    axes = figure.add_subplot()
    dress(axes, title, x)
    return figure, axes


def plain(name: str) -> str:
    r"""Returns a name as matplotlib draws it letter by letter, not as mathematics.

    Example:
      >>> print(plain("$5 or $6"))
      \$5 or \$6
    """
    return printable(name).replace("$", r"\$")


def name_legend(
    figure: Figure, handles: Sequence[Artist], names: Sequence[str], **options: Any
) -> None:
    """Draws a legend below a figure, whose names may hold and begin with anything.

    Args:
      figure: The figure.
      handles: Lines of the legend.
      names: Names of the lines.
      options: Further arguments of matplotlib's `Figure.legend`.
    """
    # Matplotlib before 3.10 drops labels that begin with an underscore.
    legend = figure.legend(
        handles=handles,
        labels=["name"] * len(names),
        loc="outside lower center",
        frameon=False,
        fontsize=9.5,
        handlelength=_HANDLE,
        **options,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(plain(name))


def dress(axes: Axes, title: str, x: str) -> None:
    """Gives a panel its title, the name of its x axis and a quiet grid."""
    axes.set_title(plain(title), loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x, fontsize=9.5, color=QUIET)
    axes.yaxis.label.set(fontsize=9.5, color=QUIET)
    axes.grid(True, **_GRID)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=QUIET, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b6bec7")


def bare(axes: Axes) -> Axes:
    """Takes ticks and frame off a panel that shows an image, and returns the panel."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def legend_below(
    figure: Figure, looks: Looks, *, truth: bool = False, columns: int = 4
) -> None:
    """Draws one legend for the whole figure, below it, where it covers nothing.

    Args:
      figure: The figure.
      looks: Look of each name.
      truth: Whether the legend also explains the ground truth's line.
      columns: Number of names in a row at most.
    """
    names, handles = list(looks), [line_handle(look) for look in looks.values()]
    if truth:
        names.append("ground truth")
        handles.append(Line2D([], [], color=TRUTH_COLOUR, linewidth=2.6))
        # Yellow needs a dark neighbour to be seen on white paper.
        handles[-1].set_path_effects([withStroke(linewidth=4.4, foreground="#000000")])
    name_legend(figure, handles, names, ncols=min(len(handles), columns))


def line_handle(look: Look) -> Line2D:
    """Returns the line of a legend."""
    return Line2D([], [], color=look.colour, linestyle=look.dash, linewidth=2.2)
