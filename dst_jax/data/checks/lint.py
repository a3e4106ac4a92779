"""Filters boxes for training and records what is left out and why."""

import collections.abc
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, counted, printable
from dst_jax.require import require, require_at_least
from dst_jax.typing import Bool


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Frames of one sequence that were left out for one reason.

    Attributes:
      sequence: Name of the sequence, or of a group of what was left out.
      frames: Number of frames.
      reason: Reason, a noun phrase or a few words.
    """

    sequence: str
    frames: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a data set that makes training on it unsafe.

    Attributes:
      kind: A few words that faults of one sort share.
      message: One line that names the file, what is in it, and the mend.
      sequence: Name of the sequence that has the fault, or "".
      frame: Index of the frame in that sequence; None if the fault concerns all of it.
    """

    kind: str
    message: str
    sequence: str
    frame: int | None = None


class DataFault(InputError):
    """Bad data of a known kind."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Problems:
    """Collects the faults that a reader finds; a strict one raises the first instead.

    Args:
      strict: Whether the first fault is raised as an error.
      accepted: Kinds of faults that are kept, and not raised, all the same.

    Attributes:
      strict: The same.
      faults: Faults in the order in which they were met; if strict, accepted ones.
      left_out: Frames that documented rules of the data set leave out, which is never
        an error.
    """

    def __init__(self, *, strict: bool = True, accepted: Iterable[str] = ()):
        self.strict = strict
        self._accepted = frozenset(accepted)
        self.faults: list[Fault] = []
        self.left_out: list[Finding] = []

    def add(self, fault: Fault) -> None:
        """Keeps a fault, or raises it if strict.

        Raises:
          DataFault: If strict.
        """
        if self.strict and fault.kind not in self._accepted:
            raise DataFault(fault.kind, fault.message)
        self.faults.append(fault)

    @contextlib.contextmanager
    def reading(self, sequence: str) -> Iterator[None]:
        """Turns an error of input raised within into a fault of the whole sequence."""
        try:
            yield
        except (InputError, OSError) as error:
            if self.strict:
                raise
            kind = getattr(error, "kind", "unreadable annotation")
            message = str(error)
            if isinstance(error, OSError):
                message = f"{error.filename}: {error.strerror}; mend or replace it."
            self.faults.append(Fault(kind, message, sequence))


@dataclasses.dataclass(frozen=True, slots=True)
class LintReport:
    """Says what was kept and what was left out.

    Attributes:
      findings: What was left out, one entry per sequence and reason.
      kept_sequences: Number of sequences that stay.
      kept_frames: Number of frames that stay.
    """

    findings: tuple[Finding, ...] = ()
    kept_sequences: int = 0
    kept_frames: int = 0

    def summary(self) -> str:
        """Returns a line of what was kept, and for each reason one of what was not."""
        frames = counted(self.kept_frames, "frame")
        lines = [f"kept {frames} of {counted(self.kept_sequences, 'sequence')}"]
        for reason in dict.fromkeys(f.reason for f in self.findings):
            found = [f for f in self.findings if f.reason == reason]
            frames, names = sum(f.frames for f in found), {f.sequence for f in found}
            many = counted(frames, "frame")
            lines.append(f"left out {many} in {len(names)}: {reason}")
        return "\n".join(map(printable, lines))


@dataclasses.dataclass(frozen=True, slots=True)
class BoxFilter:
    """Limits of the boxes that training uses.

    The defaults suit videos of a few hundred pixels. The public SiamFC training keeps
    area >= 20, sides 20-500 px, sqrt(area) 0.01-0.5 of the frame's, aspect .25-4
    (huanglianghua/siamfc-pytorch, `datasets.py`). Those limits are tuned to frames of
    1280 px or more; on small frames they remove whole videos.

    Attributes:
      min_area_px: Least w * h, in square pixels.
      min_side_px: Least side, pixels.
      max_side_px: Largest side, pixels.
      max_relative: Largest sqrt(w h / (W H)); not applied where the size is unknown.
      max_aspect: Largest ratio of the longer to the shorter side.
    """

    min_area_px: float = 20.0
    min_side_px: float = 4.0
    max_side_px: float = 1000.0
    max_relative: float = 0.8
    max_aspect: float = 8.0

    def __post_init__(self):
        require_at_least(0, self, *(field.name for field in dataclasses.fields(self)))
        ordered = self.min_side_px <= self.max_side_px
        text = f"must not exceed max_side_px={self.max_side_px}"
        require(ordered, self, "min_side_px", text)


def training_sequences(
    sequences: collections.abc.Sequence[Sequence], box_filter: BoxFilter
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Marks unfit boxes as not visible and leaves out sequences without any other.

    Args:
      sequences: Sequences as read; their boxes and frames stay as they are.
      box_filter: Limits of a fit box.

    Returns:
      The sequences that keep a visible frame, and a report of what was left out.
    """
    kept: list[Sequence] = []
    findings: list[Finding] = []
    for sequence in sequences:
        fit = sequence.visible.copy()
        for reason, bad in _unfit(sequence, box_filter).items():
            dropped = int(np.sum(bad & fit))
            fit &= ~bad
            if dropped:
                findings.append(Finding(sequence.name, dropped, reason))
        hidden = int(np.sum(~sequence.visible))
        if hidden:
            findings.append(Finding(sequence.name, hidden, "target absent or covered"))
        if fit.any():
            kept.append(dataclasses.replace(sequence, visible=fit))
    frames = int(sum(np.sum(s.visible) for s in kept))
    return tuple(kept), LintReport(tuple(findings), len(kept), frames)


def _unfit(sequence: Sequence, limits: BoxFilter) -> dict[str, Bool[np.ndarray, " t"]]:
    sides = sequence.boxes[:, 2:]
    short, long = sides.min(axis=1), sides.max(axis=1)
    area = sides.prod(axis=1)
    reasons = {
        f"area below {limits.min_area_px:g} px^2": area < limits.min_area_px,
        f"side below {limits.min_side_px:g} px": short < limits.min_side_px,
        f"side above {limits.max_side_px:g} px": long > limits.max_side_px,
        f"aspect above {limits.max_aspect:g}": long > limits.max_aspect * short,
    }
    if sequence.size is not None:
        # A side below 0 is told as such, and has no part of the frame.
        relative = np.sqrt(np.maximum(area, 0.0) / float(np.prod(sequence.size)))
        reason = f"larger than {limits.max_relative:g} of the frame"
        reasons[reason] = relative > limits.max_relative
    return reasons
