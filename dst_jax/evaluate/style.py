"""How every figure looks, and how it leaves the program.

Figures are `Figure` objects; there is no global state, no `pyplot` and no display.
"""

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from dst_jax.digests import bytes_sha256
from dst_jax.errors import printable

Colours: TypeAlias = Mapping[str, str]

# Okabe and Ito's palette can be told apart under every common colour blindness. Its
# yellow is left out, because it vanishes on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# A student keeps its hue, blue or orange; a student that was not distilled is paler.
FIXED = {
    frozenset(words.split()): colour
    for words, colour in {
        "teacher": "#000000",
        "still": "#8a939d",
        "dull": "#D55E00",
        "dull tsskd": "#D55E00",
        "dull tskd": "#CC79A7",
        "dull nokd": "#E69F00",
        "intelligent": "#0072B2",
        "intelligent tsskd": "#0072B2",
        "intelligent tskd": "#009E73",
        "intelligent nokd": "#56B4E9",
    }.items()
}
_GRID = {"color": "#e3e6ea", "linewidth": 0.8}
QUIET = "#59636e"
TRUTH_COLOUR = "#F0E442"


def name_colours(names: Iterable[str]) -> dict[str, str]:
    """Returns one colour per name.

    The usual roles have colours of their own; other names get the palette's in turn.

    Example:
      >>> name_colours(["teacher", "mine", "yours"])
      {'teacher': '#000000', 'mine': '#0072B2', 'yours': '#D55E00'}
    """
    words = {name: frozenset(re.findall(r"[a-z0-9]+", name.lower())) for name in names}
    fixed = {name: FIXED[key] for name, key in words.items() if key in FIXED}
    free = [c for c in PALETTE if c not in fixed.values()] or list(PALETTE)
    others = [name for name in words if name not in fixed]
    rest = {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: {**fixed, **rest}[name] for name in words}


def line_styles(colours: Colours) -> dict[str, str]:
    """Returns the line style of each name.

    Lines are solid, and dashed or dotted for names whose colour is taken.

    Example:
      >>> line_styles({"a": "#000000", "b": "#ffffff", "c": "#000000"})
      {'a': '-', 'b': '-', 'c': '--'}
    """
    names = list(colours)
    earlier = {
        name: sum(colours[other] == colours[name] for other in names[:i])
        for i, name in enumerate(names)
    }
    return {name: ("-", "--", ":", "-.")[n % 4] for name, n in earlier.items()}


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


def figure_to_png_base64(figure: Figure, *, dpi: int = 130) -> str:
    """Returns the figure as a `data:` address, for pictures too heavy as SVG."""
    code = base64.b64encode(figure_to_png(figure, dpi=dpi)).decode("ascii")
    return f"data:image/png;base64,{code}"


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


def legend_below(figure: Figure, entries: Colours, *, truth: bool = False) -> None:
    """Draws one legend for the whole figure, below it, where it covers nothing.

    Args:
      figure: The figure.
      entries: Colour of each name.
      truth: Whether the legend also explains the ground truth's line.
    """
    names = list(entries)
    handles = [Line2D([], [], color=c, linewidth=2.4) for c in entries.values()]
    if truth:
        style = {"color": TRUTH_COLOUR, "linestyle": "--", "linewidth": 2.0}
        names.append("ground truth")
        handles.append(Line2D([], [], **style))
        # Yellow needs a dark neighbour to be seen on white paper.
        handles[-1].set_path_effects([withStroke(linewidth=3.4, foreground="#000000")])
    name_legend(figure, handles, names, ncols=min(len(handles), 6))
