"""Scores of runs with restarts: accuracy, robustness and expected average overlap."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from dst_jax.errors import InputError
from dst_jax.evaluate.names import require_names
from dst_jax.evaluate.protocols import ResetProtocol
from dst_jax.evaluate.region_overlap import region_overlap
from dst_jax.evaluate.score import Score, SequenceScore
from dst_jax.regions import FAILED, NOWHERE, START
from dst_jax.typing import Float, Region

EXPECTED_OVERLAP = "expected_overlap"
"""Name of the curve of a score: the mean overlap within 1, 2, ... frames of a start."""

Run: TypeAlias = tuple[Region, ...]
"""What a tracker did in every frame: a region, or one of the codes of VOT's files."""


@dataclasses.dataclass(frozen=True, eq=False)
class RegionTruth:
    """The annotation of one sequence by regions.

    Attributes:
      regions: True region of each frame, (0,) where there is none.
      size: (height, width) of the frames in pixels.
    """

    regions: tuple[Region, ...]
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class _Fragment:
    """A run from a start on.

    Attributes:
      overlaps: Overlap in each frame, that of the start included.
      failed: Whether the overlap is 0 ever after, as if the video went on.
      weight: Its weight in the expected overlap.
    """

    overlaps: Float[np.ndarray, " t"]
    failed: bool
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Runs:
    """All runs on one sequence.

    Attributes:
      counted: Overlap in each frame that accuracy counts, else NaN.
      failures: Mean number of failures of a run.
      fragments: Fragments of all runs.
    """

    counted: Float[np.ndarray, "runs t"]
    failures: float
    fragments: tuple[_Fragment, ...]


def score_runs(
    results: Mapping[str, Sequence[Run]],
    truths: Mapping[str, RegionTruth],
    protocol: ResetProtocol,
) -> Score:
    """Scores a tracker that was started anew wherever it had failed.

    Args:
      results: Runs by sequence, at least one of each; further sequences are ignored.
      truths: Annotations by sequence, one of which is longer than the first length of
        the protocol's interval.
      protocol: The conventions.

    Raises:
      InputError: If a sequence has no result, or a run another length.

    Example:
      >>> from dst_jax.evaluate import named_protocol
      >>> truth = RegionTruth(((1.0, 1.0, 9.0, 9.0),) * 60, size=(20, 20))
      >>> run = ((1.0,), *truth.regions[1:])
      >>> protocol = named_protocol("vot2019")
      >>> score_runs({"ants": [run]}, {"ants": truth}, protocol).values
      {'eao': 1.0, 'accuracy': 1.0, 'robustness': 0.0}
    """
    require_names(truths, results, where="the results")
    found = {
        name: _read_runs(name, results[name], truth, protocol)
        for name, truth in truths.items()
    }
    lengths = [len(truth.regions) for truth in truths.values()]
    if max(lengths) <= protocol.low:
        raise InputError(f"{protocol.name}: no sequence has {protocol.low + 1} frames.")
    sequences = {
        name: SequenceScore(
            protocol,
            {
                "accuracy": _accuracy(runs, protocol),
                "robustness": _robustness([runs], protocol),
            },
            {},
            frames=int(np.isfinite(runs.counted).sum()),
            absent=truths[name].regions.count(NOWHERE),
            failures=runs.failures,
        )
        for name, runs in found.items()
    }
    curve = _expected_overlap(list(found.values()), max(lengths), protocol)
    values = {
        "eao": float(curve[protocol.low - 1 : protocol.high].mean()),
        "accuracy": _mean_accuracy(list(found.values()), protocol),
        "robustness": _robustness(list(found.values()), protocol),
    }
    return Score(protocol, values, {EXPECTED_OVERLAP: curve}, sequences)


def run_overlaps(run: Run, truth: RegionTruth) -> Float[np.ndarray, " t"]:
    """Returns the overlap of each frame of a run, NaN where it has a code."""
    return np.array(
        [
            region_overlap(region, true, truth.size) if len(region) > 1 else np.nan
            for region, true in zip(run, truth.regions, strict=True)
        ]
    )


def _read_runs(
    name: str, runs: Sequence[Run], truth: RegionTruth, protocol: ResetProtocol
) -> _Runs:
    counted, failures, fragments = [], [], []
    for run in runs:
        if len(run) != len(truth.regions):
            raise InputError(
                f"sequence {name!r}: a run of {len(run)} frames for "
                f"{len(truth.regions)}; give one region or code per frame."
            )
        overlaps = run_overlaps(run, truth)
        starts = [frame for frame, region in enumerate(run) if region == START]
        failed = [frame for frame, region in enumerate(run) if region == FAILED]
        if protocol.kit == "pysot":
            fragments += _to_the_restarts(overlaps, failed, protocol.skip)
        else:
            fragments += _to_the_failures(overlaps, starts, failed)
        for start in starts:
            overlaps[start : start + protocol.burn_in] = np.nan
        counted.append(overlaps)
        failures.append(len(failed))
    return _Runs(np.stack(counted), float(np.mean(failures)), tuple(fragments))


def _to_the_failures(
    overlaps: Float[np.ndarray, " t"], starts: list[int], failed: list[int]
) -> list[_Fragment]:
    """Returns vot-toolkit's fragments, each of which ends before its failure."""
    found = [
        _Fragment(overlaps[start:failure].copy(), failed=True)
        for start, failure in zip(starts, failed, strict=False)
    ]
    if len(starts) > len(failed):
        found.append(_Fragment(overlaps[starts[-1] :].copy(), failed=False))
    return found


def _to_the_restarts(
    overlaps: Float[np.ndarray, " t"], failed: list[int], skip: int
) -> list[_Fragment]:
    """Returns pysot's fragments, each of which ends where the next one begins."""
    count = len(overlaps)
    begins = [0, *(frame + skip for frame in failed if frame + skip <= count)]
    found = []
    for begin, end in itertools.pairwise(begins):
        part = overlaps[begin : end + 1].copy()
        # The kit divides by a frame too many where the next start is past the end.
        weight = len(part) / (end - begin + 1)
        found.append(_Fragment(part, failed=True, weight=weight))
    if begins[-1] < count:
        found.append(_Fragment(overlaps[begins[-1] :].copy(), failed=False))
    return found


def _expected_overlap(
    sequences: Sequence[_Runs], longest: int, protocol: ResetProtocol
) -> Float[np.ndarray, " n"]:
    """Returns the mean overlap to expect within 1, 2, ... frames after a start.

    A fragment that failed has overlap 0 from there on; one that ended with its video
    says nothing of greater lengths.
    """
    fragments = [part for runs in sequences for part in runs.fragments]
    if protocol.kit != "pysot":
        longest = max(len(part.overlaps) for part in fragments)
    # Where every run is shorter than the interval, its first length is taken.
    frames = max(longest, protocol.low + 1)
    known = np.zeros((len(fragments), frames))
    weights = np.zeros_like(known)
    for row, part in enumerate(fragments):
        known[row, : len(part.overlaps)] = np.nan_to_num(part.overlaps)
        weights[row, : frames if part.failed else len(part.overlaps)] = part.weight
    # The frame of the start does not count.
    means = np.cumsum(known[:, 1:], axis=1) / np.arange(1, frames)
    return (weights[:, 1:] * means).sum(axis=0) / weights[:, 1:].sum(axis=0)


def _accuracy(runs: _Runs, protocol: ResetProtocol) -> float:
    if protocol.kit == "pysot":
        return _mean(_frame_means(runs.counted))
    return float(np.mean([_mean(run) for run in runs.counted]))


def _mean_accuracy(sequences: Sequence[_Runs], protocol: ResetProtocol) -> float:
    if protocol.kit == "pysot":
        return _mean(np.concatenate([_frame_means(s.counted) for s in sequences]))
    each = [_accuracy(runs, protocol) for runs in sequences]
    return float(np.average(each, weights=_lengths(sequences)))


def _robustness(sequences: Sequence[_Runs], protocol: ResetProtocol) -> float:
    failures, lengths = [runs.failures for runs in sequences], _lengths(sequences)
    if protocol.kit == "pysot":
        return 100.0 * sum(failures) / sum(lengths)
    return float(np.average(failures, weights=lengths))


def _lengths(sequences: Sequence[_Runs]) -> list[int]:
    return [runs.counted.shape[1] for runs in sequences]


def _frame_means(counted: Float[np.ndarray, "runs t"]) -> Float[np.ndarray, " t"]:
    """Returns the mean over runs in each frame, NaN where no run counts."""
    known = np.isfinite(counted)
    total = np.where(known, counted, 0.0).sum(axis=0)
    runs = known.sum(axis=0)
    return np.where(runs > 0, total / np.maximum(runs, 1), np.nan)


def _mean(values: Float[np.ndarray, " t"]) -> float:
    """Returns the mean of what is no NaN, 0 if there is nothing else."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else 0.0
