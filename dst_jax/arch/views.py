"""Views: one set of crops serves all the networks of a run, each of which sees a part.

`widest` gives the input for which the crops are cut.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from dst_jax.arch.crops import AreaCrop
from dst_jax.arch.spec import InputSpec
from dst_jax.errors import InputError

# Products of sizes may be off by this much through rounding, in pixels.
_ROUNDING = 1e-9


def check_views(inputs: Mapping[str, InputSpec]) -> None:
    """Checks that one set of crops can serve every network.

    All must follow one rule: crops with context must share one p, whereas the factors
    of crops by area may differ.

    Args:
      inputs: Input of each network, by the network's name; at least one.

    Raises:
      InputError: If two rules differ; it names both networks.
    """
    (first, reference), *others = inputs.items()
    for name, input in others:
        ours, theirs = input.crop, reference.crop
        by_area = isinstance(ours, AreaCrop) and isinstance(theirs, AreaCrop)
        if ours != theirs and not by_area:
            raise InputError(
                f"{name} is cropped by {ours}, {first} by {theirs}; networks that are "
                "trained together need one rule, with the same context."
            )


def widest(inputs: Mapping[str, InputSpec]) -> InputSpec:
    """Returns the input whose crops hold what every network sees.

    Each image shows targets as large as the network that shows them largest, and has
    room for the widest field of view at that scale. A side has the parity of the
    largest crop of that scale, which is then cut out in whole pixels.

    Args:
      inputs: Input of each network, by the network's name; at least one.

    Returns:
      One of `inputs` if it holds all others; otherwise a new input, which scales
      colours as the first one does.

    Raises:
      InputError: If the inputs do not fit together, see `check_views`.

    Example:
      >>> small = InputSpec(template_px=63, search_px=143, train_search_px=143)
      >>> both = widest({"teacher": InputSpec(), "student": small})
      >>> both.template_px, both.train_search_px
      (127, 289)
    """
    check_views(inputs)
    members = list(inputs.values())
    templates = [(i.zooms.template.px_per_side, i.template_px) for i in members]
    searches = [(i.zooms.search.px_per_side, i.search_px) for i in members]
    training = [(i.zooms.search.px_per_side, i.train_search_px) for i in members]
    template_px = _covering(templates)
    search_px, train_search_px = (
        max(template_px, _covering(crops)) for crops in (searches, training)
    )
    scales = max(templates)[0], max(searches)[0]
    found = (template_px, search_px, train_search_px, *scales)
    for member in members:
        zooms = member.zooms
        own = member.template_px, member.search_px, member.train_search_px
        if (*own, zooms.template.px_per_side, zooms.search.px_per_side) == found:
            return member
    area = None
    if members[0].area is not None:
        area = AreaCrop(template_px / scales[0], search_px / scales[1])
    return dataclasses.replace(
        members[0],
        template_px=template_px,
        search_px=search_px,
        train_search_px=train_search_px,
        area=area,
    )


def _covering(crops: Iterable[tuple[float, int]]) -> int:
    """Returns the side of a crop that shows what all of `crops` show, in pixels.

    The crop has the largest of their scales.

    Args:
      crops: Scale and side of each.
    """
    largest, parity = max(crops)
    needed = max(side * largest / scale for scale, side in crops)
    side = math.ceil(needed - _ROUNDING)
    return side + (side - parity) % 2
