"""Reads the weights of other projects from files, and runs nothing that is in them."""

import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from dst_jax.arch.limits import MAX_PARAMETERS
from dst_jax.convert.file_kinds import weights_kind
from dst_jax.errors import InputError, shortened
from dst_jax.files import user_path

# Keys under which training programs keep the state dict among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module")
_MAX_DEPTH = 4
_SAFETENSORS: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_state_dict(path: pathlib.Path | str) -> dict[str, np.ndarray]:
    """Reads a state dict without executing code from the file.

    Args:
      path: A file of `torch.save`: a state dict, or a dict with one under a key such
        as "state_dict" or "model"; or a safetensors file. Parameters, sparse and
        quantized tensors are made plain.

    Returns:
      Float32 arrays by name. A number is an array without dimensions; what is neither
      tensor nor number is an empty array, so that whoever converts can name it.

    Raises:
      InputError: If PyTorch is missing, or the file is not such a state dict; it says
        what the file is instead.
    """
    path = user_path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a .pth file.")
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .pth file.")
    if weights_kind(path) == "safetensors":
        return _read_safetensors(path)
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: reading it needs PyTorch; pip install torch==2.13.0."
        ) from None
    # PyTorch also raises an error for what it warns about. Without the check, indices
    # of a sparse tensor may point anywhere in memory.
    with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants():
        warnings.simplefilter("ignore")
        tensors = _state_dict(path, _load(path, torch), torch)
        return {str(name): _array(path, name, tensors[name], torch) for name in tensors}


def _load(path: pathlib.Path, torch: Any) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # PyTorch raises pickle, zip, runtime and key errors for a damaged file.
        reason = str(error).strip() or "no reason"
        found = re.search(r"GLOBAL ([\w.]+)", reason)
        if found is None:
            raise InputError(
                f"{path}: not a PyTorch state dict of plain tensors "
                f"({reason.splitlines()[0][:100]}); save it again with "
                "torch.save(net.state_dict(), FILE)."
            ) from None
        raise InputError(
            f"{path}: not a PyTorch state dict of plain tensors but something that "
            f"holds {found[1]}, such as a whole network or a run's settings; reading "
            "that could run code, so save it again with torch.save(net.state_dict(), "
            'FILE), or what a checkpoint has of it, such as checkpoint["net"], alone.'
        ) from None


def _state_dict(path: pathlib.Path, loaded: Any, torch: Any) -> Mapping[Any, Any]:
    """Returns the mapping with the tensors, which may lie inside of others."""
    values = loaded
    for _ in range(_MAX_DEPTH):
        if not isinstance(values, Mapping):
            break
        inner = {k: v for k, v in values.items() if isinstance(v, Mapping) and v}
        named = [name for name in _WRAPPERS if name in inner]
        if not named and _has_tensors(values, torch):
            return values
        filled = [name for name, one in inner.items() if _has_tensors(one, torch)]
        chosen = named[:1] or (filled if len(filled) == 1 else [])
        if not chosen:
            break
        values = inner[chosen[0]]
    if not isinstance(loaded, Mapping):
        raise InputError(
            f"{path}: holds no state dict but a {type(loaded).__name__}; expected "
            "names to tensors."
        )
    keys = ", ".join(str(key)[:40] for key in list(loaded)[:8]) or "none"
    raise InputError(
        f"{path}: holds no state dict; its keys are {keys}; save the network's own "
        "with torch.save(net.state_dict(), FILE)."
    )


def _has_tensors(values: Mapping[Any, Any], torch: Any) -> bool:
    return any(isinstance(one, torch.Tensor) for one in values.values())


def _array(path: pathlib.Path, name: Any, value: Any, torch: Any) -> np.ndarray:
    if isinstance(value, int | float):
        return np.asarray(value, np.float32)
    if not isinstance(value, torch.Tensor):
        return np.zeros(0, np.float32)
    label = f"{path}: {shortened(name)}"
    if value.is_meta:
        raise InputError(
            f"{label} has a shape and no values (PyTorch's meta device); save the "
            "network after its weights were loaded."
        )
    if value.is_complex() or value.is_nested:
        kind = "complex" if value.is_complex() else "nested"
        raise InputError(f"{label} is {kind}; give plain tensors of real numbers.")
    if value.numel() > MAX_PARAMETERS:
        raise InputError(
            f"{label} has the shape {tuple(value.shape)}, more numbers than any "
            "network that can be converted."
        )
    try:
        value = value.detach()
        value = value.dequantize() if value.is_quantized else value
        value = value if value.layout == torch.strided else value.to_dense()
        return value.to(torch.float32).numpy()
    except Exception as error:
        # PyTorch raises errors of many kinds for indices out of range and the like.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:100]
        raise InputError(f"{label} cannot be read ({reason}).") from None


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise InputError(
            f"{path}: is a safetensors file that is damaged ({error}); download it "
            "again."
        ) from None
    arrays = {}
    for name, tensor in found:
        kind = _SAFETENSORS.get(tensor["dtype"])
        if kind is None:
            raise InputError(
                f"{path}: {shortened(name)} has the type {tensor['dtype']}; give real "
                "numbers."
            )
        values = np.frombuffer(tensor["data"], kind).reshape(tensor["shape"])
        with np.errstate(over="ignore"):
            arrays[name] = values.astype(np.float32)
    return arrays
