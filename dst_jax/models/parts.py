"""Parts of a network, which are named by the paths of their parameters.

"backbone", "backbone/layer2" and "head/layer3/adjust" are parts. The name of a stage
alone, "layer2", means that stage of the backbone. "adapters" stands beside the network:
parameters of terms that learn with it.
"""

from collections.abc import Collection, Sequence
from typing import Any

import jax

BACKBONE = "backbone"
ADAPTERS = "adapters"

# The first words of all paths.
_ROOTS = (BACKBONE, "head", ADAPTERS)


def lies_in(path: Sequence[str], part: str) -> bool:
    """Returns whether a parameter, or a module, lies in a part.

    Args:
      path: Keys from the root of the parameters.
      part: The part's name.

    Example:
      >>> lies_in(("backbone", "layer1", "block1", "conv1"), "layer1")
      True
      >>> lies_in(("head", "layer1", "adjust"), "layer1")
      False
    """
    words = part.split("/")
    if words[0] not in _ROOTS:
        words = [BACKBONE, *words]
    return list(path[: len(words)]) == words


def lies_in_any(path: Sequence[str], parts: Collection[str]) -> bool:
    """Returns whether a parameter, or a module, lies in one of the parts."""
    return any(lies_in(path, part) for part in parts)


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
        return within if lies_in_any(names, parts) else without

    return jax.tree_util.tree_map_with_path(one, inside, outside)
