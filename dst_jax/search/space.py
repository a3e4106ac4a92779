"""The space of shrunk networks: what a policy reads and what its actions do.

As in N2N, a network is described by one row of five numbers for each primitive layer
(type, kernel, stride, output channels, padding), and each number has an action.
Actions are tenths, 1..10: the factors 0.1, ..., 1.0 of the paper.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

from dst_jax.arch import (
    TrackerSpec,
    chain_of,
    plain_layers,
    shrink_kernel,
    width_multiples,
)
from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.errors import InputError
from dst_jax.search.config import SearchConfig
from dst_jax.search.reward import size_of

ACTIONS: tuple[int, ...] = tuple(range(1, 11))
FEATURES = ("type", "kernel", "stride", "features", "padding")
# N2N's numbers for the kinds of layers.
CONV, MAX_POOL, RELU, BATCH_NORM = 1, 2, 3, 4

# What needs plain convolutions, for messages.
SHRINKAGE = "Layer shrinkage"

# Actions have one line per primitive layer and in it one tenth per entry of FEATURES.
Actions: TypeAlias = Sequence[Sequence[int]]


class ImpossibleError(InputError):
    """Says that actions lead to no network, and why."""


@dataclasses.dataclass(frozen=True)
class Description:
    """A network as the policy reads it.

    Attributes:
      rows: Five numbers for each primitive layer, in the order of FEATURES.
      free: Whether an action may change a number of the rows.
      stages: Index of the row of each stage's convolution.
      head: Index of the row of a region head, whose features are feature_out; None
        where the head has nothing to shrink.
    """

    rows: tuple[tuple[int, ...], ...]
    free: tuple[tuple[bool, ...], ...]
    stages: tuple[int, ...]
    head: int | None = None


def describe(parent: TrackerSpec, config: SearchConfig) -> Description:
    """Returns what the policy reads of `parent`, and where it may act.

    The policy reads a region head as one convolution after the last stage, because the
    convolutions of its two branches share kernel and width. Only that width,
    feature_out, may shrink; the 2k and 4k outputs belong to the anchors and stay.

    Raises:
      InputError: If `config` frees a layer that does not exist, a stage is residual or
        dilated, or the head reads levels.
    """
    layers, head = _shrinkable(parent), parent.head
    last = len(layers) + (head.stage is not None)
    chosen = config.layers or tuple(range(1, last + 1))
    if max(chosen) > last:
        more = f", its head is layer {last}" if last > len(layers) else ""
        raise InputError(
            f"SearchConfig.layers has {max(chosen)}; the backbone has {len(layers)}"
            f"{more}."
        )
    rows: list[tuple[int, ...]] = []
    free: list[tuple[bool, ...]] = []
    stages: list[int] = []

    def add(layer: ConvSpec, may_shrink: tuple[str, ...]) -> int:
        row = len(rows)
        rows.extend(_rows(layer))
        free.append(tuple(name in may_shrink for name in FEATURES))
        free.extend([(False,) * len(FEATURES)] * (len(rows) - len(free)))
        return row

    for number, layer in enumerate(layers, start=1):
        stages.append(add(layer, config.attributes if number in chosen else ()))
    head_row = None
    if head.stage is not None:
        width = {"features"} & set(config.attributes) if last in chosen else ()
        head_row = add(head.stage, tuple(width))
    return Description(tuple(rows), tuple(free), tuple(stages), head_row)


def _shrinkable(parent: TrackerSpec) -> tuple[ConvSpec, ...]:
    """Returns the stages of a network that consists of what can shrink."""
    layers = plain_layers(parent.backbone, SHRINKAGE)
    stages = zip(parent.backbone.stage_names, layers, strict=True)
    if dilated := [name for name, layer in stages if layer.dilation > 1]:
        raise InputError(
            f"{SHRINKAGE} needs plain convolutions; {dilated[0]} of the backbone is "
            "dilated."
        )
    if parent.head.levels:
        raise InputError(
            f"{SHRINKAGE} needs a head without levels, which reads the last stage; "
            f"this one reads {', '.join(parent.head.levels)}."
        )
    return layers


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

    With action a, a kernel of side k becomes max(k a // 10, 1), and o output channels
    become max(o a // 10, min_width), cut down to whole groups; features of a region
    head shrink as output channels do. Entries that are not free in
    `describe(parent, config)` have no effect.

    Raises:
      ImpossibleError: If a feature map vanishes, the response would lie on another
        grid than the parent's, or nothing shrank.
    """
    description = describe(parent, config)

    def tenths(row: int) -> dict[str, int]:
        chosen = zip(FEATURES, actions[row], description.free[row], strict=True)
        return {name: tenth if free else 10 for name, tenth, free in chosen}

    multiples = width_multiples(parent.backbone)
    parents = _shrinkable(parent)
    stages = zip(parents, description.stages, multiples, strict=True)
    layers = tuple(
        _shrink_stage(layer, tenths(row), multiple, config)
        for layer, row, multiple in stages
    )
    head = parent.head
    if head.stage is not None and description.head is not None:
        width = _width(head.stage.features, tenths(description.head), 1, config)
        head = head.with_features(width)
    try:
        chain = chain_of(parent, SHRINKAGE)
        backbone = dataclasses.replace(chain, layers=layers)
        child = dataclasses.replace(parent, backbone=backbone, head=head)
    except InputError as error:
        raise ImpossibleError(str(error)) from None
    _check_child(child, parent, config)
    return child


def _rows(layer: ConvSpec) -> list[tuple[int, ...]]:
    """Returns the rows of a stage's primitive layers."""
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
    width = _width(layer.features, tenths, multiple, config)
    kernel = max(layer.kernel * tenths["kernel"] // 10, 1)
    shrunk = dataclasses.replace(layer, features=width)
    if config.pin_geometry:
        return shrink_kernel(shrunk, kernel)
    padding = layer.padding * tenths["padding"] // 10
    return dataclasses.replace(shrunk, kernel=kernel, padding=padding)


def _width(
    full: int, tenths: dict[str, int], multiple: int, config: SearchConfig
) -> int:
    floor = min(config.min_width, full)
    width = max(full * tenths["features"] // 10, floor)
    # The width is cut down to whole groups, and rounded up only where that would take
    # it below the floor.
    width = max(width // multiple, -(-floor // multiple)) * multiple
    return min(width, full)


def _check_child(child: TrackerSpec, parent: TrackerSpec, config: SearchConfig) -> None:
    for field in ("search_px", "train_search_px"):
        pixels = getattr(parent.input, field)
        ours, theirs = child.response_side(pixels), parent.response_side(pixels)
        if ours != theirs:
            raise ImpossibleError(
                f"a response of {ours} cells at {field}={pixels}, the teacher has "
                f"{theirs}."
            )
    size, full = (size_of(spec, config.size) for spec in (child, parent))
    if size >= full:
        raise ImpossibleError("a network not smaller than the teacher.")
    if size > config.largest * full:
        raise ImpossibleError(
            f"{size / full:.3f} of the teacher's {config.size}, more than "
            f"largest={config.largest:g}."
        )
