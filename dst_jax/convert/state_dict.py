"""Takes tensors out of PyTorch's state dicts, which are NumPy arrays by name here."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from dst_jax.arch import TrackerSpec, plain_layers
from dst_jax.errors import InputError, shortened

# A counter in PyTorch's normalisation, which Flax's normalisation does not have.
COUNTER = "num_batches_tracked"
# Parts of a name that PyTorch adds wherever it wraps a module, and outermost ones.
_ADDED = ("module", "_orig_mod")
_OUTER = ("model", "net", "network", "tracker")
# Tensors that are not used yet, by stage, part of the stage and field.
Entries: TypeAlias = dict[tuple[int, int, str], np.ndarray]


def plain_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a state dict by the names that the network itself gives.

    Data parallelism adds "module", `torch.compile` "_orig_mod", and whatever holds the
    network in training puts a name such as "model" before all others.

    Raises:
      InputError: If two tensors then have one name: the file holds two networks.
    """
    plain: dict[str, str] = {}
    for name in state:
        parts = [part for part in name.split(".") if part not in _ADDED]
        while len(parts) > 1 and parts[0] in _OUTER:
            parts = parts[1:]
        short = ".".join(parts)
        if short in plain:
            raise InputError(
                f"{shortened(plain[short])} and {shortened(name)} are two tensors of "
                "one name; save the network to convert by itself."
            )
        plain[short] = name
    return {short: state[name] for short, name in plain.items()}


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


def take_tensor(entries: Entries, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Takes a tensor of no stage by its name; kernels come as OIHW and go as HWIO.

    Args:
      entries: Tensors that are not used yet.
      name: Its name.
      shape: The shape of the result.

    Raises:
      InputError: As `take` raises it.
    """
    if len(shape) != 4:
        return take(entries, (0, 0, name), shape)
    height, width, inputs, outputs = shape
    kernel = take(entries, (0, 0, name), (outputs, inputs, height, width))
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def in_order(
    entries: Entries, names: Mapping[tuple[str, ...], str]
) -> list[tuple[tuple[str, ...], str]]:
    """Returns variables in the order in which the file has their tensors.

    So the first tensor of the file that does not fit is the one that is told.

    Args:
      entries: Tensors of no stage that are not used yet.
      names: Name of the tensor of each variable.

    Returns:
      The items of `names`; those that the file lacks come last.
    """
    places = {name: place for place, (_, _, name) in enumerate(entries)}
    return sorted(names.items(), key=lambda item: places.get(item[1], len(places)))


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
      InputError: If a tensor is missing or has another shape than in `spec`, or a
        stage of the backbone is residual.
    """
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    below = 3
    layers = plain_layers(spec.backbone, "This state dict")
    for index, layer in enumerate(layers, start=1):
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
      InputError: If it is missing, has another shape, is not finite, or is a negative
        variance.
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
    values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise InputError(
            f"{entry_name(entry)} holds numbers that are not finite in float32, so the "
            "weights are damaged or their training diverged."
        )
    if entry[2] == "running_var" and (values < 0.0).any():
        raise InputError(
            f"{entry_name(entry)} holds a negative variance, so the weights are "
            "damaged."
        )
    return values
