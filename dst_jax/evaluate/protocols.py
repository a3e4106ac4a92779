"""Evaluation protocols: named values that state every convention of a score.

Kits differ in conventions that move scores by points. A protocol spells its own out,
and a report quotes them; nothing outside this file knows of them.
"""

import dataclasses
import difflib
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from dst_jax.errors import InputError
from dst_jax.evaluate import metrics
from dst_jax.typing import Float

FirstFrame = Literal["truth", "given", "left_out"]
# A data set has thousands of sequences, and to find the nearest spelling takes time.
_MOST_NAMED = 10

InvalidTruth = Literal["left_out", "missed"]
EmptyTruth = Literal["left_out", "missed", "no_overlap"]


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """The conventions of a one-pass evaluation.

    Centres need no convention: the kits' x + (w - 1) / 2 and our continuous x + w / 2
    differ by half a pixel for both prediction and truth, so their distance is the same.

    Attributes:
      name: Name of the protocol in a report.
      overlap_thresholds: Thresholds of the success curve; its mean is the AUC.
      strict: Whether success asks for more than a threshold, or for at least it.
      error_thresholds_px: Thresholds of the precision curve in pixels; an error of
        exactly the threshold is precise.
      first_frame: Treatment of the first prediction: it is replaced by the truth and
        counts ("truth"), counts as it was given ("given"), or does not count
        ("left_out").
      invalid_truth: Treatment of frames whose true box is NaN: they do not count
        ("left_out"), or count as overlap 0 and an unbounded error ("missed").
      empty_truth: Treatment of frames whose true box has no area (w or h not positive),
        as of those without one, or overlap 0 and the distance from the centre that the
        truth states ("no_overlap").
    """

    name: str
    overlap_thresholds: tuple[float, ...] = metrics.OVERLAP_THRESHOLDS
    strict: bool = True
    error_thresholds_px: tuple[float, ...] = metrics.ERROR_THRESHOLDS_PX
    first_frame: FirstFrame = "truth"
    invalid_truth: InvalidTruth = "left_out"
    empty_truth: EmptyTruth = "no_overlap"

    def describe(self) -> dict[str, Any]:
        """Returns the conventions as JSON values, for a report."""
        return {
            **dataclasses.asdict(self),
            "overlap_thresholds": list(self.overlap_thresholds),
            "error_thresholds_px": list(self.error_thresholds_px),
            "centre": "box centre; equal to the kits' x + (w - 1) / 2 of both boxes",
            "success_auc": "mean of the success curve",
            "precision_20": "share of frames with a centre error <= 20 px",
            "op_50": f"share of frames with an overlap {self.comparison} 0.5",
            "mean": "over sequences, each with the same weight",
        }

    @property
    def comparison(self) -> str:
        """Returns the sign of the success plot's comparison, ">" or ">="."""
        return ">" if self.strict else ">="


OTB = Protocol("OTB one-pass evaluation")
"""OTB as the got10k toolkit scores it, which sets the first prediction to the truth.

OTB-100's Board and Twinnings end in a true box 0,0,0,0. got10k counts such a frame:
overlap 0, and the distance from the centre of that box. pysot and the benchmark's own
kit in MATLAB count it as missed in the success plot and, oddly, as precise in the
precision plot: pysot measures distances only where the true centre, (-.5, -.5) here, is
positive in x and y, whatever the size is. Frames whose truth is NaN, as in UAV123, are
left out, as got10k does.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceScore:
    """How well one tracker did on one sequence; shares lie in [0, 1].

    Attributes:
      protocol: The conventions behind the numbers.
      frames: Number of frames that count, the denominator.
      success: Share of frames above each overlap threshold.
      precision: Share of frames within each distance.
      success_auc: Mean of `success`.
      precision_20: Share of frames with a centre error of at most 20 px.
      op_50: Share of frames with an overlap above 0.5, or of at least 0.5 if the
        protocol is not strict.
      absent: Number of frames without a true box.
      empty: Number of frames whose true box has no area.
      empty_predicted: Number of predicted boxes, except the first, without area.
      moves: Whether a predicted box differs from the first.
    """

    protocol: Protocol
    frames: int
    success: Float[np.ndarray, " n"]
    precision: Float[np.ndarray, " m"]
    success_auc: float
    precision_20: float
    op_50: float
    absent: int = 0
    empty: int = 0
    empty_predicted: int = 0
    moves: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class TrackerScore:
    """How well one tracker did on a data set: means over equally weighted sequences.

    Attributes:
      protocol: The conventions behind the numbers.
      sequences: Score of each sequence by its name.
      success: Mean success curve.
      precision: Mean precision curve.
      success_auc: Mean success AUC.
      precision_20: Mean precision at 20 px.
      op_50: Mean of the sequences' `op_50`.
    """

    protocol: Protocol
    sequences: Mapping[str, SequenceScore]
    success: Float[np.ndarray, " n"]
    precision: Float[np.ndarray, " m"]
    success_auc: float
    precision_20: float
    op_50: float


def score_sequence(
    predicted: Float[np.ndarray, "p 4"],
    truth: Float[np.ndarray, "t 4"],
    protocol: Protocol,
    *,
    name: str = "sequence",
) -> SequenceScore:
    """Scores the boxes of one sequence.

    Args:
      predicted: Boxes (cx, cy, w, h), one per frame, all finite. An empty box
        (w or h not positive) overlaps nothing, but its centre counts.
      truth: Boxes (cx, cy, w, h) in the same frame of reference, NaN where absent.
        One without area is the protocol's business.
      protocol: The conventions.
      name: Name of the sequence in an error's message.

    Raises:
      InputError: If the numbers of boxes differ, a prediction is not finite, or no
        frame is left to score.

    Example:
      >>> truth = np.array([[5.0, 5.0, 4.0, 4.0], [6.0, 5.0, 4.0, 4.0]])
      >>> round(score_sequence(truth, truth, OTB).success_auc, 3)
      0.952
    """
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    _require_matching(predicted, truth, name)
    given = predicted
    counted = np.ones(len(truth), bool)
    if protocol.first_frame == "truth":
        predicted = np.concatenate([truth[:1], predicted[1:]])
    elif protocol.first_frame == "left_out":
        counted[:1] = False
    present = np.isfinite(truth).all(axis=1)
    empty = present & (truth[:, 2:] <= 0.0).any(axis=1)
    if protocol.invalid_truth == "left_out":
        counted &= present
    if protocol.empty_truth == "left_out":
        counted &= ~empty
    if not counted.any():
        raise InputError(
            f"sequence {name!r}: none of its {len(truth)} frames can be scored "
            f"under {protocol.name!r}; leave the sequence out."
        )
    boxed = present & ~empty
    located = present if protocol.empty_truth == "no_overlap" else boxed
    overlaps = np.where(boxed, metrics.frame_overlaps(predicted, truth), 0.0)
    errors = np.where(located, metrics.centre_errors(predicted, truth), np.inf)
    return dataclasses.replace(
        _summary(overlaps[counted], errors[counted], protocol),
        absent=int(np.sum(~present)),
        empty=int(np.sum(empty)),
        empty_predicted=int(np.sum((given[1:, 2:] <= 0.0).any(axis=1))),
        moves=bool((given != given[:1]).any()),
    )


def score(
    results: Mapping[str, Float[np.ndarray, "_ 4"]],
    truths: Mapping[str, Float[np.ndarray, "_ 4"]],
    protocol: Protocol,
) -> TrackerScore:
    """Scores a tracker on every sequence of a data set.

    Args:
      results: Predicted boxes (cx, cy, w, h) by sequence; further ones are ignored.
      truths: True boxes by sequence, at least one sequence.
      protocol: The conventions.

    Raises:
      InputError: If a sequence has no result, or `score_sequence` refuses one.
    """
    if not truths:
        raise InputError("no sequence to score: the data set is empty.")
    require_names(truths, results, where="the results")
    sequences = {
        name: score_sequence(results[name], truth, protocol, name=name)
        for name, truth in truths.items()
    }
    each = tuple(sequences.values())
    return TrackerScore(
        protocol=protocol,
        sequences=sequences,
        success=np.mean([s.success for s in each], axis=0),
        precision=np.mean([s.precision for s in each], axis=0),
        success_auc=float(np.mean([s.success_auc for s in each])),
        precision_20=float(np.mean([s.precision_20 for s in each])),
        op_50=float(np.mean([s.op_50 for s in each])),
    )


def require_names(wanted: Iterable[str], found: Iterable[str], *, where: str) -> None:
    """Raises an error that lists the `wanted` names that `found` lacks, if any.

    For a name that is merely spelled otherwise (Human4-2, Human4_2) the nearest one is
    suggested.

    Args:
      wanted: Names that must be there.
      found: Names that are there.
      where: Place in which they were looked for, for the message.

    Raises:
      InputError: If a name is missing.
    """
    wanted, found = tuple(wanted), tuple(found)
    missing = [name for name in wanted if name not in found]
    if not missing:
        return
    spare = {name.lower(): name for name in found if name not in wanted}
    hints = []
    for name in missing[:_MOST_NAMED]:
        near = difflib.get_close_matches(name.lower(), spare, n=1, cutoff=0.75)
        hints.append(f"{name} (did you mean {spare[near[0]]}?)" if near else name)
    others = len(missing) - len(hints)
    more = f" and {others} more" if others else ""
    noun = "sequence" if len(missing) == 1 else f"{len(missing)} sequences"
    raise InputError(
        f"{where}: no result for {noun} {', '.join(hints)}{more}; add or rename the "
        "file <sequence>.txt."
    )


def _require_matching(
    predicted: Float[np.ndarray, "p 4"], truth: Float[np.ndarray, "t 4"], name: str
) -> None:
    if len(predicted) != len(truth):
        raise InputError(
            f"sequence {name!r}: {len(predicted)} predicted boxes for {len(truth)} "
            "frames; give one box per frame, the first included."
        )
    bad = np.flatnonzero(~np.isfinite(predicted).all(axis=1))
    if bad.size:
        raise InputError(
            f"sequence {name!r}, frame {bad[0] + 1} of {len(predicted)}: the "
            f"predicted box {predicted[bad[0]].tolist()} is not finite; give four "
            "numbers per frame."
        )


def _summary(
    overlaps: Float[np.ndarray, " t"],
    errors: Float[np.ndarray, " t"],
    protocol: Protocol,
) -> SequenceScore:
    success_at = functools.partial(
        metrics.success_curve, overlaps, strict=protocol.strict
    )
    precision_at = functools.partial(metrics.precision_curve, errors)
    success = success_at(thresholds=protocol.overlap_thresholds)
    return SequenceScore(
        protocol=protocol,
        frames=len(overlaps),
        success=success,
        precision=precision_at(thresholds=protocol.error_thresholds_px),
        success_auc=metrics.area_under(success),
        precision_20=float(precision_at(thresholds=(20.0,))[0]),
        op_50=float(success_at(thresholds=(0.5,))[0]),
    )
