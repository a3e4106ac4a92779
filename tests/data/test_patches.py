import numpy as np
import pytest

from dst_jax.arch import Zoom
from dst_jax.data.patches import RolePatch, cut_patch
from dst_jax.errors import InputError


def ramp(height=120, width=160):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x + 50], axis=-1).astype(np.uint8)


def patch_of(patch_px, template_px):
    """A patch in which `template_px` pixels show the target with half its sides."""
    return RolePatch(patch_px, Zoom(template_px, context=0.5))


@pytest.mark.parametrize("template_px", [25, 40, 91])
def test_crop_of_a_ramp_is_the_ramp(template_px):
    box = np.float32([80.3, 61.7, 20, 20])  # s_z = 40
    patch, in_patch, _ = cut_patch(ramp(), box, patch_of(30, template_px))
    scale = template_px / 40.0
    # Continuous coordinates: the colour of pixel i is i, at i + 0.5.
    positions = (np.arange(30) + 0.5 - 15.0) / scale
    expected_x = np.tile(80.3 + positions - 0.5, (30, 1))
    np.testing.assert_allclose(patch[..., 0], expected_x, atol=0.6)
    expected_y = np.tile(61.7 + positions - 0.5, (30, 1)).T
    np.testing.assert_allclose(patch[..., 1], expected_y, atol=0.6)
    expected_box = [15.0, 15.0, 20.0 * scale, 20.0 * scale]
    np.testing.assert_allclose(in_patch, expected_box, rtol=1e-6)


@pytest.mark.parametrize(
    ("centre", "patch_px"), [((80.0, 60.0), 40), ((80.5, 60.5), 41)]
)
def test_integer_aligned_patch_equals_slicing(centre, patch_px):
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    box = np.float32([*centre, 20, 20])
    patch, _, _ = cut_patch(frame, box, patch_of(patch_px, 40))
    x0, y0 = int(centre[0] - patch_px / 2), int(centre[1] - patch_px / 2)
    expected = frame[y0 : y0 + patch_px, x0 : x0 + patch_px]
    np.testing.assert_array_equal(patch, expected)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0])
def test_the_box_in_the_patch_is_where_the_object_is(scale):
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[40:64, 30:70] = 255  # x 30..70, y 40..64
    box = np.float32([50, 52, 40, 24])
    side = np.sqrt((40 + 32) * (24 + 32))
    patch, in_patch, _ = cut_patch(
        frame, box, patch_of(260, round(scale * side)), fill=np.zeros(3, np.float32)
    )
    bright = patch[..., 0].astype(np.float64) / 255.0
    exact = round(scale * side) / side
    np.testing.assert_allclose(bright.sum(), 40 * 24 * exact**2, rtol=0.02)
    centres = np.arange(260) + 0.5
    x = (bright.sum(axis=0) * centres).sum() / bright.sum()
    y = (bright.sum(axis=1) * centres).sum() / bright.sum()
    np.testing.assert_allclose([x, y], in_patch[:2], atol=0.05)
    np.testing.assert_allclose(in_patch[2:], [40 * exact, 24 * exact], rtol=1e-6)


def test_outside_has_the_mean_colour_of_the_frame():
    frame = ramp()
    patch, _, fill = cut_patch(frame, np.float32([0, 0, 20, 20]), patch_of(60, 40))
    np.testing.assert_allclose(fill, frame.mean(axis=(0, 1)), rtol=1e-6)
    assert fill.dtype == np.float32
    np.testing.assert_array_equal(
        patch[:29], np.broadcast_to([80, 60, 50], (29, 60, 3))
    )
    np.testing.assert_array_equal(patch[30:, 30:, 0], np.tile(np.arange(30), (30, 1)))


def test_a_given_fill_is_used():
    red = np.float32([255, 0, 0])
    box = np.float32([-50, -50, 5, 5])
    patch, _, fill = cut_patch(ramp(), box, patch_of(8, 8), fill=red)
    np.testing.assert_array_equal(patch, np.broadcast_to(red, (8, 8, 3)))
    np.testing.assert_array_equal(fill, red)


@pytest.mark.parametrize("box", [[5, 5, 0, 9], [np.nan, 5, 5, 5], [5, 5, -1, 5]])
def test_an_empty_box_is_refused(box):
    with pytest.raises(InputError, match="no target to crop"):
        cut_patch(ramp(), np.float32(box), patch_of(9, 9))


@pytest.mark.parametrize("side", [0, -1, 4097, 10**6])
def test_a_patch_of_an_impossible_side_is_refused(side):
    with pytest.raises(InputError, match=rf"RolePatch.patch_px={side}: must be from 1"):
        patch_of(side, 40)
