"""Converts weights of siamfc-pytorch into variables of the package."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.arch import TrackerSpec
from dst_jax.convert.state_dict import (
    COUNTER,
    Entries,
    entry_name,
    plain_names,
    take_backbone,
)
from dst_jax.errors import InputError

_SIAMFC_NAME = re.compile(r"(?:backbone|features|feature)\.conv(\d+)\.([01])\.(\w+)")


def siamfc_from_pytorch(
    state: Mapping[str, np.ndarray], spec: TrackerSpec
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the variables of SiamFC from a siamfc-pytorch state dict.

    The names are `backbone.convK.0.{weight,bias}` for the convolutions and
    `backbone.convK.1.{weight,bias,running_mean,running_var}` for their normalisations.
    Kernels are transposed from OIHW to HWIO. Both projects read RGB images.

    Args:
      state: Arrays by the names of siamfc-pytorch.
      spec: The architecture of the weights.

    Returns:
      {"params": ..., "batch_stats": ...} in float32, and the names in the state dict
      that were not used.

    Raises:
      InputError: If a tensor is missing or has another shape than in `spec`.
    """
    entries, left_over = _parse_names(state)
    if not entries:
        raise InputError(
            "no tensor is called backbone.convK.0.weight, so this is not a SiamFC of "
            f"siamfc-pytorch; the file holds {', '.join(sorted(state)[:3])}, ..."
        )
    params, stats = take_backbone(entries, spec)
    left_over += [entry_name(key) for key in entries]
    variables = {"params": {"backbone": params}, "batch_stats": {"backbone": stats}}
    return variables, tuple(sorted(left_over))


def _parse_names(
    state: Mapping[str, np.ndarray],
) -> tuple[Entries, list[str]]:
    entries, left_over = {}, []
    for name, array in plain_names(state).items():
        match = _SIAMFC_NAME.fullmatch(name)
        if match is None:
            left_over.append(name)
        elif match[3] != COUNTER:
            entry = int(match[1]), int(match[2]), match[3]
            if entry in entries:
                raise InputError(
                    f"{name} is there twice, under two names of the backbone; save the "
                    "network to convert by itself."
                )
            entries[entry] = array
    return entries, left_over
