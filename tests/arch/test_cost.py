"""Costs: the papers' numbers, and agreement with the built network."""

import math
import re

import jax
import pytest

from dst_jax import arch
from dst_jax.models import build, variable_shapes

# Facts of the papers: parameters, MB with and without BatchNorm statistics.
PUBLISHED = {
    "siamfc-alexnet": (2_336_320, 9.345, 9.354),
    "siamfc-alexnet-ungrouped": (3_749_440, 14.998, 15.007),
    "siamfc-half": (593_696, 2.375, 2.379),
    "dstfc": (177_428, 0.710, 0.712),
    "siamrpn-big": (90_436_132, 361.745, 361.767),
    "siamrpn": (22_632_932, 90.532, 90.543),
    "dstrpn": (4_926_825, 19.707, 19.711),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_megabytes_are_the_published_ones(name):
    cost = arch.tracker_cost(arch.named(name))
    parameters, megabytes, with_statistics = PUBLISHED[name]
    assert cost.parameters == parameters
    assert round(cost.megabytes, 3) == megabytes
    assert round(cost.megabytes_with_statistics, 3) == with_statistics


@pytest.mark.parametrize(
    ("name", "megabytes"),
    [
        ("siamfc-w40", 1.51),
        ("siamfc-w45", 1.90),
        ("siamfc-w50", 2.38),
        ("siamfc-w55", 2.83),
        ("siamrpn-w40", 57.55),
        ("siamrpn-w45", 73.10),
        ("siamrpn-w50", 90.54),
        ("siamrpn-w55", 109.08),
    ],
)
def test_students_of_figure_6_have_their_sizes(name, megabytes):
    cost = arch.tracker_cost(arch.named(name))
    assert round(cost.megabytes_with_statistics, 2) == megabytes


# Narrow transformers for other crops differ from these in their positions alone.
BUILT = [n for n in arch.ZOO if not re.match("ostrack-(s|ti)-(?!128)", n)]


@pytest.mark.parametrize("name", BUILT)
def test_cost_counts_what_the_network_has(name):
    spec = arch.named(name)
    cost = arch.tracker_cost(spec)
    shapes = variable_shapes(spec)
    count = {
        kind: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
        for kind, tree in shapes.items()
    }
    assert count == {"params": cost.parameters, "batch_stats": cost.statistics}


@pytest.mark.parametrize(
    ("pixels", "sides"),
    [
        (127, ((59, 29), (25, 12), (10, 10), (8, 8), (6, 6))),
        (255, ((123, 61), (57, 28), (26, 26), (24, 24), (22, 22))),
        (239, ((115, 57), (53, 26), (24, 24), (22, 22), (20, 20))),
    ],
)
def test_alexnet_has_the_published_map_sizes(pixels, sides):
    assert arch.named("siamfc-alexnet").backbone.stage_sides(pixels) == sides


@pytest.mark.parametrize(
    ("pixels", "sides"),
    [
        (271, (131, 65, 61, 30, 28, 26, 24)),
        (287, (139, 69, 65, 32, 30, 28, 26)),
        (127, (59, 29, 25, 12, 10, 8, 6)),
    ],
)
def test_siamrpn_has_the_published_map_sizes(pixels, sides):
    found = arch.named("siamrpn-big").backbone.stage_sides(pixels)
    flat = [side for pair in found[:2] for side in pair]
    assert (*flat, *(before for before, _ in found[2:])) == sides


def test_siamrpn_responds_on_17_19_and_21_cells():
    spec = arch.named("siamrpn-big")
    assert [spec.response_side(px) for px in (255, 271, 287)] == [17, 19, 21]
    assert spec.head.anchors == 5


def test_the_backbone_and_the_head_of_siamrpn_share_its_parameters():
    layers = arch.tracker_cost(arch.named("siamrpn-big")).layers
    assert sum(row.parameters for row in layers[:5]) == 14_921_856
    assert sum(row.parameters for row in layers[5:]) == 75_514_276


def test_alexnet_responds_on_17_and_15_cells_with_stride_8():
    spec = arch.named("siamfc-alexnet")
    assert (spec.response_side(255), spec.response_side(239)) == (17, 15)
    assert spec.backbone.total_stride == 8


def test_multiply_adds_follow_from_the_layer_table():
    # conv2 on 255 px: 57^2 cells x 5^2 taps x (96 / 2) inputs x 256 outputs.
    layer = arch.tracker_cost(arch.named("siamfc-alexnet")).layers[1]
    assert layer.search_macs == 57**2 * 5**2 * 48 * 256


def test_the_built_module_is_hashable_and_equal_for_equal_specs():
    assert build(arch.named("tiny")) == build(arch.named("tiny"))
    assert hash(build(arch.named("tiny"))) == hash(build(arch.named("tiny")))
