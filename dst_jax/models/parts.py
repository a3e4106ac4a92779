"""Parts of a network, which are named by the paths of their parameters.

"backbone", "backbone/layer2" and "head/layer3/adjust" are parts. The name of a stage
alone, "layer2", means that stage of the backbone.
"""

from collections.abc import Sequence

# The first words of all paths.
_ROOTS = ("backbone", "head")


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
        words = [_ROOTS[0], *words]
    return list(path[: len(words)]) == words
