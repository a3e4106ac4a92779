"""The answers of networks to a search image, one kind per family."""

from typing import Any, NamedTuple, TypeAlias

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

# What a network keeps of a template: any pytree whose leaves have the templates' batch
# first. Heads here keep what the search map is correlated with, by branch: "cls", and
# "r" where boxes are regressed.
Memory: TypeAlias = Any
