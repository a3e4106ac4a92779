"""Scores as JSON, and as a table in the terminal; every one is a fraction in [0, 1]."""

from collections.abc import Mapping
from typing import Any

import rich.table
import rich.text

from dst_jax.errors import printable
from dst_jax.evaluate.notes import notes
from dst_jax.evaluate.score import Score, SequenceScore

NOTHING = "\N{EN DASH}"


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
