"""Which two frames are the i-th training example: a function of (seed, i)."""

import dataclasses
import functools
from collections.abc import Sequence as ListOf
from typing import Literal, NamedTuple

import numpy as np

from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.typing import Int

# Sources take turns in a cycle of at most this many examples.
_CYCLE = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class PairConfig:
    """How a pair is drawn.

    Attributes:
      max_gap: Largest distance between the two frames, in annotated frames.
      negative_share: Part of the pairs whose search frame shows another video's target.
      max_gaps: (source, gap) where a source has a gap of its own.
      negatives_from: Whether that other target is uniform over all sequences, or over
        sources first and then over the sequences of one.
    """

    max_gap: int = 100
    negative_share: float = 0.0
    max_gaps: tuple[tuple[str, int], ...] = ()
    negatives_from: Literal["sequences", "sources"] = "sequences"

    def __post_init__(self):
        for field in ("max_gap", "max_gaps"):
            value = getattr(self, field)
            gaps = [gap for _, gap in value] if field == "max_gaps" else [value]
            if min(gaps, default=0) < 0:
                raise InputError(f"PairConfig.{field}={value}: must be at least 0.")
        if self.negatives_from not in ("sequences", "sources"):
            raise InputError(
                f"PairConfig.negatives_from={self.negatives_from!r}: must be "
                '"sequences" or "sources".'
            )
        if not 0.0 <= self.negative_share <= 1.0:
            raise InputError(
                f"PairConfig.negative_share={self.negative_share}: must be from 0 to 1."
            )

    def gap(self, source: str) -> int:
        """The largest distance within a sequence of `source`."""
        return dict(self.max_gaps).get(source, self.max_gap)


class Pair(NamedTuple):
    """Indices of sequences and of frames in them."""

    template_sequence: int
    template_frame: int
    search_sequence: int
    search_frame: int
    is_negative: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SourceOrder:
    """How sequences take turns.

    Attributes:
      members: Per source, the indices of its sequences.
      turns: One cycle: the source of each example in it.
    """

    members: tuple[tuple[int, ...], ...]
    turns: tuple[int, ...]


def make_order(
    sequences: ListOf[Sequence],
    *,
    sources: tuple[str, ...] = (),
    weights: tuple[float, ...] = (),
) -> SourceOrder:
    """Groups sequences by source and spreads the sources' turns evenly.

    With weights, sources alternate in a fixed cycle of up to 1000 examples in which
    each has its share (to 1/1000, at least one), always the one furthest behind next.
    Without weights all sequences are one group: each is as frequent as any other.

    Args:
      sequences: What the indices refer to.
      sources: Values of `Sequence.source`, one per weight.
      weights: Shares of the examples, in any unit, positive.

    Returns:
      The order that `sample_pair` follows.

    Raises:
      InputError: If there is no sequence, weights and sources differ in number, a
        weight is not positive, or a source has no sequence.
    """
    if not sequences:
        raise InputError("no training sequence is left; give a data set with targets.")
    if not weights:
        return SourceOrder((tuple(range(len(sequences))),), (0,))
    if len(weights) != len(sources) or not min(weights) > 0.0:
        raise InputError(
            f"DataConfig.weights={weights}: give one positive weight per source, "
            f"{len(sources)} in all."
        )
    members = tuple(
        tuple(i for i, s in enumerate(sequences) if s.source == source)
        for source in sources
    )
    for source, indices in zip(sources, members, strict=True):
        if not indices:
            raise InputError(f"source {source!r} has no training sequence; remove it.")
    return SourceOrder(members, _turns(weights))


def _turns(weights: tuple[float, ...]) -> tuple[int, ...]:
    shares = np.array(weights, np.float64) / np.sum(weights)
    counts = np.maximum(np.rint(shares * _CYCLE), 1.0).astype(np.int64)
    counts //= np.gcd.reduce(counts)
    total, taken, turns = int(counts.sum()), np.zeros(len(counts)), []
    for turn in range(1, total + 1):
        # argmax takes the first of equals: the order of sources settles ties.
        source = int(np.argmax(counts * (turn / total) - taken))
        taken[source] += 1.0
        turns.append(source)
    return tuple(turns)


def sequence_index(order: SourceOrder, *, seed: int, index: int) -> int:
    """The sequence of the `index`-th example: in each pass over a source, each once."""
    cycle, turn = divmod(index, len(order.turns))
    source = order.turns[turn]
    before = order.turns[:turn].count(source)
    position = cycle * order.turns.count(source) + before
    members = order.members[source]
    lap, place = divmod(position, len(members))
    return members[int(_shuffle(seed, source, lap, len(members))[place])]


# Neighbouring examples share a pass, and prefetching runs a little ahead of it.
@functools.lru_cache(maxsize=16)
def _shuffle(seed: int, source: int, lap: int, length: int) -> Int[np.ndarray, " n"]:
    return np.random.default_rng((seed, source, lap)).permutation(length)


def sample_pair(
    sequences: ListOf[Sequence],
    *,
    seed: int,
    index: int,
    config: PairConfig,
    order: SourceOrder | None = None,
) -> Pair:
    """The `index`-th training pair; the same on any number of processes or threads.

    The template is uniform among the visible frames, the search frame among the other
    visible ones at most `max_gap` away; a sequence with a single such frame is paired
    with itself.

    Args:
      sequences: Each with a visible frame.
      seed: Of the whole run.
      index: Global number of the example, from 0, without end.
      config: Gap and share of negatives.
      order: From `make_order`; all sequences equally often if None.

    Returns:
      Indices into `sequences` and their frames.

    Raises:
      InputError: If a sequence has no visible frame, or negatives are asked for and
        there is only one video.
    """
    order = make_order(sequences) if order is None else order
    rng = np.random.default_rng((seed, index))
    first = sequence_index(order, seed=seed, index=index)
    visible = _visible_frames(sequences[first])
    template = int(visible[rng.integers(len(visible))])
    if rng.random() < config.negative_share:
        other = _another_video(rng, sequences, first, _negatives(rng, order, config))
        frames = _visible_frames(sequences[other])
        search = int(frames[rng.integers(len(frames))])
        return Pair(first, template, other, search, True)
    gap = config.gap(sequences[first].source)
    near = visible[np.abs(visible - template) <= gap]
    others = near[near != template]
    pool = others if len(others) else near
    return Pair(first, template, first, int(pool[rng.integers(len(pool))]), False)


def _visible_frames(sequence: Sequence) -> Int[np.ndarray, " n"]:
    frames = np.flatnonzero(sequence.visible)
    if not len(frames):
        raise InputError(
            f"sequence {sequence.name!r} has no visible frame to train on; "
            "leave it out."
        )
    return frames


def _negatives(
    rng: np.random.Generator, order: SourceOrder, config: PairConfig
) -> ListOf[int] | None:
    """Sequences that the other target may come from; None for all."""
    if config.negatives_from == "sequences" or len(order.members) == 1:
        return None
    return order.members[int(rng.integers(len(order.members)))]


def _another_video(
    rng: np.random.Generator,
    sequences: ListOf[Sequence],
    first: int,
    among: ListOf[int] | None,
) -> int:
    """A uniform sequence of another video than that of `first`."""
    video = sequences[first].video
    pool = range(len(sequences)) if among is None else among
    # Rejection needs one draw or two where videos are many; the list is for few.
    for draw in rng.integers(len(pool), size=4):
        if sequences[pool[draw]].video != video:
            return pool[draw]
    others = [i for i in pool if sequences[i].video != video]
    if not others:
        # A source of one video has no negative for itself.
        others = [i for i, s in enumerate(sequences) if s.video != video]
    if not others:
        raise InputError(
            f"negative pairs need a second video beside {video!r}; add one or set "
            "negative_share to 0."
        )
    return others[int(rng.integers(len(others)))]
