"""Costs of an architecture, counted exactly from its spec."""

import dataclasses
from typing import assert_never

from dst_jax.arch.backbones.chain import ConvSpec
from dst_jax.arch.heads import CorrelationHeadSpec, HeadSpec, RegionHeadSpec
from dst_jax.arch.spec import TrackerSpec

BYTES_PER_MB = 10**6  # the papers' megabyte: 4 bytes per float32, 10^6 bytes


@dataclasses.dataclass(frozen=True, slots=True)
class LayerCost:
    """Costs of one layer: its parameters, and its work on template and search image.

    Attributes:
      name: Stage name, "conv1" and so on, or a part of the head.
      parameters: Learnable scalars.
      statistics: Running means and variances of batch normalisation.
      template_side: Side of its map before pooling, for the template.
      search_side: The same for the search image.
      out_side: Side of its map after pooling, for the search image.
      template_macs: Multiply-adds of its convolution on the template.
      search_macs: Multiply-adds of its convolution on the search image.
    """

    name: str
    parameters: int
    statistics: int
    template_side: int
    search_side: int
    out_side: int
    template_macs: int
    search_macs: int


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Costs of a whole tracker.

    Attributes:
      layers: Costs of each layer, in the order in which they are computed.
      parameters: Learnable scalars.
      statistics: Running means and variances of batch normalisation.
      template_macs: Multiply-adds of one template crop.
      search_macs: Multiply-adds of one search crop, its correlation included.
      response_side: Cells per side of the response map.
    """

    layers: tuple[LayerCost, ...]
    parameters: int
    statistics: int
    template_macs: int
    search_macs: int
    response_side: int

    @property
    def megabytes(self) -> float:
        """Returns the size of the learnable parameters as float32, in 10^6 bytes."""
        return 4 * self.parameters / BYTES_PER_MB

    @property
    def megabytes_with_statistics(self) -> float:
        """Returns the same size with batch normalisation's running statistics."""
        return 4 * (self.parameters + self.statistics) / BYTES_PER_MB


def conv_parameters(layer: ConvSpec, in_features: int) -> int:
    """Returns the number of learnable scalars of one stage.

    They are weights and bias of the convolution, and scale and shift of its
    normalisation.
    """
    weights = layer.kernel**2 * (in_features // layer.groups) * layer.features
    return weights + layer.features + (2 * layer.features if layer.batch_norm else 0)


def tracker_cost(spec: TrackerSpec, *, search_px: int | None = None) -> Cost:
    """Counts parameters and multiply-adds of `spec`.

    Args:
      spec: The tracker.
      search_px: Side of the search image; the tracking size of the spec if None.

    Returns:
      Exact counts. Normalisation, activation and pooling count no multiply-adds.
    """
    search_px = spec.input.search_px if search_px is None else search_px
    layers, below = [], 3
    template_sides = spec.backbone.stage_sides(spec.input.template_px)
    search_sides = spec.backbone.stage_sides(search_px)
    for index, layer in enumerate(spec.backbone.layers):
        per_cell = layer.kernel**2 * (below // layer.groups) * layer.features
        (template, _), (search, out) = template_sides[index], search_sides[index]
        layers.append(
            LayerCost(
                name=f"conv{index + 1}",
                parameters=conv_parameters(layer, below),
                statistics=2 * layer.features if layer.batch_norm else 0,
                template_side=template,
                search_side=search,
                out_side=out,
                template_macs=per_cell * template**2,
                search_macs=per_cell * search**2,
            )
        )
        below = layer.features
    response = spec.response_side(search_px)
    sides = template_sides[-1][1], search_sides[-1][1]
    layers += _head_layers(spec.head, below, sides, response)
    return Cost(
        layers=tuple(layers),
        parameters=sum(c.parameters for c in layers),
        statistics=sum(c.statistics for c in layers),
        template_macs=sum(c.template_macs for c in layers),
        search_macs=sum(c.search_macs for c in layers),
        response_side=response,
    )


def _head_layers(
    head: HeadSpec, inputs: int, sides: tuple[int, int], response: int
) -> list[LayerCost]:
    """Returns the costs of the head's layers, its correlations among them."""
    template, search = sides
    match head:
        case CorrelationHeadSpec(bias=bias):
            macs = response**2 * template**2 * inputs
            sizes = (int(bias), 0, 0, response, response, 0, macs)
            return [LayerCost("respond", *sizes)]
        case RegionHeadSpec(kernel=kernel, anchors=k):
            # A convolution without padding takes as many cells off both maps.
            sides = template - (kernel - 1), search - (kernel - 1)
            return [
                *_branch("cls", 2 * k, head, inputs, sides, response),
                *_branch("box", 4 * k, head, inputs, sides, response),
            ]
        case _:
            assert_never(head)


def _branch(
    name: str,
    outputs: int,
    head: RegionHeadSpec,
    inputs: int,
    sides: tuple[int, int],
    response: int,
) -> list[LayerCost]:
    """Returns the costs of a region head's classification or regression branch."""
    template, search = sides
    up, width = head.form == "up_channel", head.features
    kernels = width * outputs if up else width
    cells = response**2

    def last(part: str, count: int, statistics: int, per_cell: int) -> LayerCost:
        sizes = (0, response, response, 0, per_cell * cells)
        return LayerCost(f"{name} {part}", count, statistics, *sizes)

    rows = [
        _head_conv(f"{name} kernels", head, inputs, kernels, (template, 0)),
        _head_conv(f"{name} search", head, inputs, width, (0, search)),
        last("respond", 0, 0, template**2 * kernels),
    ]
    if up and name == "box":
        rows.append(last("adjust", outputs * outputs + outputs, 0, outputs * outputs))
    if not up:
        count = width * width + 2 * width + width * outputs + outputs
        rows.append(last("read", count, 2 * width, width * (width + outputs)))
    return rows


def _head_conv(
    name: str, head: RegionHeadSpec, inputs: int, outputs: int, sides: tuple[int, int]
) -> LayerCost:
    """Returns the costs of one convolution of a branch.

    The depth-wise form normalises and has no bias.
    """
    per_cell = head.kernel**2 * inputs * outputs
    up = head.form == "up_channel"
    template, search = sides
    return LayerCost(
        name=name,
        parameters=per_cell + (outputs if up else 2 * outputs),
        statistics=0 if up else 2 * outputs,
        template_side=template,
        search_side=search,
        out_side=search,
        template_macs=per_cell * template**2,
        search_macs=per_cell * search**2,
    )
