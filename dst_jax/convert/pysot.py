"""Converts weights of pysot's SiamRPN++ into variables of the package."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dst_jax.arch import (
    ConvSpec,
    ResidualSpec,
    TrackerSpec,
    chain_of,
    named,
)
from dst_jax.convert.state_dict import (
    COUNTER,
    entry_name,
    in_order,
    plain_names,
    take_tensor,
)
from dst_jax.errors import InputError
from dst_jax.models.build import variable_shapes

_FIELDS = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_BRANCHES = {"cls": "cls", "r": "loc"}
# Of a branch's parts: pysot's module, and the places of convolution and normalisation.
_PARTS = {
    "template": ("conv_kernel", "0", "1"),
    "search": ("conv_search", "0", "1"),
    "mix": ("head", "0", "1"),
    "read": ("head", "3", ""),
}
# Names that only pysot's other backbones have.
_OTHERS = {
    "backbone.features.0.weight": "AlexNet",
    "backbone.layer1.0.weight": "AlexNet",
    "backbone.features.0.0.weight": "MobileNet",
    "backbone.layer0.0.weight": "MobileNet",
}


def siamrpnpp_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """Returns the architecture of a state dict of pysot's SiamRPN++.

    Depth, form and widths of the backbone, channels of `adjust` and of the heads, and
    the kind of fusion are read off names and shapes. Strides, dilations, anchors and
    crops are those of `siamrpnpp-r50`.

    Args:
      state: Arrays by the names of pysot.

    Raises:
      InputError: If it is of another network, or one of the three levels is missing.
    """
    state = _own_names(state)
    base = named("siamrpnpp-r50")
    public: Any = base.head
    own = chain_of(base, "A network of pysot")
    stem, *stages = own.layers
    assert isinstance(stem, ConvSpec)
    layers = [dataclasses.replace(stem, features=_outputs(state, "backbone.conv1"))]
    layers += [_stage(state, n, stage) for n, stage in enumerate(stages, start=1)]
    levels = [level.removeprefix("layer") for level in public.levels]
    missing = [n for n in levels if f"rpn_head.rpn{n}.cls.head.3.weight" not in state]
    if missing:
        raise InputError(
            f"rpn_head.rpn{missing[0]}.cls.head.3.weight is missing; heads on layer2, "
            "layer3 and layer4 are expected."
        )
    first = levels[0]
    head = dataclasses.replace(
        public,
        features=_outputs(state, f"rpn_head.rpn{first}.cls.conv_kernel.0"),
        adjust=_outputs(state, f"neck.downsample{first}.downsample.0"),
        fusion="learned" if "rpn_head.cls_weight" in state else "mean",
    )
    answers = _outputs(state, f"rpn_head.rpn{first}.cls.head.3")
    if answers != 2 * public.anchors:
        raise InputError(
            f"rpn_head.rpn{first}.cls.head.3.weight has {answers} outputs; "
            f"{public.anchors} anchors have {2 * public.anchors}."
        )
    chain = dataclasses.replace(own, layers=tuple(layers))
    return dataclasses.replace(base, backbone=chain, head=head)


def siamrpnpp_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the variables of SiamRPN++ from a state dict of pysot.

    Pysot reads BGR images and this package RGB images, so the input axis of the first
    convolution is reversed. Logits and offsets count anchors fastest in both.

    Args:
      state: Arrays by the names of pysot.
      spec: The architecture of the weights, with residual stages and levels.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used.

    Raises:
      InputError: If `spec` has no levels, or a tensor is missing or has another shape
        than in `spec`.
    """
    if not getattr(spec.head, "levels", ()):
        raise InputError(
            "pysot's weights need heads on several levels; use siamrpnpp-r50."
        )
    entries = {(0, 0, name): array for name, array in _own_names(state).items()}
    shapes: Any = flatten_dict(variable_shapes(spec))
    flat = {
        path: take_tensor(entries, name, shapes[path].shape)
        for path, name in in_order(entries, {path: pysot_name(path) for path in shapes})
    }
    first = ("params", "backbone", "conv1", "conv", "kernel")
    flat[first] = np.ascontiguousarray(flat[first][:, :, ::-1])
    left_over = [entry_name(k) for k in entries if not k[2].endswith(COUNTER)]
    return unflatten_dict(flat), tuple(sorted(left_over))


def backbone_name(path: tuple[str, ...]) -> str:
    """Returns what a ResNet of PyTorch calls a variable of the backbone.

    Args:
      path: As ("layer1", "block1", "conv2", "norm", "mean").
    """
    *place, part, kind, field = path
    modules = {"conv": part, "norm": part.replace("conv", "bn")}
    if part == "projection":
        modules = {"conv": "downsample.0", "norm": "downsample.1"}
    stem = [place[0], str(int(place[1].removeprefix("block")) - 1)] if place else []
    return ".".join([*stem, modules[kind], _FIELDS[field]])


def pysot_name(path: tuple[str, ...]) -> str:
    """Returns what pysot calls a variable.

    Args:
      path: Its place, as ("params", "head", "layer2", "cls_mix", "conv", "kernel").
    """
    _, part, *rest = path
    if part == "backbone":
        return f"backbone.{backbone_name(tuple(rest))}"
    if len(rest) == 1:
        branch = rest[0].partition("_")[0]
        return f"rpn_head.{_BRANCHES[branch]}_weight"
    level, module, *inner = rest
    number = level.removeprefix("layer")
    if module == "adjust":
        place = "0" if inner[0] == "conv" else "1"
        return f"neck.downsample{number}.downsample.{place}.{_FIELDS[inner[1]]}"
    branch, _, part = module.partition("_")
    name, *places = _PARTS[part]
    place = places[1] if inner[0] == "norm" else places[0]
    stem = f"rpn_head.rpn{number}.{_BRANCHES[branch]}.{name}.{place}"
    return f"{stem}.{_FIELDS[inner[-1]]}"


def _stage(state: Mapping[str, np.ndarray], number: int, public: Any) -> ResidualSpec:
    """Returns a stage with the blocks, form and widths that the tensors have."""
    stem = f"backbone.layer{number}"
    pattern = re.compile(rf"{re.escape(stem)}\.(\d+)\.conv1\.weight")
    blocks = [int(m[1]) for m in map(pattern.fullmatch, state) if m]
    bottleneck = f"{stem}.0.conv3.weight" in state
    return dataclasses.replace(
        public,
        features=_outputs(state, f"{stem}.0.conv{3 if bottleneck else 2}"),
        inner=_outputs(state, f"{stem}.0.conv1"),
        blocks=max(blocks, default=0) + 1,
        form="bottleneck" if bottleneck else "basic",
    )


def _own_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the state dict by the network's own names.

    Raises:
      InputError: If it is not of pysot's SiamRPN++ on a ResNet.
    """
    state = plain_names(state)
    for name, backbone in _OTHERS.items():
        if name in state and "backbone.layer1.0.conv1.weight" not in state:
            raise InputError(
                f"{name} shows pysot's variant on {backbone}; only its ResNets can be "
                "converted."
            )
    if "backbone.layer1.0.conv1.weight" not in state:
        raise InputError(
            "no tensor is called backbone.layer1.0.conv1.weight, so this is not a "
            f"SiamRPN++ of pysot; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    return state


def _outputs(state: Mapping[str, np.ndarray], name: str) -> int:
    """Returns the number of output channels of a convolution."""
    array = state.get(f"{name}.weight")
    if array is None:
        raise InputError(f"{name}.weight is missing; the state dict is incomplete.")
    if len(array.shape) != 4:
        raise InputError(
            f"{name}.weight has the shape {array.shape}; that of a convolution has 4 "
            "numbers."
        )
    return array.shape[0]
