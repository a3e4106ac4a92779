"""VOT's protocols with resets: a tracker that has lost its target starts anew.

A tracker fails in a frame in which its region overlaps the truth no more, and starts
again from the truth five frames later. VOT2016, VOT2018 (that of VOT2017 too) and
VOT2019 differ in the lengths of video over which they average the expected overlap.

vot-toolkit weighs the sequences' accuracies and numbers of failures by their lengths.
pysot, whose figures papers quote, takes all frames together, counts failures in a
hundred frames, and its lengths are one frame shorter; a failure after which no frame
for a start is left is an end of the video like another.
"""

import dataclasses
from typing import Any, Literal

from dst_jax.evaluate.protocols.protocol import Curve


@dataclasses.dataclass(frozen=True, slots=True)
class ResetMeasure:
    """One number that a protocol with resets reports.

    Attributes:
      name: Name in JSON and in `Score.values`.
      heading: Name in tables and legends.
      meaning: What it is, in words.
    """

    name: str
    heading: str
    meaning: str


@dataclasses.dataclass(frozen=True, slots=True)
class ResetProtocol:
    """The conventions of an evaluation that starts a lost tracker anew.

    Regions overlap as vot-toolkit counts it, in whole pixels within the image.

    Attributes:
      name: Name, `FAMILY/KIT` of those in `PRESETS`.
      reproduces: The kit whose figures these conventions give.
      measures: What is reported, the most quoted number first.
      low: First length of the expected overlap's interval, in frames after a start.
      high: Its last length, included.
      kit: Whose means and fragments are taken, see this file's head.
      burn_in: Frames from a start on, itself included, that accuracy leaves out.
      skip: Frames from a failure to the next start.
    """

    name: str
    reproduces: str
    measures: tuple[ResetMeasure, ...]
    low: int
    high: int
    kit: Literal["pysot", "vot-toolkit"]
    burn_in: int = 10
    skip: int = 5

    def describe(self) -> dict[str, Any]:
        """Returns the conventions as JSON values, for a report."""
        fields = dataclasses.asdict(self)
        del fields["measures"]
        return {**fields, **{one.name: one.meaning for one in self.measures}}

    @property
    def clipped(self) -> bool:
        """Returns True: regions are clipped to the image, whose size must be known."""
        return True

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Returns no curve: there are no thresholds."""
        return ()

    def thresholds(self, curve: Curve) -> tuple[float, ...]:
        """Returns no threshold."""
        return ()

    def leading(self, curve: Curve) -> None:
        """Returns None: no measure sums up a curve."""


def _measures(low: int, high: int, *, together: bool) -> tuple[ResetMeasure, ...]:
    if together:
        accuracy = "mean overlap of the frames of all sequences together"
        robustness = "failures in a hundred frames"
    else:
        accuracy = "mean over sequences, weighted by length, of their mean overlap"
        robustness = "mean over sequences, weighted by length, of their failures"
    expected = f"expected mean overlap of the first {low} to {high} frames"
    return (
        ResetMeasure("eao", "EAO", expected),
        ResetMeasure("accuracy", "A", accuracy),
        ResetMeasure("robustness", "R", robustness),
    )


def _kits(year: int, low: int, high: int) -> dict[str, ResetProtocol]:
    name = f"vot{year}"
    return {
        "pysot": ResetProtocol(
            f"{name}/pysot",
            reproduces="pysot toolkit, EAOBenchmark and AccuracyRobustnessBenchmark, "
            "on vot-toolkit's overlaps",
            measures=_measures(low - 1, high - 1, together=True),
            low=low - 1,
            high=high - 1,
            kit="pysot",
        ),
        "vot-toolkit": ResetProtocol(
            f"{name}/vot-toolkit",
            reproduces=f"vot-toolkit, the baseline experiment of VOT-ST{year}",
            measures=_measures(low, high, together=False),
            low=low,
            high=high,
            kit="vot-toolkit",
        ),
    }


FAMILIES = {
    "vot2016": _kits(2016, 108, 371),
    "vot2018": _kits(2018, 100, 356),
    "vot2019": _kits(2019, 46, 291),
}
