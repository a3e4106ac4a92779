"""Weights of DaSiamRPN, as variables of ours."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.arch import RegionHeadSpec, TrackerSpec, named, with_widths
from dst_jax.convert.state_dict import (
    COUNTER,
    entry_name,
    take_backbone,
    take_convolution,
)
from dst_jax.errors import InputError
from dst_jax.models.heads.build import head_channels

# Stage, convolution or normalisation, field: DaSiamRPN numbers its layers in a row.
_RPN_NAMES = {
    f"featureExtract.{number + part}.{field}": (stage, part, field)
    for stage, number in enumerate((0, 4, 8, 11, 14), start=1)
    for part, fields in enumerate(
        (("weight", "bias"), ("weight", "bias", "running_mean", "running_var"))
    )
    for field in fields
}


def siamrpn_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """The architecture of a DaSiamRPN state dict, by the shapes of its tensors.

    Widths are read off, of the backbone and of the head; kernels, strides and anchors
    are those of `siamrpn`, for which the names stand.

    Raises:
      InputError: If a convolution is missing, or the anchors are not five a cell.
    """
    state = _without_prefix(state)
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
    """Variables of SiamRPN from a DaSiamRPN state dict.

    Names are `featureExtract.N.*` with N = 0, 4, 8, 11, 14 for the convolutions and
    1, 5, 9, 12, 15 for their normalisations, then `conv_cls1`, `conv_cls2`,
    `conv_r1`, `conv_r2` and `regress_adjust`. Those weights see BGR images: the input
    axis of the first convolution is reversed, since ours are RGB.

    Args:
      state: Names to arrays.
      spec: The architecture that they are meant for, with an up-channel head.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names of the state
      dict that found no place.

    Raises:
      InputError: If a tensor is missing or has another shape than `spec` wants.
    """
    shapes = _head_shapes(spec)
    state = _without_prefix(state)
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
    """Outputs, inputs and kernel of the head's convolutions, by DaSiamRPN's names."""
    layers, stage = head_channels(spec.head), spec.head.stage
    if stage is None or list(layers) != ["cls1", "r1", "cls2", "r2"]:
        raise InputError("DaSiamRPN's weights need an up-channel head; use siamrpn.")
    below, offsets = spec.backbone.widths[-1], layers["r1"].blocks
    shapes = {
        f"conv_{name}": (layer.blocks * stage.features, below, layer.kernel)
        for name, layer in layers.items()
    }
    return {**shapes, "regress_adjust": (offsets, offsets, 1)}


def _without_prefix(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """DaSiamRPN's names, without what a wrapper of PyTorch's puts before them."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if not any(name in _RPN_NAMES for name in state):
        raise InputError(
            "no tensor is called featureExtract.0.weight, so this is not a network of "
            f"DaSiamRPN; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    return state


def _outputs(state: Mapping[str, np.ndarray], name: str) -> int:
    """Output channels of a convolution."""
    if f"{name}.weight" not in state:
        raise InputError(f"{name}.weight is missing; the state dict is incomplete.")
    return state[f"{name}.weight"].shape[0]
