"""What an architecture costs, counted exactly from its spec."""

import dataclasses

from dst_jax.arch.spec import ConvSpec, TrackerSpec

BYTES_PER_MB = 10**6  # the papers' megabyte: 4 bytes per float32, 10^6 bytes


@dataclasses.dataclass(frozen=True, slots=True)
class LayerCost:
    """One stage: its parameters, and its work on template and search image.

    Attributes:
      name: Stage name, "conv1" and so on.
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
    """The whole tracker; `search_macs` is one search crop, correlation included."""

    layers: tuple[LayerCost, ...]
    parameters: int
    statistics: int
    template_macs: int
    search_macs: int
    response_side: int

    @property
    def megabytes(self) -> float:
        """Size of the learnable parameters as float32, in 10^6 bytes."""
        return 4 * self.parameters / BYTES_PER_MB

    @property
    def megabytes_with_statistics(self) -> float:
        """The same with the running statistics of batch normalisation."""
        return 4 * (self.parameters + self.statistics) / BYTES_PER_MB


def conv_parameters(layer: ConvSpec, in_features: int) -> int:
    """Weights and bias of one convolution, scale and shift of its normalisation."""
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
    template_sides = spec.stage_sides(spec.input.template_px)
    search_sides = spec.stage_sides(search_px)
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
    correlation = response**2 * template_sides[-1][1] ** 2 * below
    return Cost(
        layers=tuple(layers),
        parameters=sum(c.parameters for c in layers) + int(spec.head.bias),
        statistics=sum(c.statistics for c in layers),
        template_macs=sum(c.template_macs for c in layers),
        search_macs=sum(c.search_macs for c in layers) + correlation,
        response_side=response,
    )
