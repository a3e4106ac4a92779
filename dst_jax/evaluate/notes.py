"""What the numbers of an evaluation do not say by themselves, a sentence each."""

from collections.abc import Mapping

from dst_jax.errors import printable
from dst_jax.evaluate.protocols import Protocol, ResetProtocol
from dst_jax.evaluate.score import Score, SequenceScore

_TREATMENTS = {
    "left_out": ("it does not count", "they do not count"),
    "missed": ("it counts as missed", "they count as missed"),
    "precise": (
        "it counts as missed, but as precise",
        "they count as missed, but as precise",
    ),
    "no_overlap": ("it counts as overlap 0", "they count as overlap 0"),
}
_NO_REGION = ("no region overlaps it", "no region overlaps them")
_MOST_NAMED = 4


def notes(scores: Mapping[str, Score]) -> tuple[str, ...]:
    """Returns what must be known of a data set and of its trackers' boxes.

    That is how frames are treated whose true box is missing or has no area, and which
    tracker's boxes have no area or never move, or how often a tracker was started anew.

    Args:
      scores: Score of each tracker, at least one, all on one data set.

    Example:
      >>> import numpy as np
      >>> from dst_jax.evaluate import OTB, score
      >>> truth = np.array([[5.0, 5.0, 4.0, 4.0], [6.0, 5.0, 4.0, 4.0], [0.0] * 4])
      >>> notes({"mine": score({"Board": truth}, {"Board": truth}, OTB)})[0]
      '1 frame of Board has a true box without area: it counts as overlap 0.'
    """
    first = next(iter(scores.values()))
    protocol = first.protocol
    if isinstance(protocol, ResetProtocol):
        return tuple(_restarts(scores))
    found = [
        *_truth(
            {name: part.empty for name, part in first.sequences.items()},
            "a true box without area",
            _TREATMENTS[protocol.empty_truth],
        ),
        *_hidden(first.sequences, protocol),
    ]
    given = protocol.first_frame == "truth" and first.sequences
    if given and all(map(_only_first, first.sequences.values())):
        found.append("Only first frames have a true box: these scores say nothing.")
    for name, score in scores.items():
        found += _boxes(printable(name), list(score.sequences.values()), protocol)
    return tuple(found)


def _restarts(scores: Mapping[str, Score]) -> list[str]:
    """Returns notes on frames without a true region, and on failures."""
    first = next(iter(scores.values()))
    absent = {name: part.absent for name, part in first.sequences.items()}
    found = _truth(absent, "no true region", _NO_REGION)
    for name, score in scores.items():
        failures = sum(part.failures for part in score.sequences.values())
        count = len(score.sequences)
        found.append(
            f"{printable(name)}: {failures:,.5g} failure{'s' * (failures != 1)} in "
            f"{count} sequence{'s' * (count != 1)}."
        )
    return found


def _hidden(parts: Mapping[str, SequenceScore], protocol: Protocol) -> list[str]:
    """Returns notes on frames that are marked, or that have no true box."""
    invalid = _TREATMENTS[protocol.invalid_truth]
    if protocol.unseen == protocol.invalid_truth:
        counts = {name: part.unseen + part.absent for name, part in parts.items()}
        seen = "no true box" if "covered" not in protocol.marks else "no visible target"
        return _truth(counts, seen, invalid)
    return [
        *_truth(
            {name: part.unseen for name, part in parts.items()},
            "no visible target",
            _TREATMENTS[protocol.unseen],
        ),
        *_truth(
            {name: part.absent for name, part in parts.items()}, "no true box", invalid
        ),
    ]


def _only_first(part: SequenceScore) -> bool:
    return part.frames == 1 and part.absent + part.unseen > 0


def _truth(
    counts: Mapping[str, int], what: str, treatment: tuple[str, str]
) -> list[str]:
    names = [printable(name) for name, count in counts.items() if count]
    if not names:
        return []
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    total = sum(counts.values())
    shown = ", ".join(names[:_MOST_NAMED]) + more
    if total == 1:
        return [f"1 frame of {shown} has {what}: {treatment[0]}."]
    return [f"{total:,} frames of {shown} have {what}: {treatment[1]}."]


def _boxes(name: str, parts: list[SequenceScore], protocol: Protocol) -> list[str]:
    found = []
    if empty := sum(part.empty_predicted for part in parts):
        what = "overlap nothing"
        if protocol.empty_predicted == "repeated":
            what = "count as the box before them"
        found.append(f"{name}: {empty:,} of its boxes have no area and so {what}.")
    if parts and not any(part.moves for part in parts):
        found.append(f"{name}: its boxes never differ from the first of a sequence.")
    return found
