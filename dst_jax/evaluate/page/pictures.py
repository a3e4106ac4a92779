"""What a page shows of video: which sequences, their frames, and overlaps."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from dst_jax.evaluate import plots
from dst_jax.evaluate.metrics import frame_overlaps
from dst_jax.evaluate.page.content import Benchmark, Entry
from dst_jax.evaluate.page.markup import (
    Figure,
    Heading,
    Paragraph,
    Section,
    SideBySide,
)
from dst_jax.evaluate.style import Looks
from dst_jax.typing import Float, Image

MOST_BOXES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Strip:
    """Frames of one sequence, with the boxes of a few trackers.

    Attributes:
      sequence: Name of the sequence.
      place: What it is among all, such as "worst".
      frames: Images by frame number, counted from 0, RGB.
      boxes: Boxes (cx, cy, w, h) of every frame of the sequence by tracker.
      truth: The true boxes, NaN where there is none.
      score: Number of the followed tracker on it.
    """

    sequence: str
    place: str
    frames: Mapping[int, Image]
    boxes: Mapping[str, Float[np.ndarray, "t 4"]]
    truth: Float[np.ndarray, "t 4"]
    score: float


@dataclasses.dataclass(frozen=True, eq=False)
class Response:
    """How networks respond to one search image each.

    Attributes:
      sequence: Name of the sequence.
      frame: Number of the frame, counted from 0.
      networks: What each network sees and answers, by name.
    """

    sequence: str
    frame: int
    networks: Mapping[str, "Answer"]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """One network's search image with maps over it.

    Attributes:
      search: The search image, RGB.
      box: The target (cx, cy, w, h) in its pixels.
      maps: Maps by what they are, with the image pixels per cell.
    """

    search: Image
    box: Float[np.ndarray, " 4"]
    maps: Mapping[str, tuple[Float[np.ndarray, "n n"], int]]


def followed(benchmark: Benchmark) -> Entry:
    """Returns the tracker by which sequences are chosen.

    That is the smallest student in its last row, else the best tracker.

    Args:
      benchmark: The trackers.
    """
    for rows in benchmark.students.values():
        return list(rows.values())[-1]
    return max(
        benchmark.entries, key=lambda entry: entry.score.values[benchmark.measure]
    )


def in_the_picture(benchmark: Benchmark) -> list[Entry]:
    """Returns the few trackers whose boxes are drawn: the teacher, and one student's.

    Args:
      benchmark: The trackers.
    """
    first = followed(benchmark)
    rows = benchmark.students.get(first.student, {})
    wanted = [one for one in (benchmark.teacher,) if one is not None]
    # With many rows the plain one, which comes first, and the last ones are shown.
    own = list(rows.values())
    room = MOST_BOXES - len(wanted)
    wanted += own if len(own) <= room else [own[0], *own[1 - room :]]
    ranked = sorted(
        benchmark.entries, key=lambda entry: -entry.score.values[benchmark.measure]
    )
    if not own:
        wanted += [entry for entry in ranked if entry not in wanted]
    return [entry for entry in wanted if entry.networks[0].boxes][:MOST_BOXES]


def picks(benchmark: Benchmark) -> dict[str, str]:
    """Returns the followed tracker's worst, median and best sequence, by what it is.

    Args:
      benchmark: The trackers.
    """
    measure, parts = benchmark.measure, followed(benchmark).networks[0].score.sequences
    known = [name for name, part in parts.items() if measure in part.values]
    ranked = sorted(known, key=lambda name: parts[name].values[measure])
    if not ranked:
        return {}
    if len(ranked) < 3:
        return {f"no. {n}": name for n, name in enumerate(ranked, start=1)}
    return {
        "worst": ranked[0],
        "median": ranked[len(ranked) // 2],
        "best": ranked[-1],
    }


def strip_sections(
    strips: Sequence[Strip], benchmark: Benchmark, looks: Looks
) -> list[Section]:
    """Returns the sections that show frames and overlaps of a few sequences.

    Args:
      strips: The sequences.
      benchmark: The trackers.
      looks: Look of each tracker.
    """
    name = followed(benchmark).name
    drawn = {tracker: looks[tracker] for strip in strips for tracker in strip.boxes}
    text = (
        "Frames of the sequences on which it does worst, middling and best, each cut "
        "to the part around the boxes, and the overlap in all frames."
    )
    legend = plots.figure_to_svg(plots.film_legend(drawn))
    sections: list[Section] = [
        Heading(f"On film: {name}", level=3),
        Paragraph(text),
        Figure(legend, alt="Legend of the boxes"),
    ]
    for strip in strips:
        shown = {tracker: looks[tracker] for tracker in strip.boxes}
        overlaps = {
            tracker: _overlaps(boxes, strip.truth)
            for tracker, boxes in strip.boxes.items()
        }
        caption = (
            f"{strip.sequence}, the {strip.place}: {benchmark.heading} of {name} "
            f"{strip.score:.3f}. Upright lines mark the frames shown."
        )
        plot = plots.overlap_plot(overlaps, marks=list(strip.frames), looks=shown)
        figures = [_frame(strip, number, overlaps, shown) for number in strip.frames]
        figures.append(Figure(plots.figure_to_svg(plot), caption))
        sections.append(SideBySide(figures, size="medium"))
    return sections


def _overlaps(
    boxes: Float[np.ndarray, "t 4"], truth: Float[np.ndarray, "t 4"]
) -> Float[np.ndarray, " t"]:
    """Returns the overlap in each frame, NaN where there is no truth."""
    known = np.isfinite(truth).all(axis=1)
    found = np.full(len(truth), np.nan)
    found[known] = frame_overlaps(boxes[known], truth[known])
    return found


def _frame(
    strip: Strip,
    number: int,
    overlaps: Mapping[str, Float[np.ndarray, " t"]],
    looks: Looks,
) -> Figure:
    boxes = {name: rows[number] for name, rows in strip.boxes.items()}
    figure = plots.film_frame(
        strip.frames[number], boxes, truth=strip.truth[number], looks=looks
    )
    words = [
        f"{name} {values[number]:.2f}"
        for name, values in overlaps.items()
        if np.isfinite(values[number])
    ]
    overlap = f": overlap {', '.join(words)}" if words else ": the target is absent"
    return Figure(
        plots.figure_to_jpeg_base64(figure),
        f"{strip.sequence}, frame {number}{overlap}.",
    )


def response_sections(responses: Sequence[Response]) -> list[Section]:
    """Returns the sections that show what networks respond to.

    Args:
      responses: The examples.
    """
    sections: list[Section] = []
    for response in responses:
        title = f"{response.sequence}, frame {response.frame}"
        sections.append(Heading(title, level=3))
        kinds = next(iter(response.networks.values())).maps
        for what in kinds:
            figures = [
                _response(answer, what, f"{name}: {what}")
                for name, answer in response.networks.items()
            ]
            sections.append(SideBySide(figures, size="small"))
    return sections


def _response(answer: Answer, what: str, caption: str) -> Figure:
    found, stride = answer.maps[what]
    figure = plots.response_over(answer.search, found, stride=stride, box=answer.box)
    return Figure(plots.figure_to_jpeg_base64(figure), caption)
