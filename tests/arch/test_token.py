"""Transformers of one stream: OSTrack's figures, and what is refused."""

import dataclasses
import re

import pytest

from dst_jax import arch
from dst_jax.arch import AreaCrop, CentreHeadSpec, InputSpec, TokenBackboneSpec
from dst_jax.errors import InputError

# Counted over public code: parameters, multiply-adds as papers count them, those of
# attention's products, and tokens of template and search image.
COUNTED = {
    "ostrack-384": (92_673_669, 65_304_225_792, 9_555_148_800, 144, 576),
    "ostrack-256": (92_366_469, 29_024_100_352, 1_887_436_800, 64, 256),
    "ostrack-192": (92_258_949, 16_326_056_448, 597_196_800, 36, 144),
    "ostrack-128": (92_182_149, 7_256_025_088, 117_964_800, 16, 64),
    "ostrack-96": (92_155_269, 4_081_514_112, 37_324_800, 9, 36),
}
# The same of the others, rounded: parameters, and 10^6 multiply-adds.
ROUNDED = {
    "ostrack-s-128": (25_440_261, 1_966, 59.0),
    "ostrack-ti-128": (7_994_565, 596, 29.5),
    "mini-ostrack-128": (598_453, 173.3, 78.6),
    "mini-ostrack-96": (585_013, 97.5, 24.9),
    "mini-ostrack-64": (575_413, 43.3, 4.9),
    "mini-ostrack-48": (572_053, 24.4, 1.6),
}
# The paper's multiply-adds with elimination, and the search tokens that are left.
ELIMINATING = {
    "ostrack-384-ce": (48.315, (576, 404, 283, 199)),
    "ostrack-256-f4-ce": (21.498, (256, 180, 126, 89)),
}
BASE = arch.named("ostrack-256")


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_and_both_multiply_adds_are_exact(name):
    spec, (parameters, macs, attention, *tokens) = arch.named(name), COUNTED[name]
    cost = arch.tracker_cost(spec)
    assert cost.parameters == parameters
    assert cost.template_macs + cost.search_macs == macs
    assert cost.attention_macs == attention
    assert cost.statistics == 2_880
    sides = spec.input.template_px, spec.input.search_px
    assert [spec.feature_side(px) ** 2 for px in sides] == tokens
    assert cost.response_side**2 == tokens[1]


@pytest.mark.parametrize("name", ROUNDED)
def test_smaller_networks_have_their_sizes(name):
    cost, (parameters, macs, attention) = (
        arch.tracker_cost(arch.named(name)),
        ROUNDED[name],
    )
    assert cost.parameters == parameters
    found = (cost.template_macs + cost.search_macs) / 1e6, cost.attention_macs / 1e6
    assert found == (pytest.approx(macs, abs=0.5), pytest.approx(attention, abs=0.05))


@pytest.mark.parametrize("name", ELIMINATING)
def test_elimination_leaves_the_published_work_and_tokens(name):
    spec, (macs, tokens) = arch.named(name), ELIMINATING[name]
    cost = arch.tracker_cost(spec)
    assert round((cost.template_macs + cost.search_macs) / 1e9, 3) == macs
    left = spec.backbone.cells_left(tokens[0])
    assert (left[2], left[3], left[6], left[9]) == tokens and left[11] == tokens[3]
    whole = dataclasses.replace(spec.backbone, eliminate=())
    assert arch.tracker_cost(dataclasses.replace(spec, backbone=whole)).parameters == (
        cost.parameters
    )


def test_the_parts_of_the_base_have_their_parameters():
    rows = {row.name: row.parameters for row in arch.tracker_cost(BASE).layers}
    assert rows["patch"] == 590_592
    assert rows["block0"] == rows["block11"] == 7_087_872
    assert sum(rows[name] for name in BASE.backbone.blocks) == 85_054_464
    assert rows["norm"] == 1_536
    assert rows["positions"] == (64 + 256) * 768
    assert rows["score"] + rows["offset"] + rows["size"] == 6_474_117


def test_at_256_px_a_network_saves_56_per_cent_of_its_work_at_384():
    small, large = (arch.tracker_cost(arch.named(f"ostrack-{px}")) for px in (256, 384))
    share = (small.template_macs + small.search_macs) / (
        large.template_macs + large.search_macs
    )
    assert round(1 - share, 2) == 0.56


def test_low_resolutions_see_as_much_of_the_frame_as_the_largest():
    for name, spec in arch.ZOO.items():
        if spec.head.one_stream:
            factor = 4.0 if "f4" in name else 5.0
            assert spec.input.crop == AreaCrop(2.0, factor), name
            assert spec.input.search_px == 2 * spec.input.template_px


def test_maps_of_every_block_and_the_last_one_can_be_named():
    maps = arch.named("mini-ostrack-64").maps(64)
    assert [one.name for one in maps[:4]] == ["q0", "k0", "v0", "q1"]
    assert maps[-1] == ("norm", 8, 96, 8)
    assert BASE.levels == ("norm",)
    assert BASE.grid(256)[1:] == (16, 16, 256)


def test_blocks_are_dropped_the_more_often_the_later_they_come():
    rates = TokenBackboneSpec(8, 5, 2, drop_path=0.2).drop_rates
    assert rates == pytest.approx((0.0, 0.05, 0.1, 0.15, 0.2))
    assert TokenBackboneSpec(8, 1, 2).drop_rates == (0.0,)


def test_json_names_the_kinds_and_gives_the_architecture_again():
    for name in ("ostrack-384-ce", "mini-ostrack-48"):
        spec = arch.named(name)
        values = arch.spec_to_json(spec)
        assert values["backbone"]["kind"] == "token"
        assert values["head"] == {"kind": "centre", "features": spec.head.features}
        assert arch.spec_from_json(values) == spec


def test_a_spec_without_a_stem_of_convolutions_keeps_its_json_and_identity():
    values = arch.spec_to_json(arch.named("mini-ostrack-96"))
    assert "stem" not in values["backbone"]
    # As recorded before there was a choice of stems.
    assert arch.spec_id(arch.named("mini-ostrack-96")) == (
        "e158aca200ab48634fc3d9519c39b9b06733f84e51dd65b03524ff77b6a519ed"
    )
    assert arch.spec_id(BASE) == (
        "645d453e939baf4c9dffbe2f203f3495763d3a2043f47b846d7e78eee465a27c"
    )


def test_a_prior_survives_json_and_half_is_left_out():
    assert "prior" not in arch.spec_to_json(BASE)["head"]
    assert arch.with_prior(BASE, 0.5) == BASE
    spec = arch.with_prior(BASE, 0.1)
    assert arch.spec_to_json(spec)["head"]["prior"] == 0.1
    assert arch.spec_from_json(arch.spec_to_json(spec)) == spec
    assert arch.spec_id(spec) != arch.spec_id(BASE)
    assert arch.tracker_cost(spec) == arch.tracker_cost(BASE)


def test_a_stem_of_convolutions_survives_json_under_an_identity_of_its_own():
    spec = arch.with_conv_stem(arch.named("mini-ostrack-96"))
    values = arch.spec_to_json(spec)
    assert values["backbone"]["stem"] == "conv"
    assert arch.spec_from_json(values) == spec
    assert arch.spec_id(spec) != arch.spec_id(arch.named("mini-ostrack-96"))


def test_a_stem_of_convolutions_costs_its_layers_and_nothing_else_changes():
    plain = arch.named("mini-ostrack-96")
    whole, before = (
        arch.tracker_cost(spec) for spec in (arch.with_conv_stem(plain), plain)
    )
    kernels = [9 * 3 * 24, 9 * 24 * 48, 9 * 48 * 96, 96 * 96]
    # Scales and shifts of three normalisations, and the linear layer's biases.
    vectors = 2 * (24 + 48 + 96) + 96
    patch, others = whole.layers[0], whole.layers[1:]
    assert patch.parameters == sum(kernels) + vectors == 62_136
    for macs, px in ((patch.search_macs, 96), (patch.template_macs, 48)):
        sides = [px // 2, px // 4, px // 8, px // 8]
        pairs = zip(kernels, sides, strict=True)
        assert macs == sum(count * side**2 for count, side in pairs)
    assert patch.statistics == 2 * (24 + 48 + 96)
    assert others == before.layers[1:]
    # A linear layer of 8 x 8 pixels has 192 x 96 weights and 96 biases.
    assert whole.parameters - 62_136 == before.parameters - 18_528
    assert whole.attention_macs == before.attention_macs
    assert whole.response_side == before.response_side == 12


def tokens(**changes):
    return lambda: dataclasses.replace(BASE.backbone, **changes)


def crops(**changes):
    given = dataclasses.replace(BASE.input, **changes)
    return lambda: dataclasses.replace(BASE, input=given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (tokens(heads=7), "TokenBackboneSpec.width=768: must divide into 7 heads"),
        (tokens(depth=0), "TokenBackboneSpec.depth=0: must be a whole number from 1"),
        (tokens(drop_path=1.0), "TokenBackboneSpec.drop_path=1.0: must lie in"),
        (tokens(width=24_000), "TokenBackboneSpec.width=24000: the blocks' kernels"),
        (tokens(eliminate=((12, 0.7),)), "there are blocks 0 to 11"),
        (tokens(eliminate=((-1, 0.7),)), "there are blocks 0 to 11"),
        (tokens(eliminate=((6, 0.7), (3, 0.7))), "name blocks once, in their order"),
        (tokens(eliminate=((3, 0.7), (3, 0.7))), "name blocks once, in their order"),
        (tokens(eliminate=((3, 0.0),)), "must be above 0, up to 1, so that a token is"),
        (tokens(eliminate=((3, 1.5),)), "must be above 0, up to 1, so that a token is"),
        (lambda: CentreHeadSpec(20), "features=20: must be a multiple of 8"),
        (
            crops(search_px=250, train_search_px=250),
            "InputSpec.search_px: an image of 250 px does not consist of whole patches "
            "of 16 px; give a multiple of 16.",
        ),
        (
            crops(search_px=320, train_search_px=320),
            "InputSpec.search_px=320: must be twice template_px=128",
        ),
        (
            crops(train_search_px=272),
            "InputSpec.train_search_px=272: must be search_px=256, for which positions",
        ),
        (
            lambda: arch.TrackerSpec(BASE.backbone),
            "TrackerSpec.backbone: a head of SiamFC reads what a Chain gives, not a "
            "TokenBackboneSpec.",
        ),
        (
            lambda: arch.TrackerSpec(arch.named("tiny").backbone, CentreHeadSpec()),
            "a head of OSTrack reads what a TokenBackboneSpec gives, not a Chain.",
        ),
        (
            lambda: dataclasses.replace(
                BASE,
                backbone=dataclasses.replace(BASE.backbone, patch=1),
            ),
            "128 x 128 patches of an image of 128 px attend to each other",
        ),
        (lambda: arch.scale_widths(BASE, 0.5), "the backbone is a transformer"),
        (lambda: arch.with_widths(BASE, [1]), "the backbone is a transformer"),
        (lambda: arch.with_bias(BASE), "a head of OSTrack has no bias"),
        (
            tokens(stem="conv", patch=12),
            "TokenBackboneSpec.patch=12: must be a power of 2 from 2 on",
        ),
        (
            tokens(stem="conv", patch=1),
            "TokenBackboneSpec.patch=1: must be a power of 2 from 2 on",
        ),
        (
            tokens(stem="conv", width=780),
            "TokenBackboneSpec.width=780: must be a multiple of 8, because each",
        ),
        (
            lambda: arch.with_conv_stem(arch.named("tiny")),
            "A stem of convolutions needs a transformer",
        ),
        (
            lambda: arch.with_prior(arch.named("tiny"), 0.1),
            "a head of SiamFC has no prior to set",
        ),
        (
            lambda: arch.with_prior(BASE, 1.0),
            "CentreHeadSpec.prior=1.0: must be between 0 and 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=re.escape(message)) as said:
        make()
    assert "\n" not in str(said.value)


def test_json_with_a_block_that_is_no_number_is_refused():
    values = arch.spec_to_json(arch.named("ostrack-256-f4-ce"))
    values["backbone"]["eliminate"][0] = [3.5, 0.7]
    with pytest.raises(InputError, match=r"spec\.backbone\.eliminate\[0\]\[0\]=3\.5"):
        arch.spec_from_json(values)


def test_json_with_an_unknown_stem_is_refused():
    values = arch.spec_to_json(arch.named("mini-ostrack-48"))
    values["backbone"]["stem"] = "linear"
    with pytest.raises(InputError, match=r"stem.*linear"):
        arch.spec_from_json(values)


def test_an_input_of_area_crops_survives_json_with_its_factor():
    spec = arch.named("ostrack-256-f4")
    assert arch.spec_to_json(spec)["input"]["area"] == {"template": 2.0, "search": 4.0}
    assert isinstance(spec.input, InputSpec)
