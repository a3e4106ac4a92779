"""The answers of networks to a search image, one kind per family."""

from collections.abc import Mapping
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


class CentreAnswer(NamedTuple):
    """The answer of OSTrack: a score, an offset and a size per cell.

    Cell (i, j) says that the target's centre lies at ((j + o_x) / f, (i + o_y) / f) of
    the search image, whose map has f cells per side.

    Attributes:
      response: Logits that the target's centre lies in the cell, [b, u, v].
      offsets: (o_x, o_y, w, h) of every cell, [b, u, v, 4]: o in cells, w and h in
        shares of the search image, from 1e-4 to 0.9999.
    """

    response: Float[Array, "b u v"]
    offsets: Float[Array, "b u v 4"]


Answer: TypeAlias = CellAnswer | RegionAnswer | CentreAnswer

# Feature maps of one image stand under the names of their stages, "conv1" first. They
# are taken after the activation and before the pooling; the last stage of SiamFC has
# neither. A head gets those of the stages that it reads.
Features: TypeAlias = Mapping[str, Float[Array, "_ _ _ _"]]

# What a network keeps of a template: any pytree whose leaves have the templates' batch
# first. Heads here keep what the search map is correlated with, by branch: "cls", and
# "r" where boxes are regressed. With several levels the level's name comes first:
# "layer2.cls".
Memory: TypeAlias = Any


def only(features: Features) -> Float[Array, "_ _ _ _"]:
    """Returns the map of a head that reads one stage."""
    (found,) = features.values()
    return found
