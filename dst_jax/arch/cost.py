"""Costs of an architecture, counted exactly from its spec."""

import dataclasses
from typing import assert_never

from dst_jax.arch.backbones.chain import Chain
from dst_jax.arch.backbones.conv import Convolution, ConvSpec
from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.arch.heads import CentreHeadSpec, CorrelationHeadSpec, RegionHeadSpec
from dst_jax.arch.spec import TrackerSpec

BYTES_PER_MB = 10**6  # the papers' megabyte: 4 bytes per float32, 10^6 bytes


@dataclasses.dataclass(frozen=True, slots=True)
class LayerCost:
    """Costs of one layer: its parameters, and its work on template and search image.

    Attributes:
      name: Name of the stage, "conv1" or "layer1" and so on, or a part of the head.
      parameters: Learnable scalars.
      statistics: Running means and variances of batch normalisation.
      template_side: Side of its map before pooling, for the template.
      search_side: The same for the search image.
      out_side: Side of its map after pooling, for the search image.
      template_macs: Multiply-adds of its convolutions on the template.
      search_macs: Multiply-adds of its convolutions on the search image. Layers of a
        network of one stream count those of all tokens here.
      attention_macs: Multiply-adds of its attention, products of queries with keys and
        of shares with values, which papers leave out; no other field has them.
    """

    name: str
    parameters: int
    statistics: int
    template_side: int
    search_side: int
    out_side: int
    template_macs: int
    search_macs: int
    attention_macs: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Costs of a whole tracker.

    Attributes:
      layers: Costs of each layer, in the order in which they are computed.
      parameters: Learnable scalars.
      statistics: Running means and variances of batch normalisation.
      template_macs: Multiply-adds of one template crop.
      search_macs: Multiply-adds of one search crop, its correlation included. In a
        network of one stream they are those of the blocks for both images, without
        products of attention, as papers count them.
      response_side: Cells per side of the response map.
      attention_macs: Multiply-adds of those products.
    """

    layers: tuple[LayerCost, ...]
    parameters: int
    statistics: int
    template_macs: int
    search_macs: int
    response_side: int
    attention_macs: int = 0

    @property
    def megabytes(self) -> float:
        """Returns the size of the learnable parameters as float32, in 10^6 bytes."""
        return 4 * self.parameters / BYTES_PER_MB

    @property
    def megabytes_with_statistics(self) -> float:
        """Returns the same size with batch normalisation's running statistics."""
        return 4 * (self.parameters + self.statistics) / BYTES_PER_MB


def tracker_cost(spec: TrackerSpec, *, search_px: int | None = None) -> Cost:
    """Counts parameters and multiply-adds of `spec`.

    Args:
      spec: The tracker.
      search_px: Side of the search image; the tracking size of the spec if None.

    Returns:
      Exact counts. Normalisation, activation and pooling count no multiply-adds.
    """
    search_px = spec.input.search_px if search_px is None else search_px
    layers = [*_stages(spec, search_px), *_head_layers(spec, search_px)]
    return Cost(
        layers=tuple(layers),
        parameters=sum(c.parameters for c in layers),
        statistics=sum(c.statistics for c in layers),
        template_macs=sum(c.template_macs for c in layers),
        search_macs=sum(c.search_macs for c in layers),
        response_side=spec.response_side(search_px),
        attention_macs=sum(c.attention_macs for c in layers),
    )


def _stages(spec: TrackerSpec, search_px: int) -> list[LayerCost]:
    """Returns the costs of each stage of the backbone."""
    match spec.backbone:
        case Chain() as chain:
            return _chain_stages(chain, (spec.input.template_px, search_px))
        case TokenBackboneSpec() as tokens:
            template = spec.feature_side(spec.input.template_px)
            return _token_stages(tokens, template, spec.feature_side(search_px))
        case _ as backbone:
            assert_never(backbone)


def _chain_stages(chain: Chain, images: tuple[int, int]) -> list[LayerCost]:
    """Returns the costs of a chain's stages for a template and a search image."""
    return [
        LayerCost(
            name=name,
            parameters=sum(one.parameters for one in of_search),
            statistics=sum(one.statistics for one in of_search),
            template_side=template.before,
            search_side=search.before,
            out_side=search.after,
            template_macs=sum(one.macs for one in of_template),
            search_macs=sum(one.macs for one in of_search),
        )
        for name, template, search, of_template, of_search in zip(
            chain.stage_names,
            *(chain.stage_sides(px) for px in images),
            *(chain.convolutions(px) for px in images),
            strict=True,
        )
    ]


def _token_stages(
    tokens: TokenBackboneSpec, template: int, search: int
) -> list[LayerCost]:
    """Returns the costs of a transformer's stages.

    Args:
      tokens: The transformer.
      template: Cells per side of the template.
      search: Cells per side of the search image.
    """
    width, always, cells = tokens.width, template**2, search**2

    def row(name: str, parameters: int, *macs: int) -> LayerCost:
        return LayerCost(name, parameters, 0, template, search, search, *macs)

    rows = [
        _stem(tokens, template, search),
        row("positions", (always + cells) * width, 0, 0),
    ]
    outer, inner = 4 * width**2, 2 * tokens.mlp * width**2
    # Two norms with scale and shift, biases of four linear layers.
    vectors = (4 + 3 + 1 + tokens.mlp + 1) * width
    for name, left in zip(tokens.blocks, tokens.cells_left(cells), strict=True):
        count = always + cells
        linear = outer * count + inner * (always + left)
        attention = 2 * count**2 * width
        rows.append(row(name, outer + inner + vectors, 0, linear, attention))
        cells = left
    return [*rows, row("norm", 2 * width, 0, 0)]


def _stem(tokens: TokenBackboneSpec, template: int, search: int) -> LayerCost:
    """Returns the costs of what makes tokens from pixels.

    Args:
      tokens: The transformer.
      template: Cells per side of the template.
      search: Cells per side of the search image.
    """
    inputs = 3 if tokens.halvings else 3 * tokens.patch**2
    parameters, statistics, per_cell, side = 0, 0, 0, tokens.patch
    for conv in tokens.halvings:
        one = Convolution("", conv, side, inputs)
        parameters += one.parameters
        statistics += one.statistics
        per_cell += one.macs
        inputs, side = conv.features, one.out_side
    last = inputs * tokens.width
    return LayerCost(
        name="patch",
        parameters=parameters + last + tokens.width,
        statistics=statistics,
        template_side=template,
        search_side=search,
        out_side=search,
        template_macs=(per_cell + last) * template**2,
        search_macs=(per_cell + last) * search**2,
    )


def _head_layers(spec: TrackerSpec, search_px: int) -> list[LayerCost]:
    """Returns the costs of the head's layers, its correlations among them."""
    template, response = spec.template_cells, spec.response_side(search_px)
    inputs = spec.backbone.widths[-1]
    match spec.head:
        case CentreHeadSpec() as head:
            return _centre_layers(head, inputs, response)
        case CorrelationHeadSpec(bias=bias):
            macs = response**2 * template**2 * inputs
            sizes = (int(bias), 0, 0, response, response, 0, macs)
            return [LayerCost("respond", *sizes)]
        case RegionHeadSpec() as head:
            return _region_layers(head, spec, search_px)
        case _ as head:
            assert_never(head)


def _centre_layers(head: CentreHeadSpec, inputs: int, side: int) -> list[LayerCost]:
    """Returns the costs of each branch of a centre head on a map of that side."""
    rows = []
    for name, outputs in head.branches:
        below, layers = inputs, []
        for conv in (*head.stages, head.reading(outputs)):
            layers.append(_conv(name, conv, below, (0, side)))
            below = conv.features
        total = {
            field: sum(getattr(layer, field) for layer in layers)
            for field in ("parameters", "statistics", "search_macs")
        }
        rows.append(dataclasses.replace(layers[-1], **total))
    return rows


def _region_layers(
    head: RegionHeadSpec, spec: TrackerSpec, search_px: int
) -> list[LayerCost]:
    """Returns the costs of a region head, level by level."""
    whole, search = (
        spec.feature_side(px) for px in (spec.input.template_px, search_px)
    )
    response, k = spec.response_side(search_px), head.anchors
    widths = {shape.name: shape.features for shape in spec.maps(search_px)}
    # A convolution without padding takes as many cells off both maps.
    sides = spec.template_cells - (head.kernel - 1), search - (head.kernel - 1)
    rows: list[LayerCost] = []
    for level in spec.levels:
        name, inputs = f"{level} " if head.levels else "", widths[level]
        if head.adjusting is not None:
            rows.append(_conv(f"{name}adjust", head.adjusting, inputs, (whole, search)))
            inputs = head.adjust
        for branch, outputs in (("cls", 2 * k), ("box", 4 * k)):
            rows += _branch(f"{name}{branch}", outputs, head, inputs, sides, response)
    if head.fusion == "learned":
        sizes = (2 * len(spec.levels), 0, 0, response, response, 0, 0)
        rows.append(LayerCost("fusion", *sizes))
    return rows


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

    into = dataclasses.replace(head.stage, features=kernels)
    rows = [
        _conv(f"{name} kernels", into, inputs, (template, 0)),
        _conv(f"{name} search", head.stage, inputs, (0, search)),
        last("respond", 0, 0, template**2 * kernels),
    ]
    if up and name.endswith("box"):
        rows.append(last("adjust", outputs * outputs + outputs, 0, outputs * outputs))
    if not up:
        count = width * width + 2 * width + width * outputs + outputs
        rows.append(last("read", count, 2 * width, width * (width + outputs)))
    return rows


def _conv(name: str, conv: ConvSpec, inputs: int, sides: tuple[int, int]) -> LayerCost:
    """Returns the costs of one convolution of a head, whose maps have these sides."""
    found = Convolution(name, conv, 0, inputs)
    template, search = sides
    return LayerCost(
        name=name,
        parameters=found.parameters,
        statistics=found.statistics,
        template_side=template,
        search_side=search,
        out_side=search,
        template_macs=found.weights * template**2,
        search_macs=found.weights * search**2,
    )
