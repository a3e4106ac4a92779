"""Edits that turn one architecture into another."""

import dataclasses
from collections.abc import Sequence

from dst_jax.arch.spec import TrackerSpec
from dst_jax.errors import InputError


def with_widths(spec: TrackerSpec, widths: Sequence[int]) -> TrackerSpec:
    """Returns `spec` with other channel counts; kernels, strides and pools stay.

    Args:
      spec: The parent.
      widths: Output channels of every stage, first to last.

    Raises:
      InputError: If the number of widths is wrong or a width breaks the groups.
    """
    layers = spec.backbone.layers
    if len(widths) != len(layers):
        raise InputError(
            f"widths={list(widths)}: the backbone has {len(layers)} stages, "
            f"so {len(layers)} widths are needed."
        )
    new = tuple(
        dataclasses.replace(layer, features=width)
        for layer, width in zip(layers, widths, strict=True)
    )
    backbone = dataclasses.replace(spec.backbone, layers=new)
    return dataclasses.replace(spec, backbone=backbone)


def scale_widths(spec: TrackerSpec, factor: float) -> TrackerSpec:
    """Returns `spec` with every width times `factor`, cut down to whole groups.

    A width is rounded down to a multiple of what its own groups and the
    groups of the stage above need, and never falls below that multiple.

    Args:
      spec: The parent.
      factor: Positive; 0.5 gives the paper's "intelligent" student.
    """
    if factor <= 0.0:
        raise InputError(f"factor={factor}: must be positive.")
    layers = spec.backbone.layers
    widths = []
    for index, layer in enumerate(layers):
        above = layers[index + 1].groups if index + 1 < len(layers) else 1
        multiple = max(layer.groups, above)
        if multiple % layer.groups or multiple % above:
            multiple = layer.groups * above
        cells = max(int(layer.features * factor / multiple + 1e-9), 1)
        widths.append(cells * multiple)
    return with_widths(spec, widths)
