"""Finds a protocol by its name or by the layout of a data set."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dst_jax.errors import InputError
from dst_jax.evaluate.protocols import got10k, lasot, otb, trackingnet, vot
from dst_jax.evaluate.protocols.protocol import Protocol
from dst_jax.evaluate.protocols.vot import ResetProtocol
from dst_jax.typing import Mark

AnyProtocol: TypeAlias = Protocol | ResetProtocol

PRESETS: Mapping[str, Mapping[str, AnyProtocol]] = {
    **otb.FAMILIES,
    **lasot.FAMILIES,
    **trackingnet.FAMILIES,
    **got10k.FAMILIES,
    **vot.FAMILIES,
}
"""Protocols by data set and by the kit that they reproduce, the default kit first."""

# The folders of VOT do not state their year.
_FAMILY_OF_LAYOUT = {"uav123-10fps": "uav123", "nfs-240": "nfs", "vot": "vot2019"}
_WHAT = {"absent": "absent", "covered": "wholly covered"}


def named_protocol(name: str) -> AnyProtocol:
    """Returns a preset by `FAMILY` or `FAMILY/KIT`.

    Raises:
      InputError: If there is none of this name.

    Example:
      >>> named_protocol("lasot").name, named_protocol("otb/pysot").first_frame
      ('lasot/pysot', 'given')
    """
    family, slash, kit = name.partition("/")
    kits = PRESETS.get(family)
    if kits is None:
        near = difflib.get_close_matches(family, PRESETS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(
            f"protocol {name!r}: unknown{hint}; the protocols are {', '.join(PRESETS)}."
        )
    if not slash:
        return next(iter(kits.values()))
    if kit not in kits:
        known = ", ".join(f"{family}/{other}" for other in kits)
        raise InputError(f"protocol {name!r}: unknown; for {family} there are {known}.")
    return kits[kit]


def protocol_of_layout(layout: str) -> AnyProtocol:
    """Returns the protocol by which papers score a layout, OTB's if it has no own."""
    family = _FAMILY_OF_LAYOUT.get(layout, layout)
    return named_protocol(family if family in PRESETS else "otb")


def lacking(protocol: Protocol, marks: Iterable[Mark]) -> str:
    """Returns what a data set lacks for a protocol, in words; "" if nothing.

    Args:
      protocol: The protocol.
      marks: Marks that the data set's files give.
    """
    stated = set(marks)
    missing = [_WHAT[mark] for mark in protocol.marks if mark not in stated]
    if not (protocol.needs_marks and missing):
        return ""
    return f"marks of the frames whose target is {' or '.join(missing)}"
