"""The answers of networks to a search image, one kind per family."""

from typing import NamedTuple, TypeAlias

from dst_jax.typing import Array, Float


class CellAnswer(NamedTuple):
    """The answer of SiamFC: one logit per response cell.

    Attributes:
      response: Logits that the target's centre lies in the cell, [b, u, v].
    """

    response: Float[Array, "b u v"]


class RegionAnswer(NamedTuple):
    """The answer of SiamRPN: two logits and a box per anchor.

    Attributes:
      response: Logits of background and target, [b, u, v, k, 2].
      offsets: (dx, dy, dw, dh) of every anchor, [b, u, v, k, 4].
    """

    response: Float[Array, "b u v k 2"]
    offsets: Float[Array, "b u v k 4"]


Answer: TypeAlias = CellAnswer | RegionAnswer

# A network's memory of a template: for each branch the map or kernels with which the
# search map is correlated, "cls", and "r" where boxes are regressed. Every leaf has the
# templates' batch as first axis.
Memory: TypeAlias = dict[str, Float[Array, "_ _ _ ..."]]
