"""Each network's own view of crops that were cut once, for the widest."""

import dataclasses

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import AreaCrop, InputSpec, widest
from dst_jax.errors import InputError
from dst_jax.ops.examples import Examples, examples_for

LARGE = InputSpec(template_px=63, search_px=127, train_search_px=119)
# Half the scale; its search crop covers 59 of the 59.5 px that LARGE would show there.
HALF = InputSpec(template_px=31, search_px=63, train_search_px=58)


def examples_of(input, template, search, *, box=(40.0, 70.0, 20.0, 10.0)):
    count = len(search)
    return Examples(
        template=jnp.asarray(template, jnp.float32),
        search=jnp.asarray(search, jnp.float32),
        mask=jnp.ones(count),
        is_negative=jnp.zeros(count),
        search_box=jnp.tile(jnp.array(box, jnp.float32), (count, 1)),
        number=jnp.arange(count, dtype=jnp.int32),
        input=input,
    )


def ramps(side):
    """Columns count in the first channel, rows in the second; pixel i has i + 0.5."""
    y, x = np.mgrid[:side, :side] + 0.5
    return np.stack([x, y, 0 * x + 7.0], axis=-1)[None]


def textured(input, *, batch=2):
    rng = np.random.default_rng(0)
    sides = input.template_px, input.train_search_px
    return examples_of(
        input, *(rng.uniform(0, 255, (batch, side, side, 3)) for side in sides)
    )


def viewed(examples, input):
    return jax.jit(examples_for, static_argnames="input")(examples, input=input)


@pytest.mark.parametrize("change", [{}, {"scale": 2.0}, {"search_px": 255}])
def test_a_network_that_sees_the_crops_themselves_adds_no_operation(change):
    examples = textured(LARGE)
    own = dataclasses.replace(LARGE, **change)
    program = jax.make_jaxpr(lambda e: examples_for(e, own))(examples)
    assert program.eqns == []
    seen = examples_for(examples, own)
    assert seen.search is examples.search and seen.input == own


def test_crops_are_static_in_their_convention():
    examples = textured(LARGE)
    assert len(jax.tree.leaves(examples)) == 6
    assert jax.jit(lambda e: e)(examples).input == LARGE
    assert jax.tree.structure(examples) != jax.tree.structure(textured(HALF))


def test_a_smaller_field_of_view_at_one_scale_is_a_slice():
    examples = textured(LARGE)
    own = dataclasses.replace(LARGE, train_search_px=99)
    seen = viewed(examples, own)
    np.testing.assert_array_equal(seen.search, examples.search[:, 10:-10, 10:-10])
    np.testing.assert_array_equal(seen.template, examples.template)
    np.testing.assert_array_equal(seen.search_box, [[30.0, 60.0, 20.0, 10.0]] * 2)
    program = str(jax.make_jaxpr(lambda e: examples_for(e, own))(examples))
    assert "dot_general" not in program and "gather" not in program


def test_a_smaller_field_of_view_of_other_parity_averages_neighbours():
    examples = textured(LARGE)
    own = dataclasses.replace(LARGE, train_search_px=98)
    x = np.asarray(examples.search)
    # 119 - 98 = 21: the view begins 10.5 px within.
    rows = 0.5 * (x[:, 10:108] + x[:, 11:109])
    expected = 0.5 * (rows[:, :, 10:108] + rows[:, :, 11:109])
    np.testing.assert_allclose(viewed(examples, own).search, expected, atol=1e-3)


def test_a_ramp_stays_a_ramp_and_the_box_stays_on_its_pixels():
    seen = viewed(examples_of(LARGE, ramps(63), ramps(119)), HALF)
    zoom = 31 / 63
    # The mean of a triangle that is sampled at pixels lies near its middle, and at the
    # border of a crop it has one side.
    inner, near = slice(3, -3), {"atol": 0.02}
    at = np.arange(58) + 0.5
    expected = (at - 29.0) / zoom + 59.5
    image = np.asarray(seen.search[0])
    np.testing.assert_allclose(image[9, inner, 0], expected[inner], **near)
    np.testing.assert_allclose(image[inner, 9, 1], expected[inner], **near)
    np.testing.assert_allclose(image[..., 2], 7.0, rtol=1e-5)
    template = (np.arange(31) + 0.5 - 15.5) / zoom + 31.5
    np.testing.assert_allclose(seen.template[0, 9, inner, 0], template[inner], **near)
    # Where the ramp reads 40 there the box's centre was, and is.
    cx, cy, w, h = np.asarray(seen.search_box[0])
    np.testing.assert_allclose(np.interp(40.0, expected, at), cx, atol=1e-3)
    np.testing.assert_allclose(np.interp(70.0, expected, at), cy, atol=1e-3)
    np.testing.assert_allclose([w, h], [20 * zoom, 10 * zoom], rtol=1e-6)


def test_the_object_stays_under_its_box():
    search = np.zeros((1, 119, 119, 3))
    search[:, 65:75, 30:50] = 1.0  # x 30..50, y 65..75
    seen = viewed(examples_of(LARGE, ramps(63), search), HALF)
    image = np.asarray(seen.search[0, ..., 0], np.float64)
    at = np.arange(58) + 0.5
    centre = [(image.sum(axis=k) * at).sum() / image.sum() for k in (0, 1)]
    np.testing.assert_allclose(centre, seen.search_box[0, :2], atol=0.02)
    area = np.prod(seen.search_box[0, 2:])
    np.testing.assert_allclose(image.sum(), area, rtol=0.02)


def test_enlarging_equals_opencv():
    examples = textured(InputSpec(31, 62, 62), batch=1)
    seen = viewed(examples, InputSpec(62, 124, 124))
    for name, side in (("template", 62), ("search", 124)):
        small = np.asarray(getattr(examples, name)[0])
        expected = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(getattr(seen, name)[0], expected, atol=0.01)


def test_shrinking_to_a_whole_fraction_equals_triangular_means():
    examples = textured(InputSpec(64, 128, 128), batch=1)
    seen = viewed(examples, InputSpec(32, 64, 64))
    # Half the size: pixels 2i - 1 .. 2i + 2 weigh 1/8, 3/8, 3/8, 1/8.
    x = np.asarray(examples.search[0], np.float64)
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        even, odd = x[2:-2:2], x[3:-1:2]
        x = (x[1:-3:2] + 3 * even + 3 * odd + x[4::2]) / 8
        x = np.moveaxis(x, 0, axis)
    np.testing.assert_allclose(seen.search[0, 1:-1, 1:-1], x, atol=1e-2)


def test_crops_by_area_have_a_scale_of_their_own_in_each_image():
    wide = InputSpec(60, 100, 100, area=AreaCrop(template=3.0, search=5.0))
    own = InputSpec(20, 40, 40, area=AreaCrop(template=2.0, search=4.0))
    assert widest({"wide": wide, "own": own}) is wide
    seen = viewed(examples_of(wide, ramps(60), ramps(100)), own)
    # 20 px per sqrt(w h) become 10 in both; the template shows 40 of 60 px, the
    # search crop 80 of 100.
    for image, side, first in ((seen.template, 20, 10.0), (seen.search, 40, 10.0)):
        expected = first + 2.0 * (np.arange(side) + 0.5)
        np.testing.assert_allclose(image[0, 5, :, 0], expected, atol=2e-3)
    np.testing.assert_allclose(seen.search_box[0], [15.0, 30.0, 10.0, 5.0], rtol=1e-6)


def by_area(px, *, search=5.0):
    return InputSpec(px // 2, px, px, area=AreaCrop(template=2.0, search=search))


@pytest.mark.parametrize("antialias", [None, False, True])
@pytest.mark.parametrize("px", [128, 96, 64])
def test_a_smaller_view_of_the_whole_crop_is_pytorchs(px, antialias):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    examples = textured(by_area(192))
    seen = jax.jit(lambda e: examples_for(e, by_area(px), antialias=antialias))(
        examples
    )
    for name, side in (("template", px // 2), ("search", px)):
        large = torch.tensor(np.asarray(getattr(examples, name)))
        expected = torch.nn.functional.interpolate(
            large.permute(0, 3, 1, 2),
            size=(side, side),
            mode="bilinear",
            align_corners=False,
            antialias=bool(antialias),
        ).permute(0, 2, 3, 1)
        found = np.asarray(getattr(seen, name))
        np.testing.assert_allclose(found, expected, rtol=0, atol=255 * 1e-5)
    zoom = px / 192
    expected = [40 * zoom, 70 * zoom, 20 * zoom, 10 * zoom]
    np.testing.assert_allclose(seen.search_box, [expected] * 2, rtol=1e-6)


def test_part_of_a_crop_by_area_is_not_smoothed_either():
    # At factor 4 the view holds the middle 160 of 200 px, at 80 px two of them each.
    examples = textured(by_area(200), batch=1)
    seen = viewed(examples, by_area(80, search=4.0))
    inner = np.asarray(examples.search[0, 20:180, 20:180], np.float64)
    expected = inner.reshape(80, 2, 80, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(seen.search[0], expected, atol=0.02)


def test_every_network_is_served_from_the_widest():
    inputs = {
        "large": LARGE,
        "half": HALF,
        "far": InputSpec(template_px=40, search_px=140, train_search_px=140),
    }
    examples = textured(widest(inputs))
    for own in inputs.values():
        shapes = jax.eval_shape(lambda e, own=own: examples_for(e, own), examples)
        assert shapes.template.shape == (2, own.template_px, own.template_px, 3)
        side = own.train_search_px
        assert shapes.search.shape == (2, side, side, 3)


def test_crops_keep_their_dtype_and_boxes_float32():
    examples = textured(LARGE)
    template, search = (x.astype(jnp.bfloat16) for x in examples[:2])
    seen = viewed(examples._replace(template=template, search=search), HALF)
    assert seen.template.dtype == seen.search.dtype == jnp.bfloat16
    assert seen.search_box.dtype == jnp.float32


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (dataclasses.replace(LARGE, train_search_px=127), "crops of 119 px hold too"),
        (InputSpec(31, 127, 119), "crops of 119 px hold too little"),
        (dataclasses.replace(LARGE, context=0.4), "the batch is cropped by"),
        (dataclasses.replace(LARGE, area=AreaCrop()), "the batch is cropped by"),
    ],
)
def test_crops_that_do_not_hold_the_view_are_refused_in_one_line(own, message):
    with pytest.raises(InputError, match=message) as said:
        examples_for(textured(LARGE), own)
    assert "\n" not in str(said.value)
