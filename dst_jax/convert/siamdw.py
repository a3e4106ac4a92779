"""Converts weights of SiamDW into variables of the package.

Its file of a network pretrained on ImageNet has the same backbone and no head.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dst_jax.arch import (
    ConvSpec,
    RegionHeadSpec,
    ResidualSpec,
    TrackerSpec,
    chain_of,
    named,
)
from dst_jax.convert.pysot import backbone_name
from dst_jax.convert.state_dict import (
    COUNTER,
    Entries,
    entry_name,
    plain_names,
    take_tensor,
)
from dst_jax.errors import InputError
from dst_jax.models.build import init_variables
from dst_jax.models.parts import BACKBONE

# What stands before the names of a backbone, in trackers and in classifiers.
_PREFIXES = ("features.features.", "features.")
_HEAD = {
    "cls1": "template_cls",
    "r1": "template_reg",
    "cls2": "search_cls",
    "r2": "search_reg",
    "regress_adjust": "adjust",
}
_FIRST = "layer1.0.conv1.weight"


def siamdw_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """Returns the architecture of a state dict of SiamDW.

    The widths and the numbers of blocks are read off names and shapes, and so is the
    head. Crops and anchors are those of `siamdw` and `siamdw-rpn`.

    Args:
      state: Arrays by the names of SiamDW.

    Raises:
      InputError: If it is of a classifier, of another of SiamDW's backbones, or of a
        head with one class output for each anchor.
    """
    state = _own_names(state)
    if "fc.weight" in state:
        raise InputError(
            "fc.weight shows a classifier; use --source imagenet-siamdw, which takes "
            "its backbone alone."
        )
    base = named("siamdw")
    own = chain_of(base, "A network of SiamDW")
    stem, *stages = own.layers
    assert isinstance(stem, ConvSpec)
    layers = [dataclasses.replace(stem, features=_shape(state, "conv1")[0])]
    layers += [_stage(state, n, stage) for n, stage in enumerate(stages, start=1)]
    chain = dataclasses.replace(own, layers=tuple(layers))
    spec = dataclasses.replace(base, backbone=chain)
    if "connect_model.template_cls.weight" not in state:
        return spec
    return dataclasses.replace(spec, head=_region_head(state))


def siamdw_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the variables of SiamDW from its state dict.

    SiamDW reads BGR images and this package RGB images, so the input axis of the first
    convolution is reversed.

    Args:
      state: Arrays by the names of SiamDW, such as
        `features.features.layer2.2.conv1.weight`; number 1 of layer2 is its pooling.
      spec: The architecture of the weights, with SiamDW's two residual stages.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used.

    Raises:
      InputError: If `spec` has other stages, or a tensor is missing or has another
        shape than in `spec`.
    """
    return _converted(state, spec, whole=True)


def siamdw_backbone_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns variables with a pretrained backbone, and a fresh head.

    Args:
      state: Arrays by the names of SiamDW; those of the backbone may begin with
        "features." or with nothing. A classifier's "fc" is not used.
      spec: The architecture, with SiamDW's two residual stages.

    Returns:
      What `siamdw_from_pytorch` returns.

    Raises:
      InputError: As `siamdw_from_pytorch` raises it.
    """
    return _converted(state, spec, whole=False)


def siamdw_backbone_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """Returns the SiamDW whose backbone a pretrained network is.

    Args:
      state: Arrays by the names of SiamDW.

    Raises:
      InputError: If it is of another of SiamDW's backbones.
    """
    names = _own_names(state)
    return siamdw_spec({n: x for n, x in names.items() if n.split(".")[0] != "fc"})


def _converted(
    state: Mapping[str, np.ndarray], spec: TrackerSpec, *, whole: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    if spec.backbone.stage_names != ("conv1", "layer1", "layer2"):
        raise InputError("SiamDW's weights need its two residual stages; use siamdw.")
    entries: Entries = {(0, 0, n): array for n, array in _own_names(state).items()}
    flat: Any = flatten_dict(jax.device_get(init_variables(jax.random.key(0), spec)))
    for path in [path for path in flat if whole or path[1] == BACKBONE]:
        flat[path] = take_tensor(entries, siamdw_name(path), np.shape(flat[path]))
    first = ("params", BACKBONE, "conv1", "conv", "kernel")
    flat[first] = np.ascontiguousarray(flat[first][:, :, ::-1])
    left_over = [entry_name(k) for k in entries if not k[2].endswith(COUNTER)]
    return unflatten_dict(flat), tuple(sorted(left_over))


def siamdw_name(path: tuple[str, ...]) -> str:
    """Returns what SiamDW calls a variable, without the backbone's prefix.

    Args:
      path: Its place, as ("params", "head", "cls1", "kernel").
    """
    _, part, *rest = path
    if part != BACKBONE:
        layer, field = rest
        field = "weight" if field == "kernel" else field
        return f"connect_model.{_HEAD.get(layer, layer)}.{field}"
    stage, place, *inner = backbone_name(tuple(rest)).split(".")
    if stage == "layer2" and place != "0":
        place = str(int(place) + 1)  # the pooling stands second
    return ".".join([stage, place, *inner])


def _stage(state: Mapping[str, np.ndarray], number: int, public: Any) -> ResidualSpec:
    """Returns a stage with the blocks and widths that the tensors have.

    Raises:
      InputError: If its blocks are those of another backbone.
    """
    stem = f"layer{number}"
    pattern = re.compile(rf"{stem}\.(\d+)\.conv1\.weight")
    blocks = [m for m in map(pattern.fullmatch, state) if m]
    inner = _shape(state, f"{stem}.0.conv1")[0]
    middle = _shape(state, f"{stem}.0.conv2")
    if middle[:2] == (2 * inner, inner):
        raise _other("ResNet22W", f"{stem}.0.conv2 has twice as many outputs as inputs")
    features = _shape(state, f"{stem}.0.conv3")[0]
    return dataclasses.replace(
        public, features=features, inner=inner, blocks=max(len(blocks), 1)
    )


def _region_head(state: Mapping[str, np.ndarray]) -> RegionHeadSpec:
    features = _shape(state, "connect_model.search_cls")[0]
    head = RegionHeadSpec(features=features)
    outputs = _shape(state, "connect_model.template_cls")[0]
    if outputs == head.anchors * features:
        raise InputError(
            f"connect_model.template_cls.weight has {head.anchors} class outputs of "
            f"{features} channels, one for each anchor, which a sigmoid reads; heads "
            "here have two for each anchor, so this network cannot be converted."
        )
    if outputs != 2 * head.anchors * features:
        raise InputError(
            f"connect_model.template_cls.weight has {outputs} outputs; {head.anchors} "
            f"anchors of {features} channels have {2 * head.anchors * features}."
        )
    return head


def _other(backbone: str, sign: str) -> InputError:
    return InputError(
        f"{sign}, which shows SiamDW's {backbone}; only its CIResNet-22 can be "
        "converted."
    )


def _own_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the state dict by the names of the backbone and of the head.

    Raises:
      InputError: If it is of another network.
    """
    names = {}
    for name, array in plain_names(state).items():
        prefix = next((p for p in _PREFIXES if name.startswith(p)), "")
        names[name.removeprefix(prefix)] = array
    if any(".branch3x3." in name for name in names):
        raise _other("Incep22", "a tensor is called branch3x3")
    if "conv0.weight" in names:
        raise _other("NeXt22", "conv0.weight is there")
    if _FIRST not in names:
        raise InputError(
            f"no tensor is called features.features.{_FIRST}, so this is no network of "
            f"SiamDW; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    return names


def _shape(state: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """Returns the shape of a convolution's kernel, OIHW."""
    array = state.get(f"{name}.weight")
    if array is None:
        raise InputError(f"{name}.weight is missing; the state dict is incomplete.")
    if len(array.shape) != 4:
        raise InputError(
            f"{name}.weight has the shape {array.shape}; that of a convolution has 4 "
            "numbers."
        )
    return array.shape
