"""Crops on which networks are judged."""

import jax
import numpy as np
import pytest

from dst_jax.arch import InputSpec
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import held_out_crops
from tests import networks
from tests.train import setting


@pytest.mark.parametrize("spec", [networks.TEACHER, networks.REGION_TEACHER])
def test_a_smaller_network_is_judged_on_its_view_of_the_widest_crops(spec):
    widest = InputSpec(template_px=62, search_px=126, train_search_px=94)
    batch = setting.make_batch(0, sides=(62, 94))
    crop = jax.jit(lambda b: held_out_crops(spec, b, cut_for=widest))
    found = crop(batch)
    assert found.template.shape == (4, 31, 31, 3)
    assert found.search.shape == (4, 47, 47, 3)
    # Half the scale: the same target, half as large.
    expected = np.concatenate([np.full((4, 2), 23.5), np.tile([8.5, 7.0], (4, 1))], 1)
    np.testing.assert_allclose(found.search_box, expected, rtol=1e-5)


def test_a_smaller_network_is_judged_on_smoothed_views_if_it_learns_from_them():
    """Of 3 x 3 pixels smoothing reads more than the middle one."""
    stripes = setting.make_batch(0, sides=(93, 141))
    for role in ("template", "search"):
        stripes[f"{role}_patch"][:] = 0
        stripes[f"{role}_patch"][:, :, 1::3] = 90
    widest = InputSpec(template_px=93, search_px=189, train_search_px=141)
    spec = networks.TEACHER
    plain, smooth = (
        jax.jit(lambda b, a=a: held_out_crops(spec, b, cut_for=widest, antialias=a))(
            stripes
        )
        for a in (False, True)
    )
    inside = np.asarray(plain.search)[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inside, 90.0, atol=1e-3)
    # A triangle over three pixels to each side gives the middle one a third.
    inside = np.asarray(smooth.search)[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inside, 30.0, atol=1e-3)


def test_a_network_is_judged_on_the_colours_of_the_video():
    windows = AugmentConfig(stretch=0.0, search_shift_px=0.0)
    lively = AugmentConfig(
        stretch=0.0,
        search_shift_px=0.0,
        jitter=0.3,
        brightness=0.3,
        colour=1.0,
        grey=1.0,
    )
    batch, spec = setting.make_batch(0, sides=(31, 47)), networks.REGION_TEACHER
    plain, same = (
        jax.jit(lambda b, w=w: held_out_crops(spec, b, windows=w).search)(batch)
        for w in (windows, lively)
    )
    np.testing.assert_array_equal(plain, same)


def test_a_network_alone_is_judged_on_the_crops_themselves():
    batch = setting.make_batch(0, sides=(31, 47))
    crop = jax.jit(lambda b: held_out_crops(networks.TEACHER, b).search)
    np.testing.assert_allclose(crop(batch), batch["search_patch"], atol=1e-3)
