"""Crops: the two rules, their place in a spec's JSON, and the widest of several."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.arch import AreaCrop, ContextCrop, InputSpec, Zoom, check_views, widest
from dst_jax.arch.crops import context_side
from dst_jax.errors import InputError

AREA = InputSpec(128, 256, 256, area=AreaCrop(template=2.0, search=4.0))
WIDE_AREA = InputSpec(192, 384, 384, area=AreaCrop(template=2.0, search=5.0))
# The first 12 digits of the identities of all architectures: bundles state them.
IDS = {
    "siamfc-alexnet": "c1a68558a40e",
    "siamfc-alexnet-ungrouped": "0eb4ce632e2f",
    "siamfc-half": "68b551868ad9",
    "dstfc": "ae4480199738",
    "siamfc-w40": "d37de38e24cf",
    "siamfc-w45": "4f04a9f0d4a4",
    "siamfc-w50": "68b551868ad9",
    "siamfc-w55": "4c4f9057edba",
    "siamrpn-big": "c2c8a24fba7d",
    "siamrpn": "018d001e8afc",
    "dstrpn": "85b3d5514504",
    "siamrpn-w40": "06524b74cbce",
    "siamrpn-w45": "6c5c0646b386",
    "siamrpn-w50": "018d001e8afc",
    "siamrpn-w55": "0ea8dde153a1",
    "siamrpn-depthwise": "f8537e95a40a",
    "mini": "4311c4b83637",
    "mini-half": "0ba8731eb0dc",
    "mini-dull": "2e0fc3622201",
    "mini-siamrpn": "143c9710f9b6",
    "mini-siamrpn-half": "c2e6a06512ae",
    "mini-siamrpn-dull": "a9dede823a03",
    "tiny": "00f29619706a",
    "tiny-siamrpn": "affe3952a88c",
    "siamrpnpp-r50": "a122ad762244",
    "siamrpnpp-r18": "cb98fb2df7cd",
    "siamrpnpp-r34": "12275b04be5b",
    "siamrpnpp-big": "5709f6fac0cf",
    "siamrpnpp-big-wide": "e2e7f7a8a897",
    "mini-siamrpnpp-big": "42b7056c887c",
    "mini-siamrpnpp-r50": "9ef7089c066d",
    "mini-siamrpnpp-r18": "24b96a2c1ab4",
    "tiny-siamrpnpp": "c3b779e90216",
    "siamdw": "c11ecd21ec05",
    "siamdw-l": "01e25833afdf",
    "siamdw-s": "4809d9d09236",
    "siamdw-half": "8ab22445767f",
    "siamdw-rpn": "57eee32bc5c0",
    "mini-siamdw": "01d9ca39d929",
    "mini-siamdw-l": "ecad376dc60a",
    "mini-siamdw-s": "3364ec443848",
    "tiny-siamdw": "4e6b60890443",
    "ostrack-384": "5e7a27180ad1",
    "ostrack-256": "645d453e939b",
    "ostrack-192": "a4b8a11d3f2b",
    "ostrack-128": "d63ae460af5a",
    "ostrack-96": "dc11897a141c",
    "ostrack-s-384": "e365e35145f7",
    "ostrack-s-256": "bc06aaf46a26",
    "ostrack-s-192": "68f06e6fec06",
    "ostrack-s-128": "d7193864ba59",
    "ostrack-s-96": "6bb3b29e3064",
    "ostrack-ti-384": "7ab56c3698a5",
    "ostrack-ti-256": "9639b8aac36d",
    "ostrack-ti-192": "64b0dc0d2ce9",
    "ostrack-ti-128": "7b52b5afe26b",
    "ostrack-ti-96": "48d7aa6d364c",
    "ostrack-256-f4": "d921d0a7f156",
    "ostrack-256-f4-ce": "2106c69ba927",
    "ostrack-384-ce": "7c25225089c7",
    "mini-ostrack-128": "ac4cecdfe6d1",
    "mini-ostrack-96": "e158aca200ab",
    "mini-ostrack-64": "6791d04386e1",
    "mini-ostrack-48": "628e4d5dcd9a",
}


@pytest.mark.parametrize("xp", [np, jnp])
def test_context_side_by_hand(xp):
    # w = 30, h = 10, p = .5: margin 20, sqrt(50 * 30) = 38.7298...
    side = context_side(xp.array([[30.0, 10.0]]), context=0.5)
    np.testing.assert_allclose(side, [np.sqrt(1500.0)], rtol=1e-6)
    assert isinstance(side, type(xp.ones(1)))
    plain = context_side(xp.array([30.0, 10.0]), context=0.0)
    np.testing.assert_allclose(plain, np.sqrt(300.0), rtol=1e-6)


@pytest.mark.parametrize("xp", [np, jnp])
def test_each_rule_says_how_much_of_the_frame_each_crop_covers(xp):
    wh = xp.array([[30.0, 10.0], [20.0, 20.0]])
    context = InputSpec(template_px=100, search_px=250, train_search_px=200)
    np.testing.assert_allclose(context.template_side(wh), [1500**0.5, 40], rtol=1e-6)
    np.testing.assert_allclose(
        context.search_side(wh), [2.5 * 1500**0.5, 100], rtol=1e-6
    )
    # 2 sqrt(300) = 34.64 and 4 sqrt(300) = 69.28, of which the next whole numbers.
    np.testing.assert_array_equal(AREA.template_side(wh), [35, 40])
    np.testing.assert_array_equal(AREA.search_side(wh), [70, 80])


def test_the_scale_of_one_target_is_pixels_over_frame_pixels():
    # s_z = 40, and 2 sqrt(w h) = 40.
    assert Zoom(px=127, context=0.5).scale(20.0, 20.0) == 127 / 40
    assert Zoom(px=128, context=0.0, factor=2.0).scale(40.0, 10.0) == 128 / 40
    zooms = InputSpec(template_px=127, search_px=255).zooms
    assert zooms.template == zooms.search == Zoom(127, 0.5)
    assert AREA.zooms == (Zoom(128, 0.0, 2.0), Zoom(256, 0.0, 4.0))


def test_identities_stay_what_bundles_state():
    assert {name: arch.spec_id(arch.named(name))[:12] for name in arch.ZOO} == IDS


def test_json_names_the_rule_only_where_it_is_by_area():
    spec = arch.named("tiny")
    assert "area" not in arch.spec_to_json(spec)["input"]
    assert spec.input.crop == ContextCrop(0.5)
    area = dataclasses.replace(
        spec, input=dataclasses.replace(spec.input, area=AreaCrop(2.0, 4.0))
    )
    values = arch.spec_to_json(area)
    assert values["input"]["area"] == {"template": 2.0, "search": 4.0}
    again = arch.spec_from_json(values)
    assert again == area and again.input.crop == AreaCrop(2.0, 4.0)
    assert arch.spec_id(area) != arch.spec_id(spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AreaCrop(template=0.0), "AreaCrop.template=0.0: must lie in [0.001, "),
        (lambda: AreaCrop(search=-1.0), "AreaCrop.search=-1.0: must lie in [0.001, "),
        (lambda: ContextCrop(-0.5), "ContextCrop.context=-0.5: must lie in [0, 1,000]"),
        (lambda: Zoom(0, 0.5), "Zoom.px=0: must be a whole number from 1 to 2,048"),
        (lambda: Zoom(9, 0.5, factor=0.0), "Zoom.factor=0.0: must lie in [0.001, "),
        (
            lambda: InputSpec(context=0.3, area=AreaCrop()),
            "InputSpec.context=0.3: has no meaning beside area",
        ),
    ],
)
def test_a_bad_rule_is_named(make, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def sides(input):
    return input.template_px, input.search_px, input.train_search_px


def test_the_widest_of_equal_crops_is_the_first_network_s_own():
    first = InputSpec(scale=2.0)
    assert widest({"a": first, "b": InputSpec()}) is first
    assert widest({"a": AREA, "b": AREA}) is AREA


def test_the_widest_has_the_largest_scale_and_the_widest_field_of_view():
    small = InputSpec(template_px=63, search_px=143, train_search_px=125)
    both = {"large": InputSpec(), "small": small}
    found = widest(both)
    # 143 * 127 / 63 = 288.3, 125 * 127 / 63 = 251.98: rounded up to odd sides.
    assert sides(found) == (127, 289, 253)
    assert widest(dict(reversed(both.items()))) == found
    sharper = InputSpec(template_px=127, search_px=271, train_search_px=271)
    assert widest({"a": InputSpec(), "b": sharper}) is sharper


def test_the_widest_crops_by_area_have_a_scale_for_each_image():
    # 64 and 96 px per sqrt(w h) in the template; 64 and 76.8 in the search crop.
    assert widest({"small": AREA, "wide": WIDE_AREA}) is WIDE_AREA
    # Searched over 6 sqrt(w h) at 30 px: 6 * 76.8 = 460.8, to the parity of 384.
    far = InputSpec(30, 180, 180, area=AreaCrop(template=1.0, search=6.0))
    found = widest({"far": far, "wide": WIDE_AREA})
    assert sides(found) == (192, 462, 462)
    assert found.area is not None and found.area.template == 2.0
    assert found.area.search == pytest.approx(462 / 76.8)


def test_networks_of_two_rules_are_refused_in_one_line():
    for other in (AREA, InputSpec(context=0.3)):
        with pytest.raises(InputError, match=r"small is cropped by .*, big by") as said:
            check_views({"big": InputSpec(), "small": other})
        assert "\n" not in str(said.value)
    check_views({"a": AREA, "b": WIDE_AREA})
