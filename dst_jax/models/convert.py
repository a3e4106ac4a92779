"""Weights of other frameworks, as variables of ours.

The state dict comes in as NumPy arrays, so that this module needs no PyTorch;
`read_state_dict` is the one function that does.
"""

import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.arch.spec import TrackerSpec
from dst_jax.errors import InputError

_SIAMFC_NAME = re.compile(
    r"(?:module\.)?(?:backbone|features|feature)\.conv(\d+)\.([01])\.(\w+)"
)
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
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    below = 3
    for index, layer in enumerate(spec.backbone.layers, start=1):
        stage = f"conv{index}"
        shape = (layer.features, below // layer.groups, layer.kernel, layer.kernel)
        width = (layer.features,)
        kernel = _take(entries, (index, 0, "weight"), shape)
        conv = {
            "kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)),
            "bias": _take(entries, (index, 0, "bias"), width),
        }
        params[stage] = {"conv": conv}
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
    left_over += [_name(key) for key in entries]
    variables = {"params": {"backbone": params}, "batch_stats": {"backbone": stats}}
    return variables, tuple(sorted(left_over))


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
    return f"backbone.conv{stage}.{part}.{field}"


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
