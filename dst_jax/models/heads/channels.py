"""How the channels of a head's layers follow from its width."""

from typing import Literal, NamedTuple


class HeadChannels(NamedTuple):
    """One layer of a head whose channels follow from its width, the `features`.

    Attributes:
      kernel: Side of its kernel.
      reads: Whether it reads the backbone's last map or `features` channels.
      blocks: Equal blocks of output channels.
      widens: Whether a block has `features` channels; if not, it has one.
    """

    kernel: int
    reads: Literal["backbone", "features"]
    blocks: int
    widens: bool = True
