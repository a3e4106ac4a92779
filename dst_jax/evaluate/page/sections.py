"""Makes a page of values: verdict, provenance, numbers, plots, pictures."""

import dataclasses
from collections.abc import Mapping, Sequence

from dst_jax.evaluate import plots
from dst_jax.evaluate.notes import notes
from dst_jax.evaluate.page.content import Benchmark
from dst_jax.evaluate.page.markup import (
    Cell,
    Facts,
    Figure,
    Fold,
    Heading,
    Lead,
    Paragraph,
    Section,
    SideBySide,
    Table,
    html_page,
)
from dst_jax.evaluate.page.pictures import (
    Response,
    Strip,
    response_sections,
    strip_sections,
)
from dst_jax.evaluate.page.tables import (
    attribute_table,
    comparison_table,
    sequence_table,
    speed_table,
    tracker_table,
)
from dst_jax.evaluate.page.verdict import verdict
from dst_jax.evaluate.score_plots import score_figures
from dst_jax.evaluate.style import Looks, name_looks

# A table of more sequences is folded at first.
_MOST_SEQUENCES = 40
_CAPTIONS = {
    "success": "Success: share of frames whose overlap with the truth exceeds the "
    "threshold.",
    "precision": "Precision: share of frames whose centre is within the distance.",
    "norm_precision": "Normalised precision: the distance in sides of the true box.",
    "eao": "Mean overlap within so many frames of a start; EAO is its mean between the "
    "dashed lines.",
    "speed": "Accuracy over speed, as in the paper's Fig. 1: frames/s from files to "
    "boxes, decoding included, on the device named above.",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """Everything that a page shows.

    Attributes:
      title: Its title.
      benchmarks: Trackers and scores by data set, at least one.
      provenance: What it was made of, by what it is: commit, versions, device.
      made: How each tracker was made, a row each; empty if nothing is known.
      about: Sentences below the verdict, such as how the trackers were trained.
      strips: Frames of a few sequences of each data set.
      responses: What networks respond to.
      more: Further sections, before the provenance.
    """

    title: str
    benchmarks: Sequence[Benchmark]
    provenance: Mapping[str, str]
    made: Sequence[Mapping[str, Cell]] = ()
    about: Sequence[str] = ()
    strips: Mapping[str, Sequence[Strip]] = dataclasses.field(default_factory=dict)
    responses: Sequence[Response] = ()
    more: Sequence[Section] = ()


def page_html(page: Page) -> str:
    """Returns the page as HTML that refers to nothing outside itself.

    Args:
      page: What it shows.
    """
    return html_page(page.title, page_sections(page))


def page_sections(page: Page) -> list[Section]:
    """Returns the sections of a page, the gravest first.

    Args:
      page: What it shows.
    """
    looks = _looks(page)
    sections: list[Section] = []
    several = len(page.benchmarks) > 1
    for benchmark in page.benchmarks:
        sentences = verdict(benchmark)
        if several:
            sentences = [f"On {benchmark.dataset}: {sentences[0]}", *sentences[1:]]
        sections.append(Lead(sentences))
    sections += [Paragraph(text) for text in page.about]
    sections.append(Facts(page.provenance))
    for benchmark in page.benchmarks:
        sections += _benchmark(page, benchmark, looks)
    if page.responses:
        sections.append(Heading("What the networks respond to"))
        sections.append(
            Paragraph(
                "The search image in grey under each map. A map is bright where it is "
                "high, each over its own range; a line surrounds its upper half, a "
                "cross marks its highest cell, and the yellow box is the truth. "
                "Activations are those of the last layer, without and with the "
                "weight W that suppresses the background (eq. 14)."
            )
        )
        sections += response_sections(page.responses)
    sections += page.more
    return [*sections, *_made(page.made)]


def _made(rows: Sequence[Mapping[str, Cell]]) -> list[Section]:
    """Returns how the trackers were made: what is the same for all, then the rest."""
    if not rows:
        return []
    columns = dict.fromkeys(column for row in rows for column in row)
    same = {
        column: str(rows[0][column])
        for column in columns
        if len(rows) > 1 and len({row.get(column) for row in rows}) == 1
    }
    rest = [{k: v for k, v in row.items() if k not in same} for row in rows]
    heading = Heading("How the trackers were made")
    return [heading, *([Facts(same)] if same else []), Table(rest)]


def _looks(page: Page) -> Looks:
    """Returns the looks of all entries; those of known roles are always the same."""
    roles = dict[str, str]()
    for entry in (e for b in page.benchmarks for e in b.entries):
        role = f"{entry.student} {entry.row}" if entry.student else entry.name
        role = "teacher" if entry.teacher else role
        # Another entry may have the role already.
        if entry.name not in roles:
            roles[entry.name] = entry.name if role in roles.values() else role
    looks = name_looks(roles.values())
    return {name: looks[role] for name, role in roles.items()}


def _benchmark(page: Page, benchmark: Benchmark, looks: Looks) -> list[Section]:
    """Returns tables, plots and film strips of one data set."""
    sections: list[Section] = [
        Heading(f"Results on {benchmark.dataset}"),
        tracker_table(benchmark),
    ]
    remarks = [*notes(benchmark.scores), *benchmark.remarks]
    sections += [Paragraph(text) for text in remarks]
    if (speeds := speed_table(benchmark)) is not None:
        sections += [Heading("Speeds", level=3), speeds]
    if (compared := comparison_table(benchmark)) is not None:
        sections += [Heading("Rows beside their counterparts", level=3), compared]
    figures = score_figures(benchmark.scores, benchmark.speeds, looks=looks)
    drawn = [
        Figure(plots.figure_to_svg(figure), _CAPTIONS[name])
        for name, figure in figures.items()
    ]
    sections += [Heading("Plots", level=3), SideBySide(drawn)]
    if (attributes := attribute_table(benchmark)) is not None:
        sections += [Heading("By attribute", level=3), attributes]
    if (sequences := sequence_table(benchmark)) is not None:
        many = len(sequences.rows) > _MOST_SEQUENCES
        summary = f"By sequence: {len(sequences.rows)} sequences"
        sections.append(Fold(summary, [sequences], opened=not many))
    strips = page.strips.get(benchmark.dataset, ())
    if strips:
        sections += strip_sections(strips, benchmark, looks)
    return sections
