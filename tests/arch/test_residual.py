"""Residual backbones and heads on several levels: SiamRPN++'s figures, bad input."""

import dataclasses

import pytest

from dst_jax import arch
from dst_jax.arch import (
    Chain,
    ConvSpec,
    InputSpec,
    PoolSpec,
    RegionHeadSpec,
    ResidualSpec,
    TrackerSpec,
)
from dst_jax.errors import InputError

# Counted over an independent PyTorch build: parameters, MB, running statistics, and
# multiply-adds of a template of 127 px and of a search crop of 255 px.
COUNTED = {
    "siamrpnpp-r50": (53_950_624, 215.802, 63_872, 10_740_558_528, 48_720_820_928),
    "siamrpnpp-r18": (20_287_136, 81.149, 20_352, 3_103_713_984, 16_116_333_248),
    "siamrpnpp-r34": (30_395_296, 121.581, 27_776, 5_430_643_392, 26_044_914_368),
    "siamrpnpp-big": (81_179_296, 324.717, 91_520, 11_005_979_328, 61_451_176_640),
    "siamrpnpp-big-wide": (
        168_871_072,
        675.484,
        96_128,
        12_686_977_728,
        99_811_363_520,
    ),
}
# The parts of a network: backbone, adjustment, heads and fusion.
PARTS = {
    "siamrpnpp-r50": (45_528_128, 919_040, 7_503_450, 6),
    "siamrpnpp-r18": (12_552_768, 230_912, 7_503_450, 6),
}
SIDES = {127: (61, 31, 31, 15, 15, 15), 255: (125, 63, 63, 31, 31, 31)}
R50 = arch.named("siamrpnpp-r50")
TINY = arch.named("tiny-siamrpnpp")


@pytest.mark.parametrize("name", COUNTED)
def test_the_costs_are_those_of_the_independent_build(name):
    spec = arch.named(name)
    cost = arch.tracker_cost(spec)
    assert (
        cost.parameters,
        round(cost.megabytes, 3),
        cost.statistics,
        cost.template_macs,
        cost.search_macs,
    ) == COUNTED[name]
    correlations = [row for row in cost.layers if row.name.endswith("respond")]
    assert len(correlations) == 6
    expected = 24_000_000 * spec.head.features // 256
    assert sum(row.search_macs for row in correlations) == expected


@pytest.mark.parametrize("name", PARTS)
def test_each_part_has_its_share_of_the_parameters(name):
    rows = arch.tracker_cost(arch.named(name)).layers
    shares = [0, 0, 0, 0]
    for row in rows:
        words = row.name.split()
        heads = 2 if words[-1] != "adjust" else 1
        place = 3 if words[0] == "fusion" else heads if len(words) > 1 else 0
        shares[place] += row.parameters
    assert tuple(shares) == PARTS[name]


def test_the_mean_of_the_levels_has_six_parameters_fewer():
    head = dataclasses.replace(R50.head, fusion="mean")
    cost = arch.tracker_cost(dataclasses.replace(R50, head=head))
    assert cost.parameters == 53_950_618


@pytest.mark.parametrize(
    ("name", "parameters", "millions"),
    [
        ("mini-siamrpnpp-big", 435_164, 107.5),
        ("mini-siamrpnpp-r50", 190_220, 69.3),
        ("mini-siamrpnpp-r18", 94_756, 35.2),
    ],
)
def test_the_miniatures_have_their_size_and_cells(name, parameters, millions):
    spec = arch.named(name)
    cost = arch.tracker_cost(spec)
    assert cost.parameters == parameters
    assert round(cost.search_macs / 1e6, 1) == millions
    assert (spec.response_side(159), spec.response_side(143)) == (13, 11)


@pytest.mark.parametrize("name", COUNTED)
def test_every_depth_has_the_same_names_and_sides(name):
    backbone = arch.named(name).backbone
    names = ("conv1", "layer1", "layer2", "layer3", "layer4")
    assert backbone.stage_names == names
    for pixels, (stem, pooled, *stages) in SIDES.items():
        found = backbone.stage_sides(pixels)
        assert found[0] == (stem, pooled)
        assert [side.before for side in found[1:]] == stages
        assert [side.after for side in found[1:]] == stages
        maps = backbone.maps(pixels)
        assert [shape.name for shape in maps] == list(names)
        assert [shape.stride for shape in maps] == [2, 4, 8, 8, 8]
    assert backbone.total_stride == 8


def test_siamrpnpp_responds_on_25_cells():
    assert R50.response_side(255) == 25
    assert R50.template_cells == 7
    assert R50.grid(255).side == 25


def test_plain_stages_are_counted_apart_from_residual_ones():
    chain = Chain((ConvSpec(4, 3), ResidualSpec(4, 4, 1), ConvSpec(4, 3)))
    assert chain.stage_names == ("conv1", "layer1", "conv2")
    assert arch.named("siamfc-alexnet").backbone.stage_names[-1] == "conv5"


def geometry(stage, inputs=8):
    """Kernel, stride, padding and dilation of each convolution, block by block."""
    return [
        (conv.kernel, conv.stride, conv.padding, conv.dilation)
        for _, conv, _, _ in stage.convolutions(inputs, 15)
    ]


def test_the_first_block_of_a_strided_stage_steps_without_padding():
    stage = ResidualSpec(16, 4, 2, stride=2)
    first = [(1, 1, 0, 1), (3, 2, 0, 1), (1, 1, 0, 1), (3, 2, 0, 1)]
    second = [(1, 1, 0, 1), (3, 1, 1, 1), (1, 1, 0, 1)]
    assert geometry(stage) == [*first, *second]
    basic = ResidualSpec(4, 4, 1, "basic", stride=2)
    assert geometry(basic) == [(3, 2, 0, 1), (3, 1, 1, 1), (3, 2, 0, 1)]


def test_the_first_block_of_a_dilated_stage_has_half_the_dilation():
    stage = ResidualSpec(16, 4, 2, dilation=4)
    first = [(1, 1, 0, 1), (3, 1, 2, 2), (1, 1, 0, 1), (3, 1, 2, 2)]
    second = [(1, 1, 0, 1), (3, 1, 4, 4), (1, 1, 0, 1)]
    assert geometry(stage) == [*first, *second]
    basic = ResidualSpec(8, 8, 2, "basic", dilation=2)
    # The projection is there although the channels agree.
    first = [(3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 1, 1)]
    assert geometry(basic) == [*first, (3, 1, 2, 2), (3, 1, 2, 2)]


def test_a_plain_stage_projects_by_1x1_only_where_channels_differ():
    wider = geometry(ResidualSpec(16, 4, 1), inputs=8)
    assert wider == [(1, 1, 0, 1), (3, 1, 1, 1), (1, 1, 0, 1), (1, 1, 0, 1)]
    assert geometry(ResidualSpec(16, 4, 1), inputs=16) == wider[:3]


def test_a_crop_takes_cells_off_before_the_pooling():
    stem = ConvSpec(4, 7, stride=2, padding=3, bias=False, crop=2, pool=PoolSpec(2, 2))
    # 127 px: 64 cells, 60 after the crop, 30 after the pooling.
    assert Chain((stem,)).stage_sides(127) == ((60, 30),)
    crops = InputSpec(127, 255, 255)
    # A tracker's last stage has no pooling.
    spec = TrackerSpec(Chain((stem, ConvSpec(8, 3))), input=crops)
    row = arch.tracker_cost(spec).layers[0]
    assert row.parameters == 7 * 7 * 3 * 4 + 2 * 4
    assert row.template_macs == 7 * 7 * 3 * 4 * 64**2


def test_json_leaves_out_what_has_its_default():
    layers = arch.spec_to_json(arch.named("siamrpn-depthwise"))["backbone"]["layers"]
    assert (
        list(layers[0])
        == (
            "features kernel stride padding trim groups batch_norm activation pool"
        ).split()
    )
    assert list(layers[0]["pool"]) == ["window", "stride"]
    head = arch.spec_to_json(arch.named("siamrpn-depthwise"))["head"]
    assert list(head) == "form features kernel ratios scales".split()


def test_json_names_residual_stages_and_what_differs():
    values = arch.spec_to_json(R50)
    stem, _, strided, *_ = values["backbone"]["layers"]
    assert stem["bias"] is False and stem["pool"]["padding"] == 1
    assert strided == {
        "kind": "residual",
        "features": 512,
        "inner": 128,
        "blocks": 4,
        "form": "bottleneck",
        "stride": 2,
        "dilation": 1,
    }
    assert values["head"]["levels"] == ["layer2", "layer3", "layer4"]
    assert values["head"]["template_cells"] == 7


def with_head(**changes):
    return dataclasses.replace(R50, head=dataclasses.replace(R50.head, **changes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: with_head(levels=("layer2", "layer5")),
            "RegionHeadSpec.levels: there is no stage 'layer5'; the backbone has "
            "conv1, layer1, layer2, layer3, layer4.",
        ),
        (
            lambda: with_head(levels=("layer1", "layer4")),
            "the map of layer1 has 31 cells of 4 px, that of the last stage 15 of 8 px",
        ),
        (
            lambda: with_head(template_cells=17),
            "RegionHeadSpec.template_cells=17: the template's map has 15 cells; its "
            "middle has an odd number up to that.",
        ),
        (lambda: with_head(template_cells=8), "template_cells=8: the template's map"),
        (
            lambda: with_head(template_cells=1),
            "template_cells=1: must not be smaller than the kernel of 3 cells",
        ),
        (lambda: with_head(levels=("layer4", "layer4")), "name each stage once"),
        (lambda: with_head(levels=("layer4",)), "fusion='learned': must be \"mean\""),
        (lambda: with_head(levels=(), fusion="mean"), "adjust=256: needs levels"),
        (
            lambda: RegionHeadSpec(levels=("conv5",)),
            "levels=('conv5',): needs form=\"depthwise\"",
        ),
        (lambda: ResidualSpec(8, 4, 1, dilation=3), "dilation=3: must be 1 or even"),
        (lambda: ResidualSpec(8, 4, 1, stride=3), "stride=3: must be a whole number"),
        (
            lambda: ResidualSpec(8, 4, 1, stride=2, dilation=2),
            "dilation=2: must be 1 beside stride=2",
        ),
        (lambda: PoolSpec(3, 2, padding=2), "padding=2: must be at most half"),
        (lambda: arch.with_widths(TINY, (4, 8, 8, 8, 8)), "layer1 of the backbone"),
        (lambda: arch.scale_widths(TINY, 0.5), "needs plain convolutions"),
    ],
    ids=range(15),
)
def test_what_cannot_be_is_refused_in_words(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)


def test_json_of_a_stage_with_a_bad_field_names_it():
    values = arch.spec_to_json(TINY)
    values["backbone"]["layers"][2]["blocks"] = 0
    with pytest.raises(InputError, match=r"layers\[2\]: ResidualSpec\.blocks=0"):
        arch.spec_from_json(values)
    values["backbone"]["layers"][2]["kind"] = "dense"
    with pytest.raises(InputError, match=r"kind='dense': there is residual"):
        arch.spec_from_json(values)
