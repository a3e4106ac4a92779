"""Tells which variables of a network belong to a named part of it.

A part is the beginning of the path of its variables, such as "backbone" or
"head/adjust2". A stage of the backbone may go by its name alone: "layer2" is
"backbone/layer2".
"""

from collections.abc import Collection, Sequence
from typing import Any

import jax

BACKBONE = "backbone"


def is_within(path: Sequence[str], part: str) -> bool:
    """Returns whether a part holds a variable.

    Args:
      path: Names on the way to the variable, ("backbone", "conv1", "conv", "kernel").
      part: The part.

    Example:
      >>> is_within(("backbone", "conv1", "conv", "kernel"), "conv1")
      True
    """
    words = tuple(part.split("/"))
    whole = tuple(path)
    if whole[:1] == (BACKBONE,) and words[0] != BACKBONE:
        whole = whole[1:]
    return whole[: len(words)] == words


def choose(parts: Collection[str], inside: Any, outside: Any) -> Any:
    """Returns a tree with the leaves of `inside` in the parts, else of `outside`.

    Args:
      parts: Parts of the network.
      inside: Parameters, their gradients or statistics of one network.
      outside: Others of the same structure.
    """
    if not parts:
        return outside

    def one(path: tuple[Any, ...], within: Any, without: Any) -> Any:
        names = [entry.key for entry in path]
        held = any(is_within(names, part) for part in parts)
        return within if held else without

    return jax.tree_util.tree_map_with_path(one, inside, outside)
