"""What a protocol is: one value that states every convention of a score."""

import dataclasses
from typing import Any, Literal

from dst_jax.evaluate import metrics
from dst_jax.typing import Mark

Curve = Literal["success", "precision", "norm_precision"]
Kind = Literal["unseen", "invalid", "empty"]
FirstFrame = Literal["truth", "given", "left_out"]
Unseen = Literal["left_out", "missed"]
InvalidTruth = Literal["left_out", "missed", "precise"]
EmptyTruth = Literal["left_out", "missed", "precise", "no_overlap"]

_UNITS = {"success": "an overlap", "precision": "a centre error"}
_UNITS["norm_precision"] = "a normalised centre error"


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """One number that a protocol reports.

    Attributes:
      name: Name in JSON and in `Score.values`.
      heading: Name in tables and legends.
      curve: The curve that it sums up.
      of: What it is of the curve: the mean of its values ("mean"), the area below it by
        the trapezoid rule, over thresholds scaled to [0, 1] ("area"), its value at one
        threshold ("at"), or no number of the curve's but the mean overlap of the frames
        ("overlap").
      at: The threshold of "at".
    """

    name: str
    heading: str
    curve: Curve
    of: Literal["mean", "area", "at", "overlap"]
    at: float = 0.0

    def describe(self, protocol: "Protocol") -> str:
        """Returns in words what the number is under a protocol."""
        if self.of == "overlap":
            return "mean overlap of the frames"
        shown = self.curve.replace("norm_", "normalised ")
        if self.of == "mean":
            return f"mean of the {shown} curve"
        if self.of == "area":
            return f"area below the {shown} curve by the trapezoid rule"
        sign = protocol.comparison if self.curve == "success" else "<="
        unit = " px" * (self.curve == "precision")
        at = f"{self.at:g}{unit}"
        return f"share of frames with {_UNITS[self.curve]} {sign} {at}"


AUC = Measure("success_auc", "AUC", "success", "mean")
P_20 = Measure("precision_20", "P@20", "precision", "at", 20.0)
OP_50 = Measure("op_50", "OP.5", "success", "at", 0.5)


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """The conventions of a one-pass evaluation.

    Kits put the centre of a box at x + (w - 1) / 2, and some count a box's last pixel
    in. Both agree with continuous boxes, whose centre is at x + w / 2: distances and
    overlaps are the same. `positive_centres` is the one place where it shows.

    A frame is *unseen* if the data set marks it so and the protocol obeys that mark;
    else *invalid* if its true box is not finite; else *empty* if that has no area. What
    happens to such frames is one of: they do not count ("left_out"); they count as
    failures of every curve ("missed"), or of all but the precision curves, which they
    pass ("precise"); or they count with overlap 0 and the distance from the centre that
    the truth states ("no_overlap"). Whatever counts is in every denominator.

    Attributes:
      name: Name, `FAMILY/KIT` of those in `PRESETS`.
      reproduces: The kit whose figures these conventions give; "" if none.
      measures: What is reported, the most quoted number first.
      overlap_thresholds: Thresholds of the success curve.
      strict: Whether success asks for more than a threshold, or for at least it.
      error_thresholds_px: Thresholds of the precision curve in pixels; an error of
        exactly the threshold is precise. If empty, there is no such curve.
      norm_thresholds: Thresholds of the normalised precision curve, whose errors are
        measured in widths and heights of the true box. If empty, there is none.
      first_frame: Treatment of the first prediction: it is replaced by the truth and
        counts ("truth"), counts as it was given ("given"), or does not count
        ("left_out").
      marks: Marks that are obeyed; a frame with another mark is scored by its box.
      needs_marks: Whether a data set without these marks cannot be scored.
      unseen: Treatment of unseen frames.
      invalid_truth: Treatment of invalid frames.
      empty_truth: Treatment of empty frames.
      norm_precise: Kinds of frames that pass the normalised precision curve whatever
        becomes of them elsewhere; if they do not count, the curve can exceed 1.
      positive_centres: Whether a frame that counts passes the precision curves where
        the true centre, x + (w - 1) / 2 in the data set's files, is not positive in x
        and y.
      empty_predicted: What a predicted box without area is: one that overlaps nothing,
        or the box before it ("repeated").
      whole_pixels: Whether all boxes are rounded to whole pixels, halves to even.
      clipped: Whether corners and sides are clipped to the image, as GOT-10k does it.
      mean: Over sequences, each with the same weight, or over all frames together.
    """

    name: str
    reproduces: str = ""
    measures: tuple[Measure, ...] = (AUC, P_20, OP_50)
    overlap_thresholds: tuple[float, ...] = metrics.OVERLAP_THRESHOLDS
    strict: bool = True
    error_thresholds_px: tuple[float, ...] = metrics.ERROR_THRESHOLDS_PX
    norm_thresholds: tuple[float, ...] = ()
    first_frame: FirstFrame = "truth"
    marks: tuple[Mark, ...] = ("absent",)
    needs_marks: bool = False
    unseen: Unseen = "left_out"
    invalid_truth: InvalidTruth = "left_out"
    empty_truth: EmptyTruth = "no_overlap"
    norm_precise: tuple[Kind, ...] = ()
    positive_centres: bool = False
    empty_predicted: Literal["no_overlap", "repeated"] = "no_overlap"
    whole_pixels: bool = False
    clipped: bool = False
    mean: Literal["sequences", "frames"] = "sequences"

    def describe(self) -> dict[str, Any]:
        """Returns the conventions as JSON values, for a report."""
        means = {
            "sequences": "over sequences, each with the same weight",
            "frames": "over all frames of all sequences together",
        }
        fields = dataclasses.asdict(self)
        del fields["measures"]
        return {
            **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()},
            "centre": "box centre; equal to the kits' x + (w - 1) / 2 of both boxes",
            **{measure.name: measure.describe(self) for measure in self.measures},
            "mean": means[self.mean],
        }

    @property
    def comparison(self) -> str:
        """Returns the sign of the success plot's comparison, ">" or ">="."""
        return ">" if self.strict else ">="

    def thresholds(self, curve: Curve) -> tuple[float, ...]:
        """Returns the thresholds of a curve, none if the protocol lacks it."""
        return {
            "success": self.overlap_thresholds,
            "precision": self.error_thresholds_px,
            "norm_precision": self.norm_thresholds,
        }[curve]

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Returns the names of the curves that the protocol has."""
        every: tuple[Curve, ...] = ("success", "precision", "norm_precision")
        return tuple(curve for curve in every if self.thresholds(curve))

    def leading(self, curve: Curve) -> Measure | None:
        """Returns the measure that is quoted of a curve, None if there is none."""
        return next((m for m in self.measures if m.curve == curve), None)
