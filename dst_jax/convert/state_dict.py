"""Reads PyTorch state dicts and takes tensors out of them.

Only `read_state_dict` needs PyTorch; the other functions work on NumPy arrays.
"""

import pathlib
import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from dst_jax.arch import TrackerSpec
from dst_jax.errors import InputError
from dst_jax.files import user_path

# A counter in PyTorch's normalisation, which Flax's normalisation does not have.
COUNTER = "num_batches_tracked"
# Tensors that are not used yet, by stage, part of the stage and field.
Entries: TypeAlias = dict[tuple[int, int, str], np.ndarray]


def read_state_dict(path: pathlib.Path | str) -> dict[str, np.ndarray]:
    """Reads a PyTorch state dict without executing code from the file.

    Args:
      path: A `.pth` file: a state dict, or a dict with one under "state_dict",
        "model" or "net".

    Returns:
      Float32 arrays by name.

    Raises:
      InputError: If PyTorch is missing, or the file is not such a state dict.
    """
    path = user_path(path)
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
            # PyTorch also raises an error for what it warns about.
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


def take_convolution(
    entries: Entries,
    entry: tuple[int, int, str],
    shape: tuple[int, int, int],
) -> dict[str, np.ndarray]:
    """Takes the kernel and bias of a convolution out of `entries`.

    Args:
      entries: Tensors that are not used yet.
      entry: Stage, part and name of the convolution.
      shape: Outputs, inputs and kernel side.

    Returns:
      "kernel", transposed from OIHW to HWIO, and "bias".

    Raises:
      InputError: If one is missing or has another shape.
    """
    outputs, inputs, side = shape
    stage, part, name = entry
    stem = f"{name}." if name else ""
    kernel = take(
        entries, (stage, part, f"{stem}weight"), (outputs, inputs, side, side)
    )
    bias = take(entries, (stage, part, f"{stem}bias"), (outputs,))
    return {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), "bias": bias}


def take_backbone(
    entries: Entries, spec: TrackerSpec
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Takes the stages of a backbone out of `entries`.

    Args:
      entries: Tensors that are not used yet.
      spec: The architecture.

    Returns:
      Parameters and statistics of every stage.

    Raises:
      InputError: If a tensor is missing or has another shape than in `spec`.
    """
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    below = 3
    for index, layer in enumerate(spec.backbone.layers, start=1):
        stage, width = f"conv{index}", (layer.features,)
        shape = (layer.features, below // layer.groups, layer.kernel)
        params[stage] = {"conv": take_convolution(entries, (index, 0, ""), shape)}
        if layer.batch_norm:
            params[stage]["norm"] = {
                "scale": take(entries, (index, 1, "weight"), width),
                "bias": take(entries, (index, 1, "bias"), width),
            }
            stats[stage] = {
                "norm": {
                    "mean": take(entries, (index, 1, "running_mean"), width),
                    "var": take(entries, (index, 1, "running_var"), width),
                }
            }
        below = layer.features
    return params, stats


def entry_name(entry: tuple[int, int, str]) -> str:
    """Returns the name of an entry for messages."""
    stage, part, field = entry
    return f"backbone.conv{stage}.{part}.{field}" if stage else field


def take(
    entries: Entries,
    entry: tuple[int, int, str],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Takes a tensor out of `entries` and returns it as float32.

    Args:
      entries: Tensors that are not used yet.
      entry: Stage, part and field of the tensor.
      shape: Its expected shape.

    Raises:
      InputError: If it is missing or has another shape.
    """
    if entry not in entries:
        name = entry_name(entry)
        raise InputError(f"{name} is missing; the state dict is incomplete.")
    array = entries.pop(entry)
    if array.shape != shape:
        raise InputError(
            f"{entry_name(entry)} has shape {array.shape}, the architecture wants "
            f"{shape}; choose the architecture that the weights were trained with."
        )
    return np.asarray(array, np.float32)
