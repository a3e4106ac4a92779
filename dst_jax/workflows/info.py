"""`dst-jax info` prints layers, sizes and costs of an architecture or a bundle."""

import dataclasses
from itertools import zip_longest

from rich import box
from rich.console import Console
from rich.table import Table

from dst_jax.arch import (
    NOTES,
    ZOO,
    Backbone,
    Chain,
    ConvSpec,
    Cost,
    LayerCost,
    ResidualSpec,
    TrackerSpec,
    chain_of,
    read_spec,
    spec_id,
    tracker_cost,
)
from dst_jax.bundle import load_bundle
from dst_jax.errors import InputError
from dst_jax.files import found_folder, user_path
from dst_jax.workflows.kernel_table import print_kernels
from dst_jax.workflows.printing import say, shown

_MOST_IMAGES = 256


def architecture(name_or_bundle: str) -> tuple[TrackerSpec, tuple[str, ...]]:
    """Returns the architecture that a bundle, a JSON file or a name in the zoo has.

    Returns:
      The architecture, and the files of a bundle whose damage would go unnoticed.

    Raises:
      InputError: If the argument is none of them.
    """
    if found_folder(user_path(name_or_bundle)).is_dir():
        bundle = load_bundle(name_or_bundle, partial=True)
        return bundle.spec, bundle.unprotected
    return read_spec(name_or_bundle), ()


def _shape(layer: ConvSpec | ResidualSpec) -> list[str]:
    """Returns kernel, stride, padding (low, high if they differ), groups and width.

    Of a residual stage it returns the number of blocks and the kernels of one,
    "3x1-3-1", and the dilation in place of the padding.
    """
    if isinstance(layer, ResidualSpec):
        kernels = "1-3-1" if layer.form == "bottleneck" else "3-3"
        blocks = f"{layer.blocks}x{kernels}"
        apart = f"d{layer.dilation}" if layer.dilation > 1 else ""
        return [blocks, f"{layer.total_stride}", apart, "", f"{layer.features}"]
    high = layer.padding - layer.trim
    padding = f"{layer.padding}" if not layer.trim else f"{layer.padding}, {high}"
    sides = f"{layer.kernel}x{layer.kernel}"
    return [sides, f"{layer.stride}", padding, f"{layer.groups}", f"{layer.features}"]


def _shapes(backbone: Backbone) -> list[list[str]]:
    """Returns what `_shape` does of every stage; of a transformer, its stem."""
    if isinstance(backbone, Chain):
        return [_shape(layer) for layer in backbone.layers]
    size, halvings = f"{backbone.patch}", len(backbone.halvings)
    kernel = f"{halvings}x 3x3" if halvings else f"{size}x{size}"
    patch = [kernel, size, "", "", f"{backbone.width}"]
    others = [["", "", "", "", f"{width}"] for width in backbone.widths[1:]]
    return [patch, *others]


def _rows(spec: TrackerSpec) -> list[LayerCost]:
    """Returns the costs of the table's rows; a branch of a level is one row."""
    layers = tracker_cost(spec).layers
    if not spec.head.levels:
        return list(layers)
    rows: dict[str, LayerCost] = {}
    for layer in layers:
        name = " ".join(layer.name.split()[:2])
        above = rows.get(name)
        rows[name] = dataclasses.replace(
            layer,
            name=name,
            parameters=layer.parameters + (above.parameters if above else 0),
            template_side=above.template_side if above else layer.template_side,
            search_macs=layer.search_macs + (above.search_macs if above else 0),
        )
    return list(rows.values())


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f}" if count < 1e9 else f"{count / 1e6:,.0f}"


def print_info(name_or_bundle: str, console: Console, *, kernels: int = 0) -> None:
    """Prints a table of an architecture's layers and a summary.

    Args:
      name_or_bundle: Folder of a bundle, a JSON file, or a name in the zoo.
      console: Console to print on.
      kernels: Number of images for which the kernels of each layer are timed too; 0
        leaves them out.

    Raises:
      InputError: If there is no such architecture, the number is none, or kernels are
        asked of a transformer.
    """
    if not 0 <= kernels <= _MOST_IMAGES:
        raise InputError(f"--batch {kernels}: must be from 1 to {_MOST_IMAGES}.")
    spec, unprotected = architecture(name_or_bundle)
    if kernels:
        chain_of(spec, "The table of kernels")
    _print_layers(spec, name_or_bundle, console)
    _print_summary(spec, unprotected, console)
    if kernels:
        print_kernels(spec, console, batch=kernels)


def _print_layers(spec: TrackerSpec, name: str, console: Console) -> None:
    inputs = spec.input
    # The table fits 80 columns.
    style = {"box": box.SIMPLE, "padding": (0, 1, 0, 0)}
    table = Table(title=shown(name), title_justify="left", **style)
    table.add_column("layer", no_wrap=True)
    headings = ("kernel", "by", "pad", "grp", "width")
    sizes = (f"{inputs.template_px}px", f"{inputs.search_px}px", "params")
    for heading in (*headings, *sizes, "M MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for shape, row in zip_longest(_shapes(spec.backbone), _rows(spec)):
        table.add_row(
            shown(row.name),
            *(shape or [""] * len(headings)),
            f"{row.template_side or ''}",
            f"{row.search_side or ''}",
            f"{row.parameters:,}",
            _millions(row.search_macs),
        )
    console.print(table)


def _multiply_adds(cost: Cost) -> list[str]:
    """Returns the lines that say how many there are."""
    template, search = cost.template_macs / 1e6, cost.search_macs / 1e6
    start = f"multiply-adds: template {template:,.1f} M, search crop {search:,.1f} M"
    if not cost.attention_macs:
        return [f"{start} (correlation included)"]
    attention = cost.attention_macs / 1e6
    return [
        f"{start}, {template + search:,.1f} M as papers count",
        f"products of attention besides: {attention:,.1f} M, with them "
        f"{template + search + attention:,.1f} M",
    ]


def _tokens(spec: TrackerSpec) -> list[str]:
    """Returns the line that says how many search tokens the blocks read, if any do."""
    if isinstance(spec.backbone, Chain):
        return []
    template, cells = (
        spec.feature_side(px) ** 2
        for px in (spec.input.template_px, spec.input.search_px)
    )
    left = spec.backbone.cells_left(cells)
    fewer = "".join(
        f", {left[block]} from block{block} on" for block, _ in spec.backbone.eliminate
    )
    return [f"template tokens {template}, search tokens {cells}{fewer}"]


def _print_summary(
    spec: TrackerSpec, unprotected: tuple[str, ...], console: Console
) -> None:
    cost, inputs = tracker_cost(spec), spec.input
    train = spec.response_side(inputs.train_search_px)
    say(
        console,
        f"parameters {cost.parameters:,} = {cost.megabytes:.3f} MB "
        f"({cost.megabytes_with_statistics:.3f} MB with BatchNorm statistics)",
        *_multiply_adds(cost),
        *_tokens(spec),
        f"response {cost.response_side} x {cost.response_side} in tracking, "
        f"{train} x {train} in training, stride {spec.backbone.total_stride} px",
        f"spec {spec_id(spec)[:12]}",
        *(note for name, note in NOTES.items() if ZOO[name] == spec),
    )
    if unprotected:
        say(
            console,
            "This bundle is of format 1: damage of its weights is noticed, damage of "
            f"{', '.join(unprotected)} is not. Loading and saving it with "
            "dst_jax.bundle protects them too.",
        )
