"""Edits that turn one architecture into another."""

import dataclasses
import math
from collections.abc import Sequence

from dst_jax.arch.backbones.chain import Chain
from dst_jax.arch.backbones.conv import ConvSpec
from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.arch.spec import Backbone, TrackerSpec
from dst_jax.errors import InputError


def chain_of(spec: TrackerSpec, purpose: str) -> Chain:
    """Returns the backbone of a network that embeds each image by itself.

    Args:
      spec: The architecture.
      purpose: What needs such a backbone, the first word capitalised, for the message.

    Raises:
      InputError: If the backbone is a transformer.
    """
    return _chain(spec.backbone, purpose)


def _chain(backbone: Backbone, purpose: str) -> Chain:
    if isinstance(backbone, Chain):
        return backbone
    raise InputError(f"{purpose} needs convolutions; the backbone is a transformer.")


def plain_layers(backbone: Backbone, purpose: str) -> tuple[ConvSpec, ...]:
    """Returns the stages of a backbone that has convolutions alone.

    Args:
      backbone: The backbone.
      purpose: What needs such stages, the first word capitalised, for the message.

    Raises:
      InputError: If a stage is residual, or the backbone a transformer.
    """
    chain = _chain(backbone, purpose)
    plain = tuple(layer for layer in chain.layers if isinstance(layer, ConvSpec))
    if len(plain) == len(chain.layers):
        return plain
    stages = zip(chain.stage_names, chain.layers, strict=True)
    residual = [name for name, layer in stages if not isinstance(layer, ConvSpec)]
    raise InputError(
        f"{purpose} needs plain convolutions; {residual[0]} of the backbone is a "
        "residual stage."
    )


def with_widths(spec: TrackerSpec, widths: Sequence[int]) -> TrackerSpec:
    """Returns `spec` with other channel counts; kernels, strides and pools stay.

    Args:
      spec: The parent architecture.
      widths: Output channels of every stage, first to last.

    Raises:
      InputError: If the number of widths is wrong, a width breaks the groups, or a
        stage is residual, whose inner widths these numbers would not tell.
    """
    layers = plain_layers(spec.backbone, "A list of widths")
    if len(widths) != len(layers):
        raise InputError(
            f"widths={list(widths)}: the backbone has {len(layers)} stages, "
            f"so {len(layers)} widths are needed."
        )
    new = tuple(
        dataclasses.replace(layer, features=width)
        for layer, width in zip(layers, widths, strict=True)
    )
    chain = chain_of(spec, "A list of widths")
    backbone = dataclasses.replace(chain, layers=new)
    return dataclasses.replace(spec, backbone=backbone)


def scale_widths(spec: TrackerSpec, factor: float) -> TrackerSpec:
    """Returns `spec` with every width times `factor`, cut down to whole groups.

    A region head's `features` are scaled too; its outputs are not.

    A width is rounded down to a multiple of what its own groups and the groups of the
    stage above need (see `width_multiples`), and never falls below that multiple.

    Args:
      spec: The parent architecture.
      factor: Positive number; 0.5 gives the paper's "intelligent" student.

    Raises:
      InputError: If `factor` is not positive, or a stage is residual.
    """
    if factor <= 0.0:
        raise InputError(f"factor={factor}: must be positive.")
    widths = []
    layers = plain_layers(spec.backbone, "A factor on widths")
    multiples = width_multiples(spec.backbone)
    for layer, multiple in zip(layers, multiples, strict=True):
        cells = max(int(layer.features * factor / multiple + 1e-9), 1)
        widths.append(cells * multiple)
    return with_head_features(with_widths(spec, widths), factor)


def with_head_features(spec: TrackerSpec, factor: float) -> TrackerSpec:
    """Returns `spec` with a region head's `features` times `factor`, at least 1."""
    if spec.head.stage is None:
        return spec
    features = max(int(spec.head.stage.features * factor + 1e-9), 1)
    return dataclasses.replace(spec, head=spec.head.with_features(features))


def with_bias(spec: TrackerSpec) -> TrackerSpec:
    """Returns `spec` with a learnable number that its head adds to every response.

    Raises:
      InputError: If its head has no such bias.
    """
    if not any(field.name == "bias" for field in dataclasses.fields(spec.head)):
        raise InputError(
            f"a head of {spec.head.family} has no bias to switch on; only SiamFC's has."
        )
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, bias=True))


def without_bias(spec: TrackerSpec) -> TrackerSpec:
    """Returns `spec` with a head that adds no learnable number to its responses."""
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, bias=False))


def with_prior(spec: TrackerSpec, prior: float) -> TrackerSpec:
    """Returns `spec` with a score of `prior` in every cell before training.

    Raises:
      InputError: If the head is not OSTrack's, or `prior` is not between 0 and 1.
    """
    if not any(field.name == "prior" for field in dataclasses.fields(spec.head)):
        raise InputError(
            f"a head of {spec.head.family} has no prior to set; only OSTrack's has."
        )
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, prior=prior))


def with_conv_stem(spec: TrackerSpec) -> TrackerSpec:
    """Returns `spec` with convolutions in place of a transformer's patch embedding.

    Raises:
      InputError: If the backbone is no transformer, or its patch or width does not
        suit convolutions that halve the map.
    """
    if not isinstance(spec.backbone, TokenBackboneSpec):
        raise InputError(
            "A stem of convolutions needs a transformer; the backbone has convolutions "
            "throughout."
        )
    backbone = dataclasses.replace(spec.backbone, stem="conv")
    return dataclasses.replace(spec, backbone=backbone)


def width_multiples(backbone: Backbone) -> tuple[int, ...]:
    """Returns the number of which each stage's width must be a multiple.

    A width is split into the stage's own groups, and into those of the stage above,
    which reads it.

    Raises:
      InputError: If a stage is residual.

    Example:
      >>> width_multiples(Chain((ConvSpec(6, 3), ConvSpec(8, 3, groups=2))))
      (2, 2)
    """
    groups = [layer.groups for layer in plain_layers(backbone, "A split into groups")]
    above = [*groups[1:], 1]
    return tuple(math.lcm(*pair) for pair in zip(groups, above, strict=True))


def shrink_kernel(layer: ConvSpec, kernel: int) -> ConvSpec:
    """Returns `layer` with only the inner `kernel` x `kernel` taps of its kernel.

    The feature map keeps its size and place: the padding falls by what the kernel
    loses at its low edge, and becomes negative where there was none.

    Args:
      layer: The parent's stage, whose kernel has side K.
      kernel: The new side k' <= K. The taps (K - k') // 2 to (K - k') // 2 + k' - 1
        stay, so that an odd remainder falls on the high side.

    Raises:
      InputError: If `kernel` is below 1 or above K.

    Example:
      >>> shrunk = shrink_kernel(ConvSpec(8, kernel=11, stride=2), 8)
      >>> shrunk.kernel, shrunk.padding, shrunk.trim
      (8, -1, 1)
    """
    if not 1 <= kernel <= layer.kernel:
        raise InputError(f"kernel={kernel}: must be from 1 to {layer.kernel}.")
    low = (layer.kernel - kernel) // 2
    high = layer.kernel - kernel - low
    return dataclasses.replace(
        layer,
        kernel=kernel,
        padding=layer.padding - low * layer.dilation,
        trim=layer.trim + (high - low) * layer.dilation,
    )
