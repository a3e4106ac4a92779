"""Which protocol a data set is scored by, and what it lacks for one."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from dst_jax.data import sequence as data
from dst_jax.errors import InputError
from dst_jax.evaluate import Truth
from dst_jax.evaluate.protocols import (
    OTB,
    AnyProtocol,
    ResetProtocol,
    lacking,
    named_protocol,
    protocol_of_layout,
)


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A protocol, and what must be said of the choice.

    Attributes:
      protocol: The protocol.
      remarks: Sentences for below the table.
    """

    protocol: AnyProtocol
    remarks: tuple[str, ...] = ()


def require_known(protocol: str | None) -> None:
    """Returns if a protocol's name is known; called before anything is read.

    Raises:
      InputError: If it is not.
    """
    if protocol is not None:
        named_protocol(protocol)


def choose_protocol(
    dataset: str, protocol: str | None, sequences: Sequence[data.Sequence]
) -> Chosen:
    """Returns the protocol of a data set.

    Args:
      dataset: Layout and folder, such as "otb:DIR".
      protocol: Name that the user gave; None for the one by which papers score the
        layout, or for OTB's, which is said, if the data set lacks what that one needs.
      sequences: The data set.

    Raises:
      InputError: If the name is unknown, or the data set lacks what it needs.
    """
    layout = dataset.partition(":")[0]
    wanted = named_protocol(protocol) if protocol else protocol_of_layout(layout)
    hidden = truth_is_hidden(sequences)
    gap = "" if hidden else _gap(wanted, sequences)
    if gap and protocol is not None:
        raise InputError(
            f"protocol {wanted.name}: needs {gap}, which {dataset} does not state; add "
            f"them, or choose another protocol, such as {OTB.name}."
        )
    if gap:
        remark = f"By {OTB.name}, since {wanted.name} needs {gap}, which are missing."
        return Chosen(OTB, (remark,))
    if isinstance(wanted, ResetProtocol) and protocol is None:
        remark = f"By {wanted.name}; --protocol vot2016 or vot2018 for these years."
        return Chosen(wanted, (remark,))
    if hidden:
        remark = (
            "Only first frames have a true box, so there is nothing to score here; the "
            "benchmark's server scores an archive of boxes (--submit)."
        )
        return Chosen(wanted, (remark,))
    return Chosen(wanted)


def _gap(protocol: AnyProtocol, sequences: Sequence[data.Sequence]) -> str:
    """Returns what sequences lack for a protocol, in words; "" if nothing."""
    if not isinstance(protocol, ResetProtocol):
        marks = set.intersection(*(set(sequence.marks) for sequence in sequences))
        return lacking(protocol, marks)
    if any(sequence.regions is None for sequence in sequences):
        return "rectangles or polygons in VOT's layout, without masks"
    if max(map(len, sequences)) <= protocol.low:
        return f"videos of more than {protocol.low} frames"
    return ""


def truth_is_hidden(sequences: Sequence[data.Sequence]) -> bool:
    """Returns whether only first frames have a box, as in published test sets."""

    def hidden(sequence: data.Sequence) -> bool:
        stated = sequence.boxes if sequence.stated is None else sequence.stated
        return len(stated) > 1 and bool(np.isnan(stated[1:]).any(axis=1).all())

    return all(hidden(sequence) for sequence in sequences)


def truths_of(sequences: Iterable[data.Sequence]) -> dict[str, Truth]:
    """Returns what the files of a data set say of each sequence, by its name."""
    return {sequence.name: _truth_of(sequence) for sequence in sequences}


def _truth_of(sequence: data.Sequence) -> Truth:
    absent = np.asarray(np.isnan(sequence.boxes).any(axis=1))
    return Truth(
        boxes=sequence.boxes if sequence.stated is None else sequence.stated,
        absent=absent if absent.any() else None,
        covered=sequence.covered,
        size=sequence.size,
        origin=sequence.origin,
    )
