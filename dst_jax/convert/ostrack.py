"""Weights of OSTrack, and of the vision transformers from which it starts."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dst_jax.arch import AreaCrop, TokenBackboneSpec, TrackerSpec, named
from dst_jax.convert.positions import resized_positions
from dst_jax.convert.state_dict import (
    COUNTER,
    Entries,
    entry_name,
    plain_names,
    take,
    take_tensor,
)
from dst_jax.errors import InputError
from dst_jax.models.build import init_variables
from dst_jax.models.parts import BACKBONE

_ROLES = {"template": "pos_embed_z", "search": "pos_embed_x"}
_BRANCHES = {"score": "ctr", "offset": "offset", "size": "size"}
_FIELDS = {"kernel": "weight", "scale": "weight", "bias": "bias"}
_FIELDS |= {"mean": "running_mean", "var": "running_var"}
_OUTSIDE = {"qkv": "attn", "proj": "attn", "fc1": "mlp", "fc2": "mlp"}
_POSITIONS = "pos_embed"
# Tokens that other configurations of public code add.
_FOREIGN = re.compile(r"backbone\.(cls_pos_embed|\w+_segment_pos_embed)")
_KINDS = {768: "", 384: "s-", 192: "ti-"}
_DEPTH = 12


def ostrack_spec(state: Mapping[str, np.ndarray], factor: float) -> TrackerSpec:
    """Returns the architecture of a state dict of OSTrack, without elimination.

    Args:
      state: Arrays by the names of OSTrack.
      factor: Number of sqrt(w h) that a search crop shows, which the file does not say:
        4 for OSTrack at 256 px, 5 at 384 px and for LoReTrack.

    Raises:
      InputError: If it is of another network.
    """
    state = _own_names(state)
    width, _, _, patch = _shape(state, "backbone.patch_embed.proj.weight", 4)
    features = _shape(state, "box_head.conv1_ctr.0.weight", 4)[0]
    sides = [_side(state, f"backbone.{name}") for name in _ROLES.values()]
    template_px, search_px = (side * patch for side in sides)
    base = named("ostrack-256")
    depth = _depth(state, "backbone.blocks")
    _require_known(width, depth)
    area = AreaCrop(template=2.0, search=factor)
    crops = dataclasses.replace(
        base.input,
        template_px=template_px,
        search_px=search_px,
        train_search_px=search_px,
        area=area,
    )
    # All public vision transformers have 64 channels a head.
    backbone = TokenBackboneSpec(width, depth, width // 64, patch)
    return TrackerSpec(backbone, base.head.with_features(features), crops)


def ostrack_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the variables of a network from a state dict of OSTrack.

    Args:
      state: Arrays by the names of OSTrack.
      spec: The architecture of the weights.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used: a class token and its positions, which public code keeps.

    Raises:
      InputError: If a tensor is missing or has another shape than in `spec`.
    """
    state = _own_names(state)
    _require_tokens(spec)
    _check_grids(state, spec)
    return _filled(state, spec, prefix="backbone.")


def with_positions_of(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> dict[str, np.ndarray]:
    """Returns a state dict of OSTrack whose positions fit the crops of `spec`.

    Args:
      state: Arrays by the names of OSTrack.
      spec: The architecture for whose grids the positions are resized.

    Raises:
      InputError: If it holds no such positions.
    """
    state = _own_names(state)
    for role, name in _ROLES.items():
        _side(state, f"backbone.{name}")
        positions = resized_positions(state[f"backbone.{name}"][0], _cells(spec, role))
        state[f"backbone.{name}"] = positions[None]
    return state


def vit_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """Returns OSTrack at 256 px on the transformer of a state dict.

    Args:
      state: Arrays by the names of MAE, DeiT or timm.

    Raises:
      InputError: If it is no transformer of a known size.
    """
    state = _vit_names(state)
    width = _shape(state, "patch_embed.proj.weight", 4)[0]
    _require_known(width, _depth(state, "blocks"))
    return named(f"ostrack-{_KINDS[width]}256")


def vit_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns variables whose backbone is a classifier's or MAE's transformer.

    Its positions are resized to the grids of both crops, and the head is fresh.

    Args:
      state: Arrays by the names of MAE, DeiT or timm.
      spec: The architecture, of any size of crops.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used, the class token and a classifier's "head" among them.

    Raises:
      InputError: If a tensor is missing or has another shape than in `spec`.
    """
    state = _vit_names(state)
    _require_tokens(spec)
    if _POSITIONS not in state or state[_POSITIONS].ndim != 3:
        raise InputError(f"{_POSITIONS} is missing; the state dict is incomplete.")
    # Tokens of no cell, such as the class, come first.
    every = state.pop(_POSITIONS)[0]
    cells = every[len(every) - math.isqrt(len(every)) ** 2 :]
    for role, name in _ROLES.items():
        state[name] = resized_positions(cells, _cells(spec, role))[None]
    return _filled(state, spec, prefix="", head=False)


def _filled(
    state: Mapping[str, np.ndarray],
    spec: TrackerSpec,
    *,
    prefix: str,
    head: bool = True,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns fresh variables with the tensors of a state dict, and those left over."""
    entries: Entries = {(0, 0, name): array for name, array in state.items()}
    flat: Any = flatten_dict(jax.device_get(init_variables(jax.random.key(0), spec)))
    for path, fresh in flat.items():
        if path[1] == BACKBONE:
            flat[path] = _backbone_tensor(entries, path[2:], fresh.shape, prefix)
        elif head:
            flat[path] = take_tensor(entries, _head_name(path[2:]), fresh.shape)
    left_over = [entry_name(k) for k in entries if not k[2].endswith(COUNTER)]
    return unflatten_dict(flat), tuple(sorted(left_over))


def _backbone_tensor(
    entries: Entries, path: tuple[str, ...], shape: tuple[int, ...], prefix: str
) -> np.ndarray:
    """Takes the tensor that stands for a parameter of the backbone."""
    *parts, field = path
    match parts:
        case ["positions"]:
            return take(entries, (0, 0, f"{prefix}{_ROLES[field]}"), (1, *shape))[0]
        case ["patch"]:
            name = f"{prefix}patch_embed.proj.{_FIELDS[field]}"
            if field == "bias":
                return take(entries, (0, 0, name), shape)
            side = math.isqrt(shape[0] // 3)
            kernel = take_tensor(entries, name, (side, side, 3, shape[1]))
            return kernel.reshape(shape)
        case ["norm"]:
            return take(entries, (0, 0, f"{prefix}norm.{_FIELDS[field]}"), shape)
    block, part = parts
    inside = f"{_OUTSIDE[part]}.{part}" if part in _OUTSIDE else part
    number = block.removeprefix("block")
    name = f"{prefix}blocks.{number}.{inside}.{_FIELDS[field]}"
    if field != "kernel":
        return take(entries, (0, 0, name), shape)
    return np.ascontiguousarray(take(entries, (0, 0, name), shape[::-1]).T)


def _head_name(path: tuple[str, ...]) -> str:
    """Returns OSTrack's name of a variable of the head."""
    branch, *parts, field = path
    own = _BRANCHES[branch]
    if parts == ["read"]:
        return f"box_head.conv5_{own}.{_FIELDS[field]}"
    stage, part = parts
    layer = {"conv": 0, "norm": 1}[part]
    return f"box_head.{stage}_{own}.{layer}.{_FIELDS[field]}"


def _own_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a state dict by OSTrack's names.

    Raises:
      InputError: If it is of another network.
    """
    state = plain_names(state)
    if "backbone.pos_embed_z" not in state:
        raise InputError(
            "no tensor is called backbone.pos_embed_z, so this is not OSTrack; the "
            f"file holds {', '.join(sorted(state)[:3])}, ..."
        )
    for name in state:
        if _FOREIGN.fullmatch(name):
            raise InputError(
                f"{name}: networks with a class token or separate embeddings of the "
                "images cannot be converted; take weights without them."
            )
    return state


def _vit_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a state dict by the names of vision transformers.

    Raises:
      InputError: If it is of another network.
    """
    state = plain_names(state)
    if "patch_embed.proj.weight" not in state:
        raise InputError(
            "no tensor is called patch_embed.proj.weight, so this is no vision "
            f"transformer; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    return state


def _shape(state: Mapping[str, np.ndarray], name: str, axes: int) -> tuple[int, ...]:
    """Returns the shape of a tensor, or raises InputError if it has none of `axes`."""
    if name not in state:
        raise InputError(f"{name} is missing; the state dict is incomplete.")
    if state[name].ndim != axes or 0 in state[name].shape:
        raise InputError(f"{name} has shape {state[name].shape}; expected {axes} axes.")
    return state[name].shape


def _side(state: Mapping[str, np.ndarray], name: str) -> int:
    """Returns the cells per side of the positions of one image."""
    count = _shape(state, name, 3)[1]
    if math.isqrt(count) ** 2 != count:
        raise InputError(f"{name} has {count} positions, which are no square grid.")
    return math.isqrt(count)


def _depth(state: Mapping[str, np.ndarray], stem: str) -> int:
    """Returns the number of blocks."""
    pattern = re.compile(rf"{re.escape(stem)}\.(\d+)\.norm1\.weight")
    return len([name for name in state if pattern.fullmatch(name)])


def _require_known(width: int, depth: int) -> None:
    if width not in _KINDS or depth != _DEPTH:
        raise InputError(
            f"a transformer of width {width} with {depth} blocks is not known; there "
            f"are widths {', '.join(map(str, _KINDS))} with {_DEPTH} blocks."
        )


def _require_tokens(spec: TrackerSpec) -> None:
    if not spec.head.one_stream:
        raise InputError("these weights need a transformer; use ostrack-256.")
    if isinstance(spec.backbone, TokenBackboneSpec) and spec.backbone.stem == "conv":
        raise InputError(
            'TokenBackboneSpec.stem="conv": public weights hold a patch embedding; '
            'give an architecture whose stem is "patch".'
        )


def _cells(spec: TrackerSpec, role: str) -> int:
    """Returns the cells per side of an image."""
    crops = spec.input
    px = crops.template_px if role == "template" else crops.search_px
    return spec.feature_side(px)


def _check_grids(state: Mapping[str, np.ndarray], spec: TrackerSpec) -> None:
    """Checks that the positions are those of the crops of `spec`."""
    for role, name in _ROLES.items():
        found, wanted = _side(state, f"backbone.{name}"), _cells(spec, role)
        if found != wanted:
            size = spec.backbone.total_stride
            raise InputError(
                f"backbone.{name} has {found} x {found} positions, of a {role} image "
                f"of {found * size} px; the architecture has {wanted} x {wanted}, of "
                f"{wanted * size} px. Choose the architecture of the weights, or "
                "resize the positions (--resize-positions)."
            )
