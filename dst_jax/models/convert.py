"""Weights of other frameworks, as variables of ours.

The state dict comes in as NumPy arrays, so that this module needs no PyTorch;
`read_state_dict` is the one function that does.
"""

import dataclasses
import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.arch import RegionHeadSpec, TrackerSpec, named, with_widths
from dst_jax.errors import InputError

_SIAMFC_NAME = re.compile(
    r"(?:module\.)?(?:backbone|features|feature)\.conv(\d+)\.([01])\.(\w+)"
)
# Stage, convolution or normalisation, field: DaSiamRPN numbers its layers in a row.
_RPN_NAMES = {
    f"featureExtract.{number + part}.{field}": (stage, part, field)
    for stage, number in enumerate((0, 4, 8, 11, 14), start=1)
    for part, fields in enumerate(
        (("weight", "bias"), ("weight", "bias", "running_mean", "running_var"))
    )
    for field in fields
}
_IGNORED = "num_batches_tracked"  # a counter; our normalisation has none


def read_state_dict(path: pathlib.Path | str) -> dict[str, np.ndarray]:
    """Reads a PyTorch state dict without executing anything that it holds.

    Args:
      path: A `.pth` file: a state dict, or a dict with one under "state_dict",
        "model" or "net".

    Raises:
      InputError: If PyTorch is missing, or the file is not such a state dict.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .pth file.")
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: reading it needs PyTorch; pip install torch==2.13.0."
        ) from None
    try:
        with warnings.catch_warnings():
            # PyTorch warns about what it then refuses.
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # PyTorch raises pickle, zip, runtime and key errors for a damaged file.
        reason = str(error).strip().splitlines()[0][:100] if str(error) else "no reason"
        raise InputError(
            f"{path}: not a PyTorch state dict of plain tensors ({reason}); "
            "save it again with torch.save(net.state_dict(), FILE)."
        ) from None
    for wrapper in ("state_dict", "model", "net"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    tensors = isinstance(loaded, Mapping) and loaded
    if not tensors or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise InputError(f"{path}: holds no state dict; expected names to tensors.")
    return {str(name): tensor.float().numpy() for name, tensor in loaded.items()}


def siamfc_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Variables of SiamFC from a siamfc-pytorch state dict.

    Names are `backbone.convK.0.{weight,bias}` for the convolutions and
    `backbone.convK.1.{weight,bias,running_mean,running_var}` for their
    normalisations; kernels turn from OIHW to HWIO. RGB input, as ours.

    Args:
      state: Names to arrays.
      spec: The architecture that they are meant for.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names of the state
      dict that found no place.

    Raises:
      InputError: If a tensor is missing or has another shape than `spec` wants.
    """
    entries, left_over = _parse_names(state)
    if not entries:
        raise InputError(
            "no tensor is called backbone.convK.0.weight, so this is not a SiamFC of "
            f"siamfc-pytorch; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    params, stats = _backbone(entries, spec)
    left_over += [_name(key) for key in entries]
    variables = {"params": {"backbone": params}, "batch_stats": {"backbone": stats}}
    return variables, tuple(sorted(left_over))


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
    head = spec.head
    if not isinstance(head, RegionHeadSpec) or head.form != "up_channel":
        raise InputError("DaSiamRPN's weights need an up-channel head; use siamrpn.")
    state = _without_prefix(state)
    entries = {_RPN_NAMES.get(name, (0, 0, name)): v for name, v in state.items()}
    params, stats = _backbone(entries, spec)
    first = params["conv1"]["conv"]
    first["kernel"] = np.ascontiguousarray(first["kernel"][:, :, ::-1])
    below, width, k = spec.backbone.widths[-1], head.features, head.anchors
    shapes = {
        "conv_cls1": (width * 2 * k, below, head.kernel),
        "conv_r1": (width * 4 * k, below, head.kernel),
        "conv_cls2": (width, below, head.kernel),
        "conv_r2": (width, below, head.kernel),
        "regress_adjust": (4 * k, 4 * k, 1),
    }
    read_out = {
        name.removeprefix("conv_"): _conv(entries, (0, 0, name), shape)
        for name, shape in shapes.items()
    }
    left_over = [_name(k) for k in entries if not k[2].endswith(_IGNORED)]
    variables = {
        "params": {"backbone": params, "head": read_out},
        "batch_stats": {"backbone": stats},
    }
    return variables, tuple(sorted(left_over))


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


def _conv(
    entries: dict[tuple[int, int, str], np.ndarray],
    key: tuple[int, int, str],
    shape: tuple[int, int, int],
) -> dict[str, np.ndarray]:
    """A convolution's kernel, turned from OIHW to HWIO, and its bias."""
    outputs, inputs, side = shape
    stage, part, name = key
    stem = f"{name}." if name else ""
    kernel = _take(
        entries, (stage, part, f"{stem}weight"), (outputs, inputs, side, side)
    )
    bias = _take(entries, (stage, part, f"{stem}bias"), (outputs,))
    return {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), "bias": bias}


def _backbone(
    entries: dict[tuple[int, int, str], np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Takes the stages out of `entries`: parameters and statistics."""
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    below = 3
    for index, layer in enumerate(spec.backbone.layers, start=1):
        stage, width = f"conv{index}", (layer.features,)
        shape = (layer.features, below // layer.groups, layer.kernel)
        params[stage] = {"conv": _conv(entries, (index, 0, ""), shape)}
        if layer.batch_norm:
            params[stage]["norm"] = {
                "scale": _take(entries, (index, 1, "weight"), width),
                "bias": _take(entries, (index, 1, "bias"), width),
            }
            stats[stage] = {
                "norm": {
                    "mean": _take(entries, (index, 1, "running_mean"), width),
                    "var": _take(entries, (index, 1, "running_var"), width),
                }
            }
        below = layer.features
    return params, stats


def _parse_names(
    state: Mapping[str, np.ndarray],
) -> tuple[dict[tuple[int, int, str], np.ndarray], list[str]]:
    entries, left_over = {}, []
    for name, array in state.items():
        match = _SIAMFC_NAME.fullmatch(name)
        if match is None:
            left_over.append(name)
        elif match[3] != _IGNORED:
            entries[int(match[1]), int(match[2]), match[3]] = array
    return entries, left_over


def _name(key: tuple[int, int, str]) -> str:
    stage, part, field = key
    return f"backbone.conv{stage}.{part}.{field}" if stage else field


def _take(
    entries: dict[tuple[int, int, str], np.ndarray],
    key: tuple[int, int, str],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Removes a tensor from `entries`, its shape checked."""
    if key not in entries:
        raise InputError(f"{_name(key)} is missing; the state dict is incomplete.")
    array = entries.pop(key)
    if array.shape != shape:
        raise InputError(
            f"{_name(key)} has shape {array.shape}, the architecture wants {shape}; "
            "choose the architecture that the weights were trained with."
        )
    return np.asarray(array, np.float32)
