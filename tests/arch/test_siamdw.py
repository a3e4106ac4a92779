"""SiamDW's residual stages: published figures, sides, JSON and bad input."""

import dataclasses

import pytest

from dst_jax import arch
from dst_jax.arch import Chain, ConvSpec, PoolSpec, ResidualSpec
from dst_jax.errors import InputError

# Counted over an independent PyTorch build: parameters, running statistics, and
# multiply-adds of a template of 127 px and of a search crop of 255 px.
COUNTED = {
    "siamdw": (1_444_928, 10_112, 493_518_848, 2_632_380_928),
    "siamdw-l": (354_033, 4_994, 134_797_840, 699_718_216),
    "siamdw-s": (136_055, 3_052, 50_601_187, 263_455_487),
    "siamdw-half": (366_112, 5_056, 133_013_504, 697_555_200),
    "siamdw-rpn": (76_959_204, 10_112, 1_130_528_768, 4_372_160_400),
}
RATES = {"siamdw-l": 4.0813, "siamdw-s": 10.6202, "siamdw-half": 3.9467}
# Sides before and after each block's pooling, the stem's first.
SIDES = {
    127: ((60, 30), 24, 5),
    255: ((124, 62), 56, 21),
    271: ((132, 66), 60, 23),
}
TEACHER = arch.named("siamdw")


@pytest.mark.parametrize("name", COUNTED)
def test_the_costs_are_those_of_the_independent_build(name):
    cost = arch.tracker_cost(arch.named(name))
    found = cost.parameters, cost.statistics, cost.template_macs, cost.search_macs
    assert found == COUNTED[name]


@pytest.mark.parametrize("name", RATES)
def test_students_have_the_papers_rates_of_compression(name):
    teacher, student = (
        arch.tracker_cost(arch.named(one)).parameters for one in ("siamdw", name)
    )
    assert round(teacher / student, 4) == RATES[name]


def test_the_parts_of_the_teacher_have_their_parameters():
    stem, layer1, layer2 = TEACHER.backbone.convolutions(127)
    assert sum(one.parameters for one in stem) == 9_536

    def blocks(stage, count):
        return [
            sum(one.parameters for one in stage if f"block{number}/" in one.name)
            for number in range(1, count + 1)
        ]

    assert blocks(layer1, 3) == [75_008, 70_400, 70_400]
    assert blocks(layer2, 4) == [379_392, 280_064, 280_064, 280_064]


def test_the_region_head_has_its_parameters():
    whole, alone = (
        arch.tracker_cost(arch.named(name)) for name in ("siamdw-rpn", "siamdw")
    )
    assert whole.parameters - alone.parameters == 75_514_276
    assert round(whole.megabytes, 3) == 307.837


@pytest.mark.parametrize("name", COUNTED)
def test_every_width_has_the_same_sides(name):
    backbone = arch.named(name).backbone
    assert backbone.stage_names == ("conv1", "layer1", "layer2")
    for pixels, (stem, first, second) in SIDES.items():
        sides = [tuple(sides) for sides in backbone.stage_sides(pixels)]
        assert sides == [stem, (first, first), (second, second)]
        assert [shape.stride for shape in backbone.maps(pixels)] == [2, 4, 8]
    assert backbone.total_stride == 8
    spec = arch.named(name)
    assert (spec.response_side(255), spec.response_side(271)) == (17, 19)


def test_each_block_reads_what_the_one_before_left():
    stages = TEACHER.backbone.convolutions(255)
    read = [
        [one.side for one in stage if one.name.endswith("conv2")] for stage in stages
    ]
    assert read[1:] == [[62, 60, 58], [56, 27, 25, 23]]


@pytest.mark.parametrize(
    ("name", "parameters", "millions"),
    [
        ("mini-siamdw", 73_464, 116.1),
        ("mini-siamdw-l", 19_740, 37.9),
        ("mini-siamdw-s", 11_440, 23.1),
    ],
)
def test_the_miniatures_have_their_size_and_cells(name, parameters, millions):
    spec = arch.named(name)
    cost = arch.tracker_cost(spec)
    correlation = cost.layers[-1].search_macs
    assert cost.parameters == parameters
    assert round((cost.search_macs - correlation) / 1e6, 1) == millions
    sides = [spec.feature_side(px) for px in (103, 199)]
    assert [*sides, spec.response_side(199)] == [5, 17, 13]


def test_json_names_the_fields_that_differ_and_gives_the_stage_back():
    values = arch.spec_to_json(TEACHER)
    _, first, second = values["backbone"]["layers"]
    assert first["crop"] == 1
    assert "pool_after_first" not in first
    assert "last_activation" not in first
    assert second["pool_after_first"] == {"window": 2, "stride": 2}
    assert second["last_activation"] == "none"
    assert arch.spec_from_json(values) == TEACHER


def test_json_of_older_stages_has_none_of_the_fields():
    values = arch.spec_to_json(arch.named("siamrpnpp-r50"))
    for stage in values["backbone"]["layers"][1:]:
        assert not {"crop", "pool_after_first", "last_activation"} & set(stage)


def test_a_stage_that_its_crops_eat_up_is_refused():
    layers = ConvSpec(4, 3), ResidualSpec(8, 4, 3, crop=4)
    with pytest.raises(InputError, match=r"layer1 has no cell left of an image of 25"):
        Chain(layers).stage_sides(25)
    assert Chain(layers).stage_sides(27)[-1].after == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": -1}, "ResidualSpec.crop=-1: must be a whole number"),
        (
            {"stride": 2, "pool_after_first": PoolSpec(2, 2)},
            "ResidualSpec.stride=2: must be 1 beside pool_after_first",
        ),
    ],
)
def test_fields_that_cannot_be_are_refused_in_words(changes, message):
    with pytest.raises(InputError) as error:
        dataclasses.replace(ResidualSpec(8, 4, 2), **changes)
    assert message in str(error.value)


def test_json_with_an_unknown_activation_names_the_field():
    values = arch.spec_to_json(TEACHER)
    values["backbone"]["layers"][2]["last_activation"] = "gelu"
    with pytest.raises(InputError, match=r"layers\[2\].*last_activation.*'gelu'"):
        arch.spec_from_json(values)


def test_the_students_widths_are_said_to_be_a_fit():
    for name in ("siamdw-l", "siamdw-s"):
        assert "best fit to the printed number of parameters" in arch.NOTES[name]
