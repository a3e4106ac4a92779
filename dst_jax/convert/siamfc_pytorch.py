"""Weights of siamfc-pytorch, as variables of ours."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.arch import TrackerSpec
from dst_jax.convert.state_dict import COUNTER, Entries, entry_name, take_backbone
from dst_jax.errors import InputError

_SIAMFC_NAME = re.compile(
    r"(?:module\.)?(?:backbone|features|feature)\.conv(\d+)\.([01])\.(\w+)"
)


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
    params, stats = take_backbone(entries, spec)
    left_over += [entry_name(key) for key in entries]
    variables = {"params": {"backbone": params}, "batch_stats": {"backbone": stats}}
    return variables, tuple(sorted(left_over))


def _parse_names(
    state: Mapping[str, np.ndarray],
) -> tuple[Entries, list[str]]:
    entries, left_over = {}, []
    for name, array in state.items():
        match = _SIAMFC_NAME.fullmatch(name)
        if match is None:
            left_over.append(name)
        elif match[3] != COUNTER:
            entries[int(match[1]), int(match[2]), match[3]] = array
    return entries, left_over
