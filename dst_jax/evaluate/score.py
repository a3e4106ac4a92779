"""Scores of boxes under a protocol: boxes and truth in, numbers and curves out."""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from dst_jax import boxes as box_math
from dst_jax.errors import InputError
from dst_jax.evaluate import metrics
from dst_jax.evaluate.names import require_names
from dst_jax.evaluate.protocols import AnyProtocol
from dst_jax.evaluate.protocols.protocol import Curve, Measure, Protocol
from dst_jax.evaluate.truth import Truth
from dst_jax.typing import Bool, Float

Boxes: TypeAlias = Float[np.ndarray, "*repeats p 4"]

_FAILED, _PRECISE = -1.0, -1.0  # an overlap that passes nothing, an error that does
_ALMOST_NOTHING = 1e-16


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceScore:
    """How well one tracker did on one sequence.

    Attributes:
      protocol: The conventions behind the numbers.
      values: Numbers by the names of the protocol's measures, in their order.
      curves: Curves by their names, a share of the frames per threshold.
      frames: Number of frames that count, the denominator.
      unseen: Number of frames whose mark the protocol obeys.
      absent: Number of other frames without a true box.
      empty: Number of other frames whose true box has no area.
      empty_predicted: Number of predicted boxes, except the first, without area.
      moves: Whether a predicted box differs from the first.
      failures: Mean number of failures of a run with restarts.
    """

    protocol: AnyProtocol
    values: Mapping[str, float]
    curves: Mapping[str, Float[np.ndarray, " n"]]
    frames: int
    unseen: int = 0
    absent: int = 0
    empty: int = 0
    empty_predicted: int = 0
    moves: bool = True
    failures: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """How well one tracker did on a data set.

    Attributes:
      protocol: The conventions behind the numbers.
      values: Numbers by the names of the protocol's measures, in their order.
      curves: Curves by their names, a share of the frames per threshold; of runs with
        restarts `EXPECTED_OVERLAP`.
      sequences: Score of each sequence by its name.
    """

    protocol: AnyProtocol
    values: Mapping[str, float]
    curves: Mapping[str, Float[np.ndarray, " n"]]
    sequences: Mapping[str, SequenceScore]


@dataclasses.dataclass(frozen=True, eq=False)
class _Frames:
    """What the curves are made of: a value per frame that counts."""

    overlaps: Float[np.ndarray, " t"]
    errors: Mapping[str, Float[np.ndarray, " t"]]
    surplus: int  # frames that pass the normalised curve although they do not count


def score_sequence(
    predicted: Boxes,
    truth: Truth | Float[np.ndarray, "t 4"],
    protocol: Protocol,
    *,
    name: str = "sequence",
) -> SequenceScore:
    """Scores the boxes of one sequence.

    Args:
      predicted: Boxes (cx, cy, w, h), one per frame, all finite; of a tracker that ran
        several times an array of such boxes, whose frames count together. An empty box
        (w or h not positive) is the protocol's business.
      truth: The annotation, or only its boxes (cx, cy, w, h) in the same frame of
        reference, NaN where there is none.
      protocol: The conventions.
      name: Name of the sequence in an error's message.

    Raises:
      InputError: If the numbers of boxes differ, a prediction is not finite, no frame
        is left to score, or boxes are to be clipped to an image of unknown size.

    Example:
      >>> from dst_jax.evaluate.protocols import OTB
      >>> truth = np.array([[5.0, 5.0, 4.0, 4.0], [6.0, 5.0, 4.0, 4.0]])
      >>> round(score_sequence(truth, truth, OTB).values["success_auc"], 3)
      0.952
    """
    truth = truth if isinstance(truth, Truth) else Truth(np.asarray(truth, float))
    runs = np.asarray(predicted, float)
    runs = runs if runs.ndim == 3 else runs[None]
    for run in runs:
        _require_matching(run, truth.boxes, name)
    kinds = _kinds(truth, protocol)
    counted = _counted(kinds, protocol)
    if not counted.any():
        raise InputError(
            f"sequence {name!r}: none of its {len(truth.boxes)} frames can be scored "
            f"under {protocol.name!r}; leave the sequence out."
        )
    if protocol.clipped and truth.size is None:
        raise InputError(
            f"sequence {name!r}: {protocol.name} clips boxes to the image, whose size "
            "is unknown; add the frames, or resolution to meta_info.ini."
        )
    found = [_frames(run, truth, protocol, kinds, counted) for run in runs]
    return SequenceScore(
        protocol,
        *_summary(found, protocol),
        frames=int(counted.sum()) * len(runs),
        unseen=int(kinds["unseen"].sum()),
        absent=int(kinds["invalid"].sum()),
        empty=int(kinds["empty"].sum()),
        empty_predicted=int((runs[:, 1:, 2:] <= 0.0).any(axis=2).sum()),
        moves=bool((runs != runs[:, :1]).any()),
    )


def score(
    results: Mapping[str, Boxes],
    truths: Mapping[str, Truth] | Mapping[str, Float[np.ndarray, "_ 4"]],
    protocol: Protocol,
) -> Score:
    """Scores a tracker on every sequence of a data set.

    Args:
      results: Predicted boxes by sequence, as for `score_sequence`; further ones are
        ignored.
      truths: Annotations or true boxes by sequence, at least one sequence.
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
    weights = np.ones(len(each))
    if protocol.mean == "frames":
        weights = np.array([float(part.frames) for part in each])
    values = {
        measure.name: float(
            np.average([s.values[measure.name] for s in each], weights=weights)
        )
        for measure in protocol.measures
    }
    curves = {
        curve: np.average([s.curves[curve] for s in each], axis=0, weights=weights)
        for curve in protocol.curves
    }
    return Score(protocol, values, curves, sequences)


def _kinds(truth: Truth, protocol: Protocol) -> dict[str, Bool[np.ndarray, " t"]]:
    unseen = truth.marked(protocol.marks)
    finite = np.isfinite(truth.boxes).all(axis=1)
    with np.errstate(invalid="ignore"):
        flat = (truth.boxes[:, 2:] <= 0.0).any(axis=1)
    return {
        "unseen": unseen,
        "invalid": ~unseen & ~finite,
        "empty": ~unseen & finite & flat,
    }


def _treatments(protocol: Protocol) -> dict[str, str]:
    return {
        "unseen": protocol.unseen,
        "invalid": protocol.invalid_truth,
        "empty": protocol.empty_truth,
    }


def _counted(
    kinds: Mapping[str, Bool[np.ndarray, " t"]], protocol: Protocol
) -> Bool[np.ndarray, " t"]:
    counted = np.ones(len(kinds["unseen"]), bool)
    for kind, treatment in _treatments(protocol).items():
        if treatment == "left_out":
            counted &= ~kinds[kind]
    if protocol.first_frame == "left_out":
        counted[:1] = False
    return counted


def _frames(
    predicted: Float[np.ndarray, "t 4"],
    truth: Truth,
    protocol: Protocol,
    kinds: Mapping[str, Bool[np.ndarray, " t"]],
    counted: Bool[np.ndarray, " t"],
) -> _Frames:
    """Returns overlaps and errors of the frames that count."""
    stated = np.asarray(truth.boxes, float)
    given, true = _prepared(predicted, stated, truth, protocol)
    overlaps = metrics.frame_overlaps(given, true)
    errors = {"precision": metrics.centre_errors(given, true)}
    if protocol.norm_thresholds:
        errors["norm_precision"] = _norm_errors(given, true)
    for kind, treatment in _treatments(protocol).items():
        frames = kinds[kind]
        overlaps[frames] = 0.0 if treatment == "no_overlap" else _FAILED
        for values in errors.values():
            if treatment != "no_overlap":
                values[frames] = _PRECISE if treatment == "precise" else np.inf
    if protocol.positive_centres:
        centres = stated[:, :2] + truth.origin - 0.5
        off = ~kinds["unseen"] & ~(centres > 0.0).all(axis=1)
        for values in errors.values():
            values[off] = _PRECISE
    surplus = 0
    for kind in protocol.norm_precise:
        errors["norm_precision"][kinds[kind]] = _PRECISE
        surplus += int((kinds[kind] & ~counted).sum())
    return _Frames(
        overlaps[counted], {k: v[counted] for k, v in errors.items()}, surplus
    )


def _prepared(
    predicted: Float[np.ndarray, "t 4"],
    stated: Float[np.ndarray, "t 4"],
    truth: Truth,
    protocol: Protocol,
) -> tuple[Float[np.ndarray, "t 4"], Float[np.ndarray, "t 4"]]:
    """Returns predicted and true boxes as the protocol compares them."""
    given = predicted.copy()
    if protocol.empty_predicted == "repeated":
        bad = np.asarray((given[:, 2:] <= 0.0).any(axis=1))
        bad &= np.isfinite(stated).all(axis=1)
        for frame in np.flatnonzero(bad[1:]) + 1:
            given[frame] = given[frame - 1]
    if protocol.first_frame == "truth":
        given[:1] = stated[:1]
    if protocol.whole_pixels:
        return _rounded(given, truth.origin, 6), _rounded(stated, truth.origin, 3)
    if protocol.clipped and truth.size is not None:
        return _clipped(given, truth.size), _clipped(stated, truth.size)
    return given, stated


def _rounded(
    boxes: Float[np.ndarray, "t 4"], origin: int, decimals: int
) -> Float[np.ndarray, "t 4"]:
    corner = np.array([origin, origin, 0.0, 0.0])
    # A half must be one still after the boxes were stored in less precision.
    xywh = np.round(box_math.cxcywh_to_xywh(boxes) + corner, decimals)
    return np.asarray(box_math.xywh_to_cxcywh(np.round(xywh) - corner))


def _clipped(
    boxes: Float[np.ndarray, "t 4"], size: tuple[int, int]
) -> Float[np.ndarray, "t 4"]:
    limit = np.array([size[1], size[0]], float)
    xywh = np.asarray(box_math.cxcywh_to_xywh(boxes))
    corner = np.clip(xywh[:, :2], 0.0, limit)
    sides = np.clip(xywh[:, 2:], 0.0, limit - corner)
    return np.asarray(box_math.xywh_to_cxcywh(np.concatenate([corner, sides], axis=1)))


def _norm_errors(
    predicted: Float[np.ndarray, "t 4"], truth: Float[np.ndarray, "t 4"]
) -> Float[np.ndarray, " t"]:
    """Returns distances between centres in widths and heights of the true box."""
    sides = np.maximum(truth[:, 2:], _ALMOST_NOTHING)
    with np.errstate(over="ignore"):
        return np.hypot(*((predicted[:, :2] - truth[:, :2]) / sides).T)


def _summary(
    runs: list[_Frames], protocol: Protocol
) -> tuple[dict[str, float], dict[str, Float[np.ndarray, " n"]]]:
    """Returns the numbers and curves of all runs' frames together."""
    overlaps = np.concatenate([run.overlaps for run in runs])
    errors = {
        name: np.concatenate([run.errors[name] for run in runs])
        for name in runs[0].errors
    }
    surplus = sum(run.surplus for run in runs) / len(overlaps)

    def shares(curve: Curve, thresholds: tuple[float, ...]):
        if curve == "success":
            return metrics.success_curve(
                overlaps, thresholds=thresholds, strict=protocol.strict
            )
        passed = metrics.precision_curve(errors[curve], thresholds=thresholds)
        return passed + surplus * (curve == "norm_precision")

    curves = {name: shares(name, protocol.thresholds(name)) for name in protocol.curves}

    def value(measure: Measure) -> float:
        if measure.of == "overlap":
            return float(np.maximum(overlaps, 0.0).mean())
        if measure.of == "at":
            return float(shares(measure.curve, (measure.at,))[0])
        curve = curves[measure.curve]
        if measure.of == "area":
            return metrics.trapezoid(curve)
        return metrics.area_under(curve)

    return {measure.name: value(measure) for measure in protocol.measures}, curves


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
