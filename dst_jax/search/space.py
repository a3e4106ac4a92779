"""The space of shrunk networks: what a policy reads and what its actions do.

A network is described as N2N does: one row of five numbers for each primitive layer
(type, kernel, stride, output channels, padding), and an action for each number.
Actions are tenths, 1..10: the factors 0.1, ..., 1.0 of the paper.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

from dst_jax.arch import TrackerSpec, shrink_kernel, tracker_cost, width_multiples
from dst_jax.arch.spec import ConvSpec, RegionHeadSpec
from dst_jax.errors import InputError
from dst_jax.search.config import SearchConfig

ACTIONS: tuple[int, ...] = tuple(range(1, 11))
FEATURES = ("type", "kernel", "stride", "features", "padding")
# N2N's numbers for the kinds of layers.
CONV, MAX_POOL, RELU, BATCH_NORM = 1, 2, 3, 4

# One line per primitive layer, one tenth per entry of FEATURES.
Actions: TypeAlias = Sequence[Sequence[int]]


class ImpossibleError(InputError):
    """The actions lead to no network; the message says why."""


@dataclasses.dataclass(frozen=True)
class Description:
    """A network as the policy reads it.

    Attributes:
      rows: Five numbers for each primitive layer, in the order of FEATURES.
      free: Which of them an action may change.
      stages: The row of each stage's convolution.
    """

    rows: tuple[tuple[int, ...], ...]
    free: tuple[tuple[bool, ...], ...]
    stages: tuple[int, ...]


def describe(parent: TrackerSpec, config: SearchConfig) -> Description:
    """Returns what the policy reads of `parent`, and where it may act.

    Raises:
      InputError: If `config` frees a stage that does not exist, or `parent` proposes
        regions.
    """
    if isinstance(parent.head, RegionHeadSpec):
        raise InputError("a tracker that proposes regions cannot be searched yet.")
    layers = parent.backbone.layers
    chosen = config.layers or tuple(range(1, len(layers) + 1))
    if max(chosen) > len(layers):
        raise InputError(
            f"SearchConfig.layers has {max(chosen)}; the backbone has {len(layers)}."
        )
    rows: list[tuple[int, ...]] = []
    free: list[tuple[bool, ...]] = []
    stages: list[int] = []
    for number, layer in enumerate(layers, start=1):
        stages.append(len(rows))
        rows += _rows(layer)
        acts = number in chosen
        free.append(tuple(acts and name in config.attributes for name in FEATURES))
        free += [(False,) * len(FEATURES)] * (len(rows) - len(free))
    return Description(tuple(rows), tuple(free), tuple(stages))


def check_space(parent: TrackerSpec, config: SearchConfig) -> None:
    """Checks that there is something to search.

    Raises:
      InputError: If a chosen stage does not exist, or even the smallest network of the
        space is impossible.
    """
    smallest = [[ACTIONS[0]] * len(FEATURES) for _ in describe(parent, config).rows]
    try:
        shrink(parent, smallest, config)
    except ImpossibleError as error:
        raise InputError(
            f"the search space is empty; with every factor at 0.1: {error} Free more "
            "SearchConfig.attributes or layers, or lower min_width."
        ) from None


def shrink(parent: TrackerSpec, actions: Actions, config: SearchConfig) -> TrackerSpec:
    """Returns the network that `actions` make of `parent`.

    A stage of kernel k and o output channels gets max(k a // 10, 1) and
    max(o a // 10, min_width), the latter cut down to whole groups. Entries that are
    not free in `describe(parent, config)` have no effect.

    Raises:
      ImpossibleError: If a feature map vanishes, the response would lie on another
        grid than the parent's, or nothing shrank.
    """
    description = describe(parent, config)
    layers = []
    multiples = width_multiples(parent.backbone)
    for index, layer in enumerate(parent.backbone.layers):
        row = description.stages[index]
        tenths = {
            name: actions[row][column] if description.free[row][column] else 10
            for column, name in enumerate(FEATURES)
        }
        layers.append(_shrink_stage(layer, tenths, multiples[index], config))
    try:
        backbone = dataclasses.replace(parent.backbone, layers=tuple(layers))
        child = dataclasses.replace(parent, backbone=backbone)
    except InputError as error:
        raise ImpossibleError(str(error)) from None
    _check_child(child, parent)
    return child


def _rows(layer: ConvSpec) -> list[tuple[int, ...]]:
    """The primitive layers of one stage; a normalisation has the same channels."""
    rows = [(CONV, layer.kernel, layer.stride, layer.features, layer.padding)]
    if layer.batch_norm:
        rows.append((BATCH_NORM, 0, 0, layer.features, 0))
    if layer.activation == "relu":
        rows.append((RELU, 0, 0, 0, 0))
    if layer.pool:
        rows.append((MAX_POOL, layer.pool.window, layer.pool.stride, 0, 0))
    return rows


def _shrink_stage(
    layer: ConvSpec, tenths: dict[str, int], multiple: int, config: SearchConfig
) -> ConvSpec:
    floor = min(config.min_width, layer.features)
    width = max(layer.features * tenths["features"] // 10, floor)
    # Whole groups, upwards only where cutting down would leave none.
    width = max(width // multiple, -(-floor // multiple)) * multiple
    kernel = max(layer.kernel * tenths["kernel"] // 10, 1)
    shrunk = dataclasses.replace(layer, features=min(width, layer.features))
    if config.pin_geometry:
        return shrink_kernel(shrunk, kernel)
    padding = layer.padding * tenths["padding"] // 10
    return dataclasses.replace(shrunk, kernel=kernel, padding=padding)


def _check_child(child: TrackerSpec, parent: TrackerSpec) -> None:
    for field in ("search_px", "train_search_px"):
        pixels = getattr(parent.input, field)
        ours, theirs = child.response_side(pixels), parent.response_side(pixels)
        if ours != theirs:
            raise ImpossibleError(
                f"a response of {ours} cells at {field}={pixels}, the teacher has "
                f"{theirs}."
            )
    if tracker_cost(child).parameters >= tracker_cost(parent).parameters:
        raise ImpossibleError("a network not smaller than the teacher.")
