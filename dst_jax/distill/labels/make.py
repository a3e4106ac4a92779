"""Chooses the labels that a head is trained on."""

from collections.abc import Callable
from typing import TypeAlias, assert_never

import jax.numpy as jnp

from dst_jax.arch import (
    CentreHeadSpec,
    CorrelationHeadSpec,
    RegionHeadSpec,
    TrackerSpec,
)
from dst_jax.arch.spec import Grid
from dst_jax.distill.labels.anchors import AnchorLabels, anchor_labels
from dst_jax.distill.labels.cells import CellLabels, cell_labels
from dst_jax.distill.labels.centre import CentreLabels, centre_labels
from dst_jax.distill.labels.config import LabelConfig
from dst_jax.errors import InputError
from dst_jax.ops.anchors import head_anchors
from dst_jax.ops.examples import Examples
from dst_jax.ops.labels import response_labels, target_labels
from dst_jax.typing import Array, Float

Labels: TypeAlias = CellLabels | AnchorLabels | CentreLabels
# A function (examples, key) -> labels; the key is for random choices.
MakeLabels: TypeAlias = Callable[[Examples, Array], Labels]


def make_labels(spec: TrackerSpec, config: LabelConfig) -> MakeLabels:
    """Returns the function that labels the cells or anchors of one network.

    Networks whose training crops have equal grids get equal labels.

    Args:
      spec: The network, whose training crops are labelled.
      config: Settings that decide what counts as the target.
    """
    grid = spec.grid(spec.input.train_search_px)
    match spec.head:
        case CentreHeadSpec():
            return lambda examples, key: centre_labels(
                examples, grid.side, peak=config.peak
            )
        case CorrelationHeadSpec():
            return _cell_labeller(grid, config)
        case RegionHeadSpec() as head:
            anchors = head_anchors(
                head, side=grid.side, stride=grid.stride, search_px=grid.search_px
            )
            return lambda examples, key: anchor_labels(
                key, anchors, examples, config=config.assign
            )
        case _ as head:
            assert_never(head)


def labelled_boxes(labels: Labels) -> Float[Array, "b 4"]:
    """Returns the targets' boxes, (cx, cy, w, h) in [0, 1] of the search image.

    Args:
      labels: Labels of a batch.

    Raises:
      InputError: If such labels hold no box.
    """
    match labels:
        case CentreLabels(box=box):
            return box
        case CellLabels() | AnchorLabels():
            raise InputError("labels of this family hold no box; leave it out.")
        case _:
            assert_never(labels)


def _cell_labeller(grid: Grid, config: LabelConfig) -> MakeLabels:
    """Returns the function that labels cells around the middle or the target."""
    stride = float(grid.stride)
    middle = response_labels(grid.side, stride=stride, radius_px=config.radius_px)

    def label_cells(examples: Examples, key: Array) -> CellLabels:
        del key  # every cell counts
        if config.label_centre == "middle":
            shown = middle
        else:
            shown = target_labels(
                grid.side,
                examples.search_box[:, :2],
                stride=stride,
                search_px=grid.search_px,
                radius_px=config.radius_px,
                rounding=config.label_rounding,
            )
        shown = jnp.asarray(shown, examples.mask.dtype)
        return cell_labels(shown, examples.mask, examples.is_negative)

    return label_cells
