"""Reduced networks inside the parent's shape, so that one program trains them all.

A child's kernels lie in the parent's at the taps and channels that it keeps; zeros
fill the rest, and a mask keeps them zero. Zero kernel, scale and bias make a channel
zero everywhere, and normalisation treats channels one by one. So the child computes
and learns what it would in its own shape, up to rounding.
"""

import functools
from typing import Any

import jax
import numpy as np

from dst_jax.arch import TrackerSpec, plain_layers, width_multiples
from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.heads import HeadSpec
from dst_jax.errors import InputError
from dst_jax.models import Variables, variable_shapes
from dst_jax.models.heads.build import head_channels
from dst_jax.search.space import SHRINKAGE
from dst_jax.typing import Int, Params

# The indices at which a child's array lies in its parent's, one array per axis.
Places = tuple[Int[np.ndarray, " _"], ...]


def expand(variables: Variables, child: TrackerSpec, parent: TrackerSpec) -> Variables:
    """Returns a child's variables in its parent's shapes, zeros elsewhere.

    Raises:
      InputError: If `child` is not `parent` with fewer channels and inner taps.
    """
    known = _stage_places(child, parent)
    below = known[f"conv{len(known)}"][-1]
    known |= _head_places(child.head, parent.head, below)

    def put(path: tuple[Any, ...], leaf: Any, like: jax.ShapeDtypeStruct) -> np.ndarray:
        # collection, backbone or head, layer, ..., leaf
        keys = [entry.key for entry in path]
        if keys[2] not in known:
            return np.asarray(leaf)  # no width changes its size
        taps, inputs, outputs = known[keys[2]]
        places = (taps, taps, inputs, outputs) if keys[-1] == "kernel" else (outputs,)
        whole = np.zeros(like.shape, np.asarray(leaf).dtype)
        whole[np.ix_(*places)] = leaf
        return whole

    shapes = _shapes(parent)
    likes = {name: shapes[name] for name in variables}
    return jax.tree_util.tree_map_with_path(put, dict(variables), likes)


def make_mask(child: TrackerSpec, parent: TrackerSpec) -> Params:
    """Returns 1 where the parent's parameters hold the child's, 0 elsewhere.

    Raises:
      InputError: If `child` is not `parent` with fewer channels and inner taps.
    """
    shapes = _shapes(child)["params"]
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    return expand({"params": ones}, child, parent)["params"]


# Tracing a network takes longer than moving its arrays.
@functools.lru_cache(maxsize=64)
def _shapes(spec: TrackerSpec) -> Variables:
    return variable_shapes(spec)


def _stage_places(child: TrackerSpec, parent: TrackerSpec) -> dict[str, Places]:
    """Returns where each stage of the child lies in the parent.

    The places are the parent's taps, input channels of a group, and output channels.
    """
    layers, wider = (plain_layers(one.backbone, SHRINKAGE) for one in (child, parent))
    if len(layers) != len(wider):
        raise InputError(
            f"a network of {len(layers)} stages cannot lie in one of {len(wider)}."
        )
    blocks = width_multiples(parent.backbone)
    below = np.arange(3)
    below_width, parent_below = 3, 3
    places = {}
    for index, (small, large) in enumerate(zip(layers, wider, strict=True)):
        name = f"conv{index + 1}"
        outputs = _kept_channels(small.features, large.features, blocks[index], name)
        inputs = below[: below_width // large.groups]
        assert inputs.max(initial=0) < parent_below // large.groups
        places[name] = (_kept_taps(small, large, name), inputs, outputs)
        below, below_width, parent_below = outputs, small.features, large.features
    return places


def _head_places(
    small: HeadSpec, large: HeadSpec, below: Int[np.ndarray, " _"]
) -> dict[str, Places]:
    """Returns where each layer of the child's head lies in the parent's.

    Layers that are left out have the same size in both.
    """
    features = large.stage.features if large.stage else 0
    if small.with_features(features) != large:
        raise InputError(
            f"{small} is not {large} with fewer features; keep the parent's head."
        )
    places: dict[str, Places] = {}
    for name, layer in head_channels(large).items():
        assert small.stage is not None and large.stage is not None
        widths = small.stage.features, large.stage.features
        width = _kept_channels(*widths, 1, "the head")
        inputs = below if layer.reads == "backbone" else width
        outputs = np.arange(layer.blocks)
        if layer.widens:
            wide = layer.blocks * widths[0], layer.blocks * widths[1]
            outputs = _kept_channels(*wide, layer.blocks, name)
        places[name] = np.arange(layer.kernel), inputs, outputs
    return places


def _kept_channels(
    small: int, large: int, blocks: int, name: str
) -> Int[np.ndarray, " _"]:
    """Returns the first channels of each block; groups read and write whole blocks."""
    if small > large or small % blocks:
        raise InputError(
            f"{name} has {small} channels, which do not lie in {large} in {blocks} "
            "equal blocks."
        )
    starts = np.arange(blocks) * (large // blocks)
    return (starts[:, None] + np.arange(small // blocks)[None, :]).ravel()


def _kept_taps(small: ConvSpec, large: ConvSpec, name: str) -> Int[np.ndarray, " _"]:
    # A space of dilated convolutions is refused, see `space.describe`.
    low = large.padding - small.padding
    high = low + small.trim - large.trim
    alike = ("stride", "groups", "batch_norm", "activation", "pool", "bias", "crop")
    same = all(getattr(small, field) == getattr(large, field) for field in alike)
    if not same or min(low, high) < 0 or low + small.kernel + high != large.kernel:
        raise InputError(
            f"{name} is not the parent's stage with inner taps of its kernel; "
            "shrink it with pinned geometry."
        )
    return np.arange(low, low + small.kernel)
