import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import InputSpec
from dst_jax.errors import InputError
from dst_jax.ops.augment import AugmentConfig, augment, centre_crops, patch_sides

INPUT = InputSpec(template_px=39, search_px=79, train_search_px=71)
STILL = AugmentConfig(stretch=0.0, search_shift_px=0.0)
WILD = AugmentConfig(
    stretch=0.1,
    scale=0.1,
    template_shift_px=2.0,
    search_shift_px=5.0,
    flip=0.5,
    grey=0.5,
    brightness=0.2,
    search_stretch=0.15,
    colour=1.0,
    blur=0.5,
    blur_px=9,
)
# Colours as in SiamDW.
JITTERY = dataclasses.replace(WILD, grey=0.0, brightness=0.0, colour=0.0, jitter=0.05)
BACKGROUND, OBJECT = 40, 200


def painted_patch(side, box_wh):
    """A bright box in the middle of a dark patch; exact at fractional borders."""

    def cover(extent):
        low, high = 0.5 * (side - extent), 0.5 * (side + extent)
        edges = np.arange(side)
        return np.clip(np.minimum(edges + 1, high) - np.maximum(edges, low), 0.0, 1.0)

    share = np.outer(cover(box_wh[1]), cover(box_wh[0]))[..., None]
    patch = BACKGROUND + (OBJECT - BACKGROUND) * share
    return np.broadcast_to(np.round(patch), (side, side, 3)).astype(np.uint8)


def painted_box(crop):
    """cx, cy, w, h of the bright box in a crop, from its pixels alone."""
    share = (np.asarray(crop)[..., 0] - BACKGROUND) / (OBJECT - BACKGROUND)
    columns, rows = share.max(axis=0), share.max(axis=1)
    at = np.arange(len(share)) + 0.5
    centre = [(at * p).sum() / p.sum() for p in (columns, rows)]
    return np.array([*centre, columns.sum(), rows.sum()])


def make_batch(config, *, batch=8, box_wh=(16.0, 12.0), texture=False):
    sides = patch_sides(INPUT, config)
    patches = [painted_patch(side, box_wh) for side in sides]
    patches = [np.repeat(p[None], batch, axis=0) for p in patches]
    if texture:
        rng = np.random.default_rng(0)
        patches = [rng.integers(0, 256, p.shape, dtype=np.uint8) for p in patches]
    fill = np.full((batch, 3), 90.0, np.float32)
    middle = 0.5 * sides[1]
    return {
        "search_box": np.tile(np.float32([middle, middle, *box_wh]), (batch, 1)),
        "template_patch": patches[0],
        "search_patch": patches[1],
        "template_fill_rgb": fill,
        "search_fill_rgb": fill,
        "mask": np.ones(batch, np.float32),
        "is_negative": np.arange(batch) % 2 == 1,
        "index": np.arange(100, 100 + batch, dtype=np.int32),
    }


def augmented(config, batch, *, seed=3, **options):
    # Most of these tests compile; those of one configuration and size share a program.
    run = jax.jit(augment, static_argnames=("input", "config", "dtype"))
    crops = run(jax.random.key(seed), batch, input=INPUT, config=config, **options)
    return jax.tree.map(np.asarray, crops)


def centred(batch, **options):
    run = jax.jit(centre_crops, static_argnames=("input", "search_px"))
    return jax.tree.map(np.asarray, run(batch, input=INPUT, **options))


def test_without_augmentation_the_crops_are_slices_of_the_patches():
    batch = make_batch(WILD, batch=32, texture=True)
    plain, middle = augmented(STILL, batch), centred(batch)
    for name, px in (("template", 39), ("search", 71)):
        patch = batch[f"{name}_patch"]
        margin = (patch.shape[1] - px) // 2
        inner = slice(margin, margin + px)
        expected = patch[:, inner, inner].astype(np.float32)
        assert patch.shape[1] == px + 2 * margin
        for crops in (plain, middle):
            # Sample positions are rounded to 1e-5 px, neighbours differ by up to 255.
            np.testing.assert_allclose(getattr(crops, name), expected, atol=0.01)


def test_validation_can_use_the_tracking_size():
    batch = make_batch(WILD)
    crops = jax.eval_shape(lambda: centre_crops(batch, input=INPUT, search_px=79))
    assert crops.search.shape == (8, 79, 79, 3)


def test_shift_moves_the_search_crop_and_not_the_template():
    config = dataclasses.replace(STILL, search_shift_px=3.0)
    crops = augmented(config, make_batch(config, batch=64))
    moved = np.array([painted_box(c)[:2] - 35.5 for c in crops.search])
    assert np.all(np.abs(moved) <= 3.0 + 0.02)
    # 64 uniform draws of each axis come near both ends.
    assert np.all(moved.min(axis=0) < -2.0) and np.all(moved.max(axis=0) > 2.0)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.4
    for crop in crops.template:
        np.testing.assert_allclose(painted_box(crop)[:2], 19.5, atol=0.02)


def test_stretch_scales_sides_independently_about_the_centre():
    config = dataclasses.replace(STILL, stretch=0.05)
    crops = augmented(config, make_batch(config, batch=64))
    for maps, centre in ((crops.template, 19.5), (crops.search, 35.5)):
        boxes = np.array([painted_box(c) for c in maps])
        np.testing.assert_allclose(boxes[:, :2], centre, atol=0.05)
        factors = boxes[:, 2:] / [16.0, 12.0]
        assert np.all((factors > 0.945) & (factors < 1.055))
        assert np.all(factors.min(axis=0) < 0.97)
        assert np.all(factors.max(axis=0) > 1.03)
        assert abs(np.corrcoef(factors.T)[0, 1]) < 0.4


def test_scale_is_common_to_both_sides():
    config = dataclasses.replace(STILL, scale=0.4)
    crops = augmented(config, make_batch(config, batch=32))
    boxes = np.array([painted_box(c) for c in crops.search])
    # Sampling measures a side of 12 px to a fifth of a pixel or so.
    np.testing.assert_allclose(boxes[:, 2] / boxes[:, 3], 16.0 / 12.0, rtol=0.06)
    # The object grows by the factor; the window shrinks by it.
    factors = boxes[:, 2] / 16.0
    assert 0.59 < factors.min() < 0.68 and 1.32 < factors.max() < 1.41


def test_everything_at_once_keeps_the_object_near_the_centre_and_needs_no_fill():
    config = dataclasses.replace(
        WILD, grey=0.0, brightness=0.0, colour=0.0, blur=0.0, search_stretch=0.2
    )
    config = dataclasses.replace(config, stretch=0.2)
    batch = make_batch(config, batch=64)
    for name in ("template_fill_rgb", "search_fill_rgb"):
        batch[name] = np.full((64, 3), 1e6, np.float32)
    crops = augmented(config, batch)
    for maps, centre, shift in ((crops.template, 19.5, 2.0), (crops.search, 35.5, 5.0)):
        assert np.max(maps) <= OBJECT + 0.5
        boxes = np.array([painted_box(c) for c in maps])
        assert np.all(np.abs(boxes[:, :2] - centre) <= shift + 0.05)
        factors = boxes[:, 2:] / [16.0, 12.0]
        assert np.all((factors > 0.8 * 0.9 - 0.02) & (factors < 1.2 * 1.1 + 0.02))


def test_the_box_of_the_search_crop_follows_the_object():
    config = dataclasses.replace(
        STILL, stretch=0.2, scale=0.1, search_shift_px=9.0, flip=0.5
    )
    crops = augmented(config, make_batch(config, batch=64))
    seen = np.array([painted_box(crop) for crop in crops.search])
    np.testing.assert_allclose(crops.search_box[:, :2], seen[:, :2], atol=0.1)
    # Sampling measures a side of 12 px to a fifth of a pixel or so.
    np.testing.assert_allclose(crops.search_box[:, 2:], seen[:, 2:], atol=0.4)
    assert np.ptp(crops.search_box[:, 0]) > 10.0
    plain = centred(make_batch(config))
    np.testing.assert_allclose(plain.search_box, [[35.5, 35.5, 16.0, 12.0]] * 8)


def test_search_crops_may_stretch_by_a_range_of_their_own():
    config = dataclasses.replace(STILL, search_stretch=0.3)
    crops = augmented(config, make_batch(config, batch=32))
    for crop in crops.template:
        np.testing.assert_allclose(painted_box(crop)[2:], [16.0, 12.0], atol=0.02)
    factors = crops.search_box[:, 2:] / [16.0, 12.0]
    assert factors.min() < 0.8 and factors.max() > 1.2
    # (71 px) / .7 = 101.4 -> 103
    assert patch_sides(INPUT, config) == (39, 103)


def test_windows_can_be_scaled_in_place_of_the_object():
    """The same draws: what one makes larger by a factor the other makes smaller."""
    crop = dataclasses.replace(STILL, scale=0.1, search_stretch=0.15)
    window = dataclasses.replace(crop, scale_of="window")
    batch = make_batch(dataclasses.replace(crop, scale=0.2), batch=64)
    ours, theirs = (augmented(config, batch).search_box for config in (crop, window))
    np.testing.assert_allclose(ours[:, 2:] * theirs[:, 2:], [[256.0, 144.0]] * 64, 1e-5)
    smallest, largest = 16 / (1.1 * 1.15), 16 / (0.9 * 0.85)
    assert np.all((theirs[:, 2] >= smallest) & (theirs[:, 2] <= largest))
    assert theirs[:, 2].min() < 14.5 and theirs[:, 2].max() > 18
    painted = np.array([painted_box(c) for c in augmented(window, batch).search])
    np.testing.assert_allclose(painted, theirs, atol=0.15)


def test_scaled_windows_move_by_pixels_of_the_patch():
    config = dataclasses.replace(
        STILL, search_shift_px=5.0, search_stretch=0.3, scale_of="window"
    )
    boxes = augmented(config, make_batch(config, batch=64)).search_box
    # A pixel of the patch is 1 / size of the object's width in the crop.
    moved = np.abs(boxes[:, :2] - 35.5) * np.array([16.0, 12.0]) / boxes[:, 2:]
    assert np.all(moved <= 5.0 + 1e-4) and moved.max() > 4.8


def test_the_widest_window_of_the_public_recipe_stays_in_its_patch():
    """127.5 x 1.18 + 64 = 214.45 px from the middle of a patch of 511 px."""
    config = AugmentConfig(
        stretch=0.05,
        search_stretch=0.18,
        template_shift_px=4.0,
        search_shift_px=64.0,
        scale_of="window",
    )
    public = InputSpec(template_px=127, search_px=255, train_search_px=255)
    assert patch_sides(public, config) == (143, 429)


def test_flip_mirrors_both_images_of_a_pair_or_neither():
    config = dataclasses.replace(STILL, flip=0.5)
    batch = make_batch(WILD, batch=32, texture=True)
    crops, plain = augmented(config, batch), augmented(STILL, batch)

    def flipped(name):
        now, before = getattr(crops, name), getattr(plain, name)
        same = np.all(np.isclose(now, before, atol=0.02), axis=(1, 2, 3))
        mirrored = np.isclose(now, before[:, :, ::-1], atol=0.02).all(axis=(1, 2, 3))
        assert np.all(same != mirrored)
        return mirrored

    np.testing.assert_array_equal(flipped("template"), flipped("search"))
    assert 8 <= flipped("search").sum() <= 24


def test_grey_is_joint_and_keeps_luma():
    config = dataclasses.replace(STILL, grey=0.5)
    batch = make_batch(config, batch=32, texture=True)
    crops = augmented(config, batch)
    grey = [np.ptp(np.asarray(m), axis=-1).max(axis=(1, 2)) < 1e-3 for m in crops[:2]]
    np.testing.assert_array_equal(grey[0], grey[1])
    assert 8 <= grey[0].sum() <= 24
    first = int(np.argmax(grey[0]))
    patch = batch["template_patch"][first].astype(np.float64)
    luma = 0.299 * patch[..., 0] + 0.587 * patch[..., 1] + 0.114 * patch[..., 2]
    np.testing.assert_allclose(crops.template[first, ..., 1], luma, atol=1e-2)


def test_brightness_is_drawn_per_image_and_clipped():
    config = dataclasses.replace(STILL, brightness=0.5)
    crops = augmented(config, make_batch(config, batch=32))
    factors = [np.asarray(m)[:, 0, 0, 0] / BACKGROUND for m in crops[:2]]
    for factor in factors:
        assert np.all((factor >= 0.5) & (factor <= 1.5)) and np.ptp(factor) > 0.6
    assert abs(np.corrcoef(factors)[0, 1]) < 0.5
    assert np.max(crops.search) == 255.0


def test_jitter_is_drawn_per_image_and_leaves_the_box_alone():
    config = dataclasses.replace(STILL, jitter=0.5)
    batch = make_batch(config, batch=32)
    crops, still = augmented(config, batch), augmented(STILL, batch)
    # The ground's change: dark grey, so that nothing is clipped there.
    grounds = [np.asarray(m)[:, 0, 0, 0] / BACKGROUND for m in crops[:2]]
    for ground in grounds:
        assert np.ptp(ground) > 0.6
    assert abs(np.corrcoef(grounds)[0, 1]) < 0.5
    assert np.min(crops.search) >= 0.0 and np.max(crops.search) <= 255.0
    np.testing.assert_array_equal(crops.search_box, still.search_box)


@pytest.mark.parametrize("config", [WILD, JITTERY], ids=["wild", "jittery"])
def test_an_example_looks_the_same_wherever_it_stands_in_whatever_batch(config):
    batch = make_batch(config, texture=True)
    whole = augmented(config, batch)
    order = np.array([5, 2, 7])
    some = augmented(config, {name: array[order] for name, array in batch.items()})
    for all_rows, rows in zip(*map(jax.tree.leaves, (whole, some)), strict=True):
        np.testing.assert_array_equal(all_rows[order], rows)


def test_examples_and_keys_differ():
    batch = make_batch(WILD)
    crops, other = augmented(WILD, batch), augmented(WILD, batch, seed=4)
    assert np.any(crops.search[0] != crops.search[1])
    assert np.any(crops.search[0] != other.search[0])


@pytest.mark.slow  # eager, each of a hundred operations is compiled alone
def test_compiled_equals_eager():
    batch = make_batch(WILD, batch=2, texture=True)
    eager = augment(jax.random.key(3), batch, input=INPUT, config=WILD)
    both = eager, augmented(WILD, batch)
    for one, two in zip(*map(jax.tree.leaves, both), strict=True):
        # Rounding of the sample positions, times differences of up to 255.
        np.testing.assert_allclose(one, two, atol=0.02)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtypes_flags_and_range(dtype):
    crops = augmented(WILD, make_batch(WILD, texture=True), dtype=dtype)
    assert crops.template.dtype == crops.search.dtype == dtype
    assert crops.mask.dtype == crops.is_negative.dtype == jnp.float32
    np.testing.assert_array_equal(crops.is_negative, np.arange(8) % 2)
    for maps in crops[:2]:
        assert np.min(maps) >= 0.0 and np.max(maps) <= 255.0


@pytest.mark.parametrize(("fill", "colour"), [("mean", 90.0), ("zero", 0.0)])
def test_beyond_a_patch_that_is_too_small_lies_the_fill(fill, colour):
    config = dataclasses.replace(STILL, fill=fill)
    batch = make_batch(config)
    batch["search_patch"] = batch["search_patch"][:, 10:-10, 10:-10]
    crops = augmented(config, batch)
    np.testing.assert_allclose(crops.search[:, 0, 0], colour, atol=1e-3)
    np.testing.assert_allclose(painted_box(crops.search[0])[:2], 35.5, atol=0.5)


def test_patch_sides_have_the_parity_of_the_crops():
    assert patch_sides(INPUT, STILL) == (39, 71)
    # 39 / .95 = 41.05 -> 43; (71 + 6) / .95 = 81.05 -> 83
    assert patch_sides(INPUT, AugmentConfig()) == (43, 83)
    even = InputSpec(template_px=40, search_px=80, train_search_px=72)
    assert patch_sides(even, AugmentConfig()) == (44, 84)


@pytest.mark.parametrize(
    "bad",
    [
        {"stretch": 1.0},
        {"scale": -0.1},
        {"search_shift_px": -1.0},
        {"template_shift_px": float("nan")},
        {"flip": 1.5},
        {"grey": -0.5},
        {"brightness": 1.0},
        {"search_stretch": 1.0},
        {"colour": -1.0},
        {"blur": 2.0},
        {"blur_px": 44},
        {"blur_px": 3},
        {"jitter": 0.6},
    ],
    ids=str,
)
def test_a_bad_field_is_named_with_its_value(bad):
    ((field, value),) = bad.items()
    with pytest.raises(InputError, match=f"AugmentConfig.{field}={value}: must "):
        AugmentConfig(**bad)


def test_either_image_can_be_mirrored_by_itself():
    """A joint flip and then one of each image, all of probability a half."""
    count = 400
    left = np.zeros((1, 39, 39, 3), np.uint8)
    left[:, :, :19] = 200
    side = np.zeros((1, 71, 71, 3), np.uint8)
    side[:, :, :35] = 200
    batch = {
        "template_patch": np.tile(left, (count, 1, 1, 1)),
        "search_patch": np.tile(side, (count, 1, 1, 1)),
        "search_box": np.tile(np.float32([20.0, 35.0, 9.0, 9.0]), (count, 1)),
        "template_fill_rgb": np.zeros((count, 3), np.float32),
        "search_fill_rgb": np.zeros((count, 3), np.float32),
        "is_negative": np.zeros(count, bool),
        "mask": np.ones(count, np.float32),
        "index": np.arange(count, dtype=np.int32),
    }
    config = dataclasses.replace(STILL, flip=0.5, flip_each=0.5)
    found = jax.jit(
        lambda batch: augment(jax.random.key(0), batch, input=INPUT, config=config)
    )(batch)
    template, search = (
        np.asarray(crop)[:, 0, 0, 0] == 0.0 for crop in (found.template, found.search)
    )
    for first in (False, True):
        for second in (False, True):
            # A quarter of 400, within four deviations of a binomial.
            assert 65 < np.sum((template == first) & (search == second)) < 135
    centre = np.asarray(found.search_box)[:, 0]
    np.testing.assert_allclose(centre, np.where(search, 71.0 - 20.0, 20.0))
