"""What a page is about: trackers, how they were made, and what they did."""

import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from dst_jax.evaluate.score import Score
from dst_jax.typing import Float

PLAIN, TAUGHT, SHARING = "NOKD", "TSKD", "TSsKD"


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """What one trained network, or one folder of result files, did on a benchmark.

    Attributes:
      name: Name of its own, as the user called it.
      score: Its score.
      seed: Seed of its training; None if unknown.
      fps: End-to-end frames per second; None if unknown.
      stages: Frames per second of the tracker's stages by what they are called, such as
        "network"; empty if none was timed.
      gate_open: Share of the training's gates that were open; None if there are none,
        or nothing is known of them.
      boxes: Boxes (cx, cy, w, h) of every frame by sequence, frame pixels; empty where
        they are unknown, or regions.
    """

    name: str
    score: Score
    seed: int | None = None
    fps: float | None = None
    gate_open: float | None = None
    stages: Mapping[str, float] = dataclasses.field(default_factory=dict)
    boxes: Mapping[str, Float[np.ndarray, "*repeats _ 4"]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """A tracker of the page: one network, or the same with several seeds.

    Attributes:
      name: Name in tables and legends, unique within a benchmark.
      networks: The networks, at least one.
      student: Name of the student within its training; "" if it is none.
      row: How the student was trained, such as "TSKD".
      teacher: Whether the students learnt from it.
      parameters: Number of learnable parameters; None if unknown.
      megabytes: Size of the parameters as float32, in units of 10^6 bytes.
      search_macs: Number of multiply-adds for a search crop.
    """

    name: str
    networks: tuple[Network, ...]
    student: str = ""
    row: str = ""
    teacher: bool = False
    parameters: int | None = None
    megabytes: float | None = None
    search_macs: int | None = None

    @functools.cached_property
    def score(self) -> Score:
        """Returns the mean of the networks' scores."""
        return mean_score([network.score for network in self.networks])

    @property
    def fps(self) -> float | None:
        """Returns the mean speed of the networks for which it is known."""
        known = [one.fps for one in self.networks if one.fps is not None]
        return statistics.fmean(known) if known else None

    @property
    def stages(self) -> dict[str, float]:
        """Returns mean frames per second by stage, of those that all networks have."""
        return _mean_values([network.stages for network in self.networks])

    @property
    def gate_open(self) -> float | None:
        """Returns the mean share of open gates of the networks that have gates."""
        known = [one.gate_open for one in self.networks if one.gate_open is not None]
        return statistics.fmean(known) if known else None

    def spread(self, measure: str) -> float | None:
        """Returns the networks' sample standard deviation; None of a single one."""
        values = [network.score.values[measure] for network in self.networks]
        return statistics.stdev(values) if len(values) > 1 else None


@dataclasses.dataclass(frozen=True, eq=False)
class Benchmark:
    """Trackers on one data set under one protocol.

    Attributes:
      dataset: The data set as the user named it.
      entries: The trackers, at least one, in the order of the page.
      remarks: Sentences on how it was scored.
      attributes: Names of the sequences that have each attribute, such as "occlusion".
    """

    dataset: str
    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def scores(self) -> dict[str, Score]:
        """Returns the scores by the names of the entries."""
        return {entry.name: entry.score for entry in self.entries}

    @property
    def speeds(self) -> dict[str, float]:
        """Returns frames per second by entry, of those for which they are known."""
        known = {entry.name: entry.fps for entry in self.entries}
        return {name: fps for name, fps in known.items() if fps}

    @property
    def measure(self) -> str:
        """Returns the name of the protocol's most quoted measure."""
        return self.entries[0].score.protocol.measures[0].name

    @property
    def heading(self) -> str:
        """Returns how the protocol's most quoted measure is called in tables."""
        return self.entries[0].score.protocol.measures[0].heading

    @property
    def teacher(self) -> Entry | None:
        """Returns the teacher, if it is among the entries."""
        return next((entry for entry in self.entries if entry.teacher), None)

    @property
    def students(self) -> dict[str, dict[str, Entry]]:
        """Returns entries by student and row, the smallest student first."""
        found: dict[str, dict[str, Entry]] = {}
        for entry in self.entries:
            if entry.student:
                found.setdefault(entry.student, {})[entry.row] = entry

        def size(name: str) -> int:
            return next(iter(found[name].values())).parameters or 0

        return {name: found[name] for name in sorted(found, key=size)}


def mean_score(scores: Sequence[Score]) -> Score:
    """Returns the mean of scores of the same sequences: numbers, curves, sequences.

    Args:
      scores: Scores under one protocol, at least one.
    """
    first, *others = scores
    if not others:
        return first
    return Score(
        first.protocol,
        _mean_values([score.values for score in scores]),
        _mean_curves([score.curves for score in scores]),
        {
            name: dataclasses.replace(
                part,
                values=_mean_values([score.sequences[name].values for score in scores]),
                curves=_mean_curves([score.sequences[name].curves for score in scores]),
            )
            for name, part in first.sequences.items()
        },
    )


def _mean_values(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        name: statistics.fmean(one[name] for one in values)
        for name in values[0]
        if all(name in one for one in values)
    }


def _mean_curves(
    curves: Sequence[Mapping[str, Float[np.ndarray, " n"]]],
) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns mean curves, each as long as the shortest of its kind."""
    lengths = {name: min(len(one[name]) for one in curves) for name in curves[0]}
    return {
        name: np.mean([one[name][:length] for one in curves], axis=0)
        for name, length in lengths.items()
    }
