"""Draws the two frames of the i-th training example, a function of (seed, i)."""

import collections.abc
import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import numpy as np

from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.require import require, require_at_least, require_one_of, require_share
from dst_jax.typing import Bool, Float, Int

# Sources take turns in a cycle of at most this many examples.
_CYCLE = 1000

MOST_GAP = 10**6  # frames: ten hours of video


@dataclasses.dataclass(frozen=True, slots=True)
class PairConfig:
    """How a pair is drawn.

    Attributes:
      max_gap: Largest distance between the two frames, in annotated frames.
      negative_share: Share of pairs whose search frame shows another video's target.
      max_gaps: (source, gap) for each source that has a gap of its own.
      negatives_from: Group from which that other target is drawn uniformly: all
        "sequences", or "sources" first and then the sequences of one source.
      order: Whether the search frame may lie before the template's ("any") or must lie
        after it ("causal").
    """

    max_gap: int = 100
    negative_share: float = 0.0
    max_gaps: tuple[tuple[str, int], ...] = ()
    negatives_from: Literal["sequences", "sources"] = "sequences"
    order: Literal["any", "causal"] = "any"

    def __post_init__(self):
        require_at_least(0, self, "max_gap")
        require_one_of(("any", "causal"), self, "order")
        near = self.max_gap <= MOST_GAP
        require(near, self, "max_gap", f"must be at most {MOST_GAP:,}")
        fits = all(gap >= 0 for _, gap in self.max_gaps)
        require(fits, self, "max_gaps", "must be at least 0")
        near = all(gap <= MOST_GAP for _, gap in self.max_gaps)
        require(near, self, "max_gaps", f"must be at most {MOST_GAP:,}")
        require_one_of(("sequences", "sources"), self, "negatives_from")
        require_share(self, "negative_share")

    def gap(self, source: str) -> int:
        """Returns the largest distance within a sequence of `source`, in frames."""
        return dict(self.max_gaps).get(source, self.max_gap)


class Pair(NamedTuple):
    """One pair: indices of its sequences and of the frames in them."""

    template_sequence: int
    template_frame: int
    search_sequence: int
    search_frame: int
    is_negative: bool


class Pairs(NamedTuple):
    """Several pairs, with one array for each field of `Pair`."""

    template_sequence: Int[np.ndarray, " n"]
    template_frame: Int[np.ndarray, " n"]
    search_sequence: Int[np.ndarray, " n"]
    search_frame: Int[np.ndarray, " n"]
    is_negative: Bool[np.ndarray, " n"]

    def rows(self) -> list[Pair]:
        """Returns the pairs one by one."""
        columns = (column.tolist() for column in self)
        return [Pair(*row) for row in zip(*columns, strict=True)]


@dataclasses.dataclass(frozen=True, slots=True)
class SourceOrder:
    """The order in which sources and their sequences take turns.

    Attributes:
      members: Indices of the sequences of each source.
      turns: Index of the source of each example in one cycle.
    """

    members: tuple[tuple[int, ...], ...]
    turns: tuple[int, ...]


def make_order(
    sequences: collections.abc.Sequence[Sequence],
    *,
    sources: tuple[str, ...] = (),
    weights: tuple[float, ...] = (),
) -> SourceOrder:
    """Groups sequences by source and spreads the sources' turns evenly.

    With weights, sources alternate in a fixed cycle of up to 1000 examples, in which
    each has its share (to 1/1000, at least one example); the source that is furthest
    behind always comes next. Without weights all sequences are one group, in which each
    is as frequent as any other.

    Args:
      sequences: Sequences to which the indices refer.
      sources: Values of `Sequence.source`, one per weight.
      weights: Shares of the examples, in any unit, positive.

    Returns:
      The order that `PairSampler` follows.

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
        # argmax takes the first of equals, so that the order of sources settles ties.
        source = int(np.argmax(counts * (turn / total) - taken))
        taken[source] += 1.0
        turns.append(source)
    return tuple(turns)


class PairSampler:
    """Draws training pairs; the i-th is a function of (seed, i) alone.

    The template is uniform among the visible frames, and the search frame among the
    other visible frames at most `max_gap` away. A template frame without such others
    is paired with itself. In causal order the search frame is later, the last visible
    frame is no template, and a template without later frames within the gap is paired
    with the next one; a target with one visible frame is paired with itself.

    Args:
      sequences: Sequences that each have a visible frame.
      config: Gaps and share of negatives.
      seed: Seed of the whole run.
      order: Order from `make_order`; all sequences are equally frequent if None.

    Raises:
      InputError: If a sequence has no visible frame, or negatives are asked for and
        there is only one video.
    """

    def __init__(
        self,
        sequences: collections.abc.Sequence[Sequence],
        config: PairConfig,
        *,
        seed: int,
        order: SourceOrder | None = None,
    ):
        self._config, self._seed = config, seed
        self._turns = _Turns(make_order(sequences) if order is None else order, seed)
        self._frames = _VisibleFrames(sequences, config)
        numbers: dict[str, int] = {}
        videos = [numbers.setdefault(s.video, len(numbers)) for s in sequences]
        self._videos = np.array(videos)
        if config.negative_share and len(numbers) == 1:
            raise InputError(
                f"negative pairs need a second video beside {sequences[0].video!r}; "
                "add one or set negative_share to 0."
            )
        self._pools = (np.arange(len(sequences)),)
        if config.negatives_from == "sources":
            self._pools = self._turns.members

    def draw(self, indices: range) -> Pairs:
        """Returns the pairs of these global numbers, which count from 0 without end.

        The pairs do not depend on the number of processes or threads, nor on how the
        numbers are grouped into calls.
        """
        chances = _uniform(self._seed, indices)
        first = self._turns.sequences(np.array(indices, np.int64))
        template, near = self._frames.draw(first, chances[:, 0], chances[:, 2])
        is_negative = chances[:, 1] < self._config.negative_share
        search, other = near, first.copy()
        for row in np.flatnonzero(is_negative):
            other[row] = self._another_video(int(first[row]), chances[row, 3:])
        if is_negative.any():
            # Any visible frame of the other target may be the search frame.
            far, _ = self._frames.draw(other, chances[:, 2], chances[:, 2])
            search = np.where(is_negative, far, near)
        return Pairs(first, template, other, search, is_negative)

    def _another_video(self, first: int, chances: Float[np.ndarray, " 5"]) -> int:
        """Returns a random sequence of another video than that of `first`."""
        which, *tries, last = chances
        pool = self._pools[_pick(which, len(self._pools))]
        video = self._videos[first]
        # With many videos rejection needs one draw or two; few videos need the list.
        for chance in tries:
            found = pool[_pick(chance, len(pool))]
            if self._videos[found] != video:
                return int(found)
        others = pool[self._videos[pool] != video]
        if not len(others):
            # A source with only one video has no negative for it.
            others = np.flatnonzero(self._videos != video)
        return int(others[_pick(last, len(others))])


class _Turns:
    """Assigns a sequence to every example: each once per pass over its source."""

    def __init__(self, order: SourceOrder, seed: int):
        self.members = tuple(np.array(members) for members in order.members)
        self._seed, self._source = seed, np.array(order.turns)
        self._sizes = np.array([len(members) for members in self.members])
        # Number of a source's turns in a cycle, and of those before each turn.
        mine = self._source[:, None] == np.arange(len(self.members))[None, :]
        self._per_cycle = mine.sum(axis=0)
        before = mine.cumsum(axis=0) - mine
        self._before = before[np.arange(len(before)), self._source]

    def sequences(self, indices: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        cycle, turn = np.divmod(indices, len(self._source))
        source = self._source[turn]
        position = cycle * self._per_cycle[source] + self._before[turn]
        lap, place = np.divmod(position, self._sizes[source])
        found = np.empty_like(indices)
        # Examples are handled in groups that share a source and a pass over it.
        order = np.lexsort((lap, source))
        news = (np.diff(source[order]) != 0) | (np.diff(lap[order]) != 0)
        for rows in np.split(order, np.flatnonzero(news) + 1) if len(order) else ():
            which = int(source[rows[0]])
            members = self.members[which]
            shuffled = _shuffle(self._seed, which, int(lap[rows[0]]), len(members))
            found[rows] = members[shuffled[place[rows]]]
        return found


class _VisibleFrames:
    """Holds the visible frames of all sequences in one ascending array of keys."""

    def __init__(
        self, sequences: collections.abc.Sequence[Sequence], config: PairConfig
    ):
        visible = [np.flatnonzero(sequence.visible) for sequence in sequences]
        for sequence, frames in zip(sequences, visible, strict=True):
            if not len(frames):
                raise InputError(
                    f"sequence {sequence.name!r} has no visible frame to train on; "
                    "leave it out."
                )
        self._ends = np.cumsum([len(frames) for frames in visible])
        self._counts = np.array([len(frames) for frames in visible])
        longest = max(len(sequence) for sequence in sequences)
        gaps = [min(config.gap(sequence.source), longest) for sequence in sequences]
        self._gaps, self._causal = np.array(gaps), config.order == "causal"
        # Sequences lie so far apart that no gap reaches from one into the next.
        self._apart = 2 * longest + 1
        self._keys = np.concatenate(
            [number * self._apart + frames for number, frames in enumerate(visible)]
        )

    def draw(
        self,
        sequence: Int[np.ndarray, " n"],
        first: Float[np.ndarray, " n"],
        second: Float[np.ndarray, " n"],
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Returns a random frame of each sequence and another near it."""
        counts = self._counts[sequence]
        if self._causal:
            return self._draw_later(sequence, first, second)
        place = self._ends[sequence] - counts + _pick(first, counts)
        frame, gap = self._keys[place], self._gaps[sequence]
        low = np.searchsorted(self._keys, frame - gap)
        others = np.searchsorted(self._keys, frame + gap, side="right") - low - 1
        other = low + _pick(second, others)
        # The template's own frame is passed over, unless it is the only one.
        other += (other >= place) & (others > 0)
        base = sequence * self._apart
        return frame - base, self._keys[other] - base

    def _draw_later(
        self,
        sequence: Int[np.ndarray, " n"],
        first: Float[np.ndarray, " n"],
        second: Float[np.ndarray, " n"],
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Returns a random frame of each sequence and a later one near it."""
        counts, ends = self._counts[sequence], self._ends[sequence]
        place = ends - counts + _pick(first, np.maximum(counts - 1, 1))
        frame = self._keys[place]
        high = np.searchsorted(self._keys, frame + self._gaps[sequence], side="right")
        # At least the next one, where there is any.
        later = np.maximum(high - place - 1, 1)
        other = np.minimum(place + 1 + _pick(second, later), ends - 1)
        base = sequence * self._apart
        return frame - base, self._keys[other] - base


# Number of uniform numbers of an example; Philox makes four at a time.
_CHANCES = 8


def _uniform(seed: int, indices: range) -> Float[np.ndarray, "n _"]:
    """Returns each example's numbers in [0, 1).

    Philox is driven by a counter, so the numbers of any example can be computed alone.
    """
    first, count = indices.start, len(indices) and indices[-1] - indices.start + 1
    bits = np.random.Philox(key=seed, counter=first * (_CHANCES // 4))
    rows = np.random.Generator(bits).random((count, _CHANCES))
    return rows[:: indices.step]


def _pick(chance: Any, count: Any) -> Any:
    """Returns a whole number from 0 to below `count`, for a chance in [0, 1)."""
    return (chance * count).astype(np.int64)


# Neighbouring examples share a pass, and prefetching runs a little ahead of it.
@functools.lru_cache(maxsize=16)
def _shuffle(seed: int, source: int, lap: int, length: int) -> Int[np.ndarray, " n"]:
    return np.random.default_rng((seed, source, lap)).permutation(length)
