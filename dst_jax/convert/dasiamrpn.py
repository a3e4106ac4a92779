"""Converts weights of DaSiamRPN into variables of the package."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.arch import RegionHeadSpec, TrackerSpec, named, with_widths
from dst_jax.convert.state_dict import (
    COUNTER,
    entry_name,
    plain_names,
    take_backbone,
    take_convolution,
)
from dst_jax.errors import InputError
from dst_jax.models.heads.build import head_channels

# From DaSiamRPN's names to stage, convolution (0) or normalisation (1), and field.
# DaSiamRPN numbers all layers of its backbone in one sequence.
_RPN_NAMES = {
    f"featureExtract.{number + part}.{field}": (stage, part, field)
    for stage, number in enumerate((0, 4, 8, 11, 14), start=1)
    for part, fields in enumerate(
        (("weight", "bias"), ("weight", "bias", "running_mean", "running_var"))
    )
    for field in fields
}


def siamrpn_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """Returns the architecture of a DaSiamRPN state dict.

    The widths of backbone and head are read from the shapes of the tensors. Kernels,
    strides and anchors are those of `siamrpn`.

    Args:
      state: Arrays by the names of DaSiamRPN.

    Raises:
      InputError: If a convolution is missing, or there are not five anchors per cell.
    """
    state = _own_names(state)
    *stages, features = (
        _outputs(state, name)
        for name in (*(f"featureExtract.{n}" for n in (0, 4, 8, 11, 14)), "conv_cls2")
    )
    outputs, spec = _outputs(state, "conv_cls1"), named("siamrpn")
    head = RegionHeadSpec(features=features)
    if outputs != 2 * head.anchors * features:
        raise InputError(
            f"conv_cls1.weight has {outputs} outputs; {head.anchors} anchors of "
            f"{features} features have {2 * head.anchors * features}."
        )
    return dataclasses.replace(with_widths(spec, stages), head=head)


def siamrpn_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the variables of SiamRPN from a DaSiamRPN state dict.

    The names are `featureExtract.N.*` with N = 0, 4, 8, 11, 14 for the convolutions and
    1, 5, 9, 12, 15 for their normalisations, then `conv_cls1`, `conv_cls2`, `conv_r1`,
    `conv_r2` and `regress_adjust`. DaSiamRPN reads BGR images and this package RGB
    images, so the input axis of the first convolution is reversed.

    Args:
      state: Arrays by the names of DaSiamRPN.
      spec: The architecture of the weights, with an up-channel head.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used.

    Raises:
      InputError: If the head of `spec` is another one, or a tensor is missing or has
        another shape than in `spec`.
    """
    shapes = _head_shapes(spec)
    state = _own_names(state)
    entries = {_RPN_NAMES.get(name, (0, 0, name)): v for name, v in state.items()}
    params, stats = take_backbone(entries, spec)
    first = params["conv1"]["conv"]
    first["kernel"] = np.ascontiguousarray(first["kernel"][:, :, ::-1])
    read_out = {
        name.removeprefix("conv_"): take_convolution(entries, (0, 0, name), shape)
        for name, shape in shapes.items()
    }
    left_over = [entry_name(k) for k in entries if not k[2].endswith(COUNTER)]
    variables = {
        "params": {"backbone": params, "head": read_out},
        "batch_stats": {"backbone": stats},
    }
    return variables, tuple(sorted(left_over))


def _head_shapes(spec: TrackerSpec) -> dict[str, tuple[int, int, int]]:
    """Returns outputs, inputs and kernel of the head's layers, by DaSiamRPN's names."""
    layers, stage = head_channels(spec.head), spec.head.stage
    if stage is None or list(layers) != ["cls1", "r1", "cls2", "r2"]:
        raise InputError("DaSiamRPN's weights need an up-channel head; use siamrpn.")
    below, offsets = spec.backbone.widths[-1], layers["r1"].blocks
    shapes = {
        f"conv_{name}": (layer.blocks * stage.features, below, layer.kernel)
        for name, layer in layers.items()
    }
    return {**shapes, "regress_adjust": (offsets, offsets, 1)}


def _own_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the state dict by the network's own names.

    Raises:
      InputError: If it has no name of DaSiamRPN's backbone.
    """
    state = plain_names(state)
    if not any(name in _RPN_NAMES for name in state):
        raise InputError(
            "no tensor is called featureExtract.0.weight, so this is not a network of "
            f"DaSiamRPN; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    return state


def _outputs(state: Mapping[str, np.ndarray], name: str) -> int:
    """Returns the number of output channels of a convolution."""
    if f"{name}.weight" not in state:
        raise InputError(f"{name}.weight is missing; the state dict is incomplete.")
    shape = state[f"{name}.weight"].shape
    if len(shape) != 4:
        raise InputError(
            f"{name}.weight has the shape {shape}; that of a convolution has 4 numbers."
        )
    return shape[0]
