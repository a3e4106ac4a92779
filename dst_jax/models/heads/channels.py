"""Describes how the channels of a head's layers follow from its width."""

from typing import Literal, NamedTuple


class HeadChannels(NamedTuple):
    """One layer of a head whose channels follow from the head's width, `features`.

    Attributes:
      kernel: Side of its kernel.
      reads: Whether it reads the backbone's last map or a map of `features` channels.
      blocks: Number of equal blocks of output channels.
      widens: Whether a block has `features` channels rather than one.
    """

    kernel: int
    reads: Literal["backbone", "features"]
    blocks: int
    widens: bool = True
