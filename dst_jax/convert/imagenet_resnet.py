"""Takes the backbone of a tracker from a classifier of ImageNet, a ResNet.

A classifier's projections are 1 x 1 convolutions, a tracker's in strided and dilated
stages 3 x 3: they become the middle tap, where the other eight are 0. The head, which
no classifier has, gets fresh weights: the bundle is for `--backbone`.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dst_jax.arch import ResidualSpec, TrackerSpec, chain_of, named
from dst_jax.convert.pysot import backbone_name
from dst_jax.convert.state_dict import (
    COUNTER,
    Entries,
    entry_name,
    in_order,
    plain_names,
    take_tensor,
)
from dst_jax.errors import InputError
from dst_jax.models.build import init_variables
from dst_jax.models.parts import BACKBONE

# torchvision's scaling of RGB values 0-255.
RGB_SCALING = {
    "scale": 1.0 / 255.0,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
_DEPTHS = {
    ("basic", 2, 2, 2, 2): "siamrpnpp-r18",
    ("basic", 3, 4, 6, 3): "siamrpnpp-r34",
    ("bottleneck", 3, 4, 6, 3): "siamrpnpp-r50",
}


def resnet_spec(state: Mapping[str, np.ndarray]) -> TrackerSpec:
    """Returns the SiamRPN++ whose backbone a classifier is.

    Args:
      state: Arrays by the names of torchvision's ResNet.

    Raises:
      InputError: If it is no ResNet-18, -34 or -50.
    """
    state = _own_names(state)
    form = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    blocks = []
    for stage in range(1, 5):
        pattern = re.compile(rf"layer{stage}\.(\d+)\.conv1\.weight")
        numbers = [int(m[1]) for m in map(pattern.fullmatch, state) if m]
        blocks.append(max(numbers, default=-1) + 1)
    if (form, *blocks) not in _DEPTHS:
        raise InputError(
            f"its stages have {', '.join(map(str, blocks))} {form} blocks; there are "
            "trackers on ResNet-18, -34 and -50."
        )
    return named(_DEPTHS[form, *blocks])


def resnet_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns variables with a classifier's backbone and a fresh head.

    Where `spec.input` scales by 1 the weights are those of a network that reads BGR
    images, and the input axis of the first convolution is reversed.

    Args:
      state: Arrays by the names of torchvision's ResNet.
      spec: The architecture, with residual stages.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used, the classifier's "fc" among them.

    Raises:
      InputError: If the backbone of `spec` is not residual, or a tensor is missing or
        has another shape than in `spec`.
    """
    chain = chain_of(spec, "A ResNet")
    if not any(isinstance(s, ResidualSpec) for s in chain.layers):
        raise InputError("a ResNet needs a residual backbone; use siamrpnpp-r50.")
    entries: Entries = {(0, 0, n): array for n, array in _own_names(state).items()}
    flat: Any = flatten_dict(jax.device_get(init_variables(jax.random.key(0), spec)))
    names = {path: backbone_name(path[2:]) for path in flat if path[1] == BACKBONE}
    for path, name in in_order(entries, names):
        flat[path] = _tensor(entries, name, np.shape(flat[path]))
    if spec.input.scale == 1.0:
        first = ("params", BACKBONE, "conv1", "conv", "kernel")
        flat[first] = np.ascontiguousarray(flat[first][:, :, ::-1])
    left_over = [entry_name(k) for k in entries if not k[2].endswith(COUNTER)]
    return unflatten_dict(flat), tuple(sorted(left_over))


def with_scaling(spec: TrackerSpec, scaling: Mapping[str, Any]) -> TrackerSpec:
    """Returns the architecture with another scaling of RGB values."""
    return dataclasses.replace(spec, input=dataclasses.replace(spec.input, **scaling))


def _tensor(entries: Entries, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Takes a tensor; a 1 x 1 projection becomes the middle tap of a larger kernel."""
    found, projection = entries.get((0, 0, name)), "downsample" in name
    single = projection and found is not None and found.shape[2:] == (1, 1)
    if not single or shape[:2] == (1, 1):
        return take_tensor(entries, name, shape)
    kernel = np.zeros(shape, np.float32)
    middle = shape[0] // 2, shape[1] // 2
    kernel[middle] = take_tensor(entries, name, (1, 1, *shape[2:]))[0, 0]
    return kernel


def _own_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the state dict by the network's own names.

    Raises:
      InputError: If it is no ResNet of torchvision's names.
    """
    state = plain_names(state)
    if "layer1.0.conv1.weight" not in state:
        raise InputError(
            "no tensor is called layer1.0.conv1.weight, so this is no ResNet of "
            f"torchvision; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    return state
