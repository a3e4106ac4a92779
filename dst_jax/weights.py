"""Variables of a network as the bytes of a safetensors file, checked both ways."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from dst_jax.arch import TrackerSpec
from dst_jax.errors import InputError, shortened
from dst_jax.models import Variables, variable_shapes

# Beside the tensors the file has a header: some 100 bytes for each.
_MOST_HEADER_BYTES = 10**7


def weights_to_bytes(variables: Variables) -> bytes:
    """Returns the variables as float32 in a safetensors file, sorted by name."""
    flat = {
        # A scalar stays one: np.ascontiguousarray would make it a vector.
        name: np.asarray(value, np.float32, order="C")
        for name, value in _flatten(variables).items()
    }
    return safetensors.numpy.save(dict(sorted(flat.items())))


def weights_from_bytes(content: bytes, spec: TrackerSpec) -> dict[str, Any]:
    """Returns the variables in a safetensors file, as float32 NumPy arrays.

    Args:
      content: What the file holds.
      spec: The architecture.

    Raises:
      InputError: If it is no such file, or a tensor is missing, has another type or
        shape, or holds what no weights can be; it names the tensor.
    """
    try:
        found = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"not a safetensors file ({error}).") from None
    flat = {}
    for name, tensor in found:
        if tensor["dtype"] != "F32":
            raise InputError(
                f"{shortened(name)} has the type {tensor['dtype']}; the weights of a "
                "bundle are float32, F32."
            )
        values = np.frombuffer(tensor["data"], np.float32)
        flat[name] = values.reshape(tensor["shape"])
    _check(flat, spec)
    return _unflatten(flat)


def most_bytes(spec: TrackerSpec) -> int:
    """Returns a size that the file of an architecture's weights cannot exceed."""
    return 4 * sum(map(math.prod, _shapes(spec).values())) + _MOST_HEADER_BYTES


def check_weights(variables: Variables, spec: TrackerSpec) -> None:
    """Checks that variables are those of an architecture, and numbers to compute with.

    Args:
      variables: Arrays of any type of numbers.
      spec: The architecture.

    Raises:
      InputError: If one is missing, has no place or another shape, is not finite, or
        is a negative variance; it names the variable.
    """
    _check(_flatten(variables), spec)


def _check(flat: Mapping[str, Any], spec: TrackerSpec) -> None:
    shapes = _shapes(spec)
    for name in sorted(set(shapes) | set(flat)):
        if name not in flat:
            raise InputError(f"{name} is missing for the architecture.")
        if name not in shapes:
            raise InputError(f"{shortened(name)} has no place in the architecture.")
        if np.shape(flat[name]) != shapes[name]:
            raise InputError(
                f"{name} has shape {np.shape(flat[name])}, "
                f"the architecture wants {shapes[name]}."
            )
        values = np.asarray(flat[name], np.float32)
        if not np.isfinite(values).all():
            raise InputError(
                f"{name} holds numbers that are not finite in float32, so the tracker "
                "cannot work; train or convert it again."
            )
        if name.endswith("/var") and (values < 0.0).any():
            raise InputError(
                f"{name} holds a negative variance, so the tracker cannot work; train "
                "or convert it again."
            )


@functools.lru_cache(maxsize=16)
def _shapes(spec: TrackerSpec) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of an architecture's variables, which take a while to find."""
    return {n: leaf.shape for n, leaf in _flatten(variable_shapes(spec)).items()}


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def _unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree
