"""Random colours against plain NumPy."""

import colorsys
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.ops import colour
from dst_jax.ops.colour import blurred, jittered, tinted, turned

HEIGHT, WIDTH = 30, 24
CROP = np.random.default_rng(0).uniform(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32)


@functools.cache
def many(longest_px, probability, count=64):
    """The same crop under the first of 64 keys."""
    keys = jax.random.split(jax.random.key(1), 64)[:count]
    crops = np.stack([CROP] * count)
    run = functools.partial(blurred, probability=probability, longest_px=longest_px)
    return np.asarray(jax.jit(run)(keys, crops))


def line_means(length):
    """Means over `length` rows and over `length` columns, mirrored at the border."""
    half = length // 2
    rows, columns = (
        np.pad(CROP.astype(np.float64), pad, mode="reflect")
        for pad in (((half, half), (0, 0), (0, 0)), ((0, 0), (half, half), (0, 0)))
    )
    return (
        np.mean([rows[i : i + HEIGHT] for i in range(length)], axis=0),
        np.mean([columns[:, i : i + WIDTH] for i in range(length)], axis=0),
    )


def test_a_blur_blends_running_means_along_rows_and_columns():
    lengths = set()
    for crop in many(11, 1.0):
        fits = []
        for length in (5, 7, 9, 11):
            one, two = line_means(length)
            # The blend's share by least squares; the right length leaves no rest.
            share = ((crop - two) * (one - two)).sum() / ((one - two) ** 2).sum()
            rest = np.abs(share * one + (1 - share) * two - crop).max()
            fits.append((rest, length, share))
        rest, length, share = min(fits)
        assert rest < 0.01 and -1e-3 <= share <= 1.0 + 1e-3
        lengths.add(length)
    assert lengths == {5, 7, 9, 11}


def test_crops_are_blurred_as_often_as_asked_and_each_by_its_own_key():
    found, every = many(11, 0.25), many(11, 1.0)
    same = [np.array_equal(crop, CROP) for crop in found]
    # 48 of 64 on average, with a standard deviation of 3.5.
    assert 36 <= sum(same) <= 60
    for crop, unchanged, blurred_always in zip(found, same, every, strict=True):
        assert unchanged or np.array_equal(crop, blurred_always)
    # Whether a crop is chosen does not depend on the others either.
    np.testing.assert_array_equal(many(11, 0.25, count=20), found[:20])


def test_a_blur_reaches_no_farther_than_the_mirror_image():
    keys, crops = jax.random.split(jax.random.key(0), 2), np.stack([CROP, CROP])
    assert blurred(keys, crops, probability=1.0, longest_px=47).shape == crops.shape
    with pytest.raises(InputError, match="up to 49 px: crops of 24 px allow 47"):
        blurred(keys, crops, probability=1.0, longest_px=49)


def test_a_tint_is_one_offset_per_channel_with_the_published_spread():
    grey = np.full((2, 2, 3), 128.0, np.float32)
    keys = jax.random.split(jax.random.key(2), 4000)
    offsets = 128.0 - np.asarray(
        jax.jit(jax.vmap(lambda key: tinted(key, grey, amount=0.5)))(keys)
    )
    assert np.ptp(offsets, axis=(1, 2)).max() == 0.0
    offsets = offsets[:, 0, 0]
    matrix = np.array(
        [
            [-0.55919361, 0.98062831, -0.41940627],
            [1.72091413, 0.19879334, -1.82968581],
            [4.64467907, 4.73710203, 4.88324118],
        ]
    )
    # Covariance of matrix times independent standard normal numbers.
    expected = 0.25 * matrix @ matrix.T
    deviation = np.sqrt(np.diag(expected))
    error = np.abs(np.cov(offsets.T) - expected) / np.outer(deviation, deviation)
    assert error.max() < 0.1
    np.testing.assert_allclose(offsets.mean(axis=0), 0.0, atol=0.3)


def test_a_tint_stays_in_range():
    bright = np.full((2, 2, 3), 254.0, np.float32)
    keys = jax.random.split(jax.random.key(2), 50)
    found = jax.jit(jax.vmap(lambda key: tinted(key, bright)))(keys)
    assert float(found.max()) == pytest.approx(255.0)


def hues_turned(crop, turn):
    """Pixel by pixel, with the standard library."""
    out = np.zeros(crop.shape)
    for place in np.ndindex(crop.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(crop[place] / 255.0))
        out[place] = colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)
    return 255.0 * out


@pytest.mark.parametrize("turn", [0.0, 0.05, -0.3, 0.5])
def test_hues_are_turned_as_the_standard_library_turns_them(turn):
    crop = np.float32([[[200, 30, 90], [10, 250, 250], [77, 77, 77], [0, 0, 0]]])
    crop = np.concatenate([CROP[:1, :6], crop], axis=1)
    np.testing.assert_allclose(turned(crop, turn), hues_turned(crop, turn), atol=1e-3)


def changed_in_order(crop, order, factors, turn):
    """Brightness, contrast, saturation (0, 1, 2) and hue (3), one after another."""
    crop = crop.astype(np.float64)
    for kind in order:
        luma = crop @ [0.299, 0.587, 0.114]
        if kind == 3:
            crop = hues_turned(crop, turn)
            continue
        aim = [0.0, luma.mean(), luma[..., None]][kind]
        share = factors[kind]
        crop = np.clip(share * crop + (1 - share) * aim, 0.0, 255.0)
    return crop


def test_four_changes_follow_one_another_in_any_order(monkeypatch):
    # So strong that values are clipped and each order has its own result.
    factors, turn, crop = [1.5, 0.6, 1.7], 0.07, CROP[:3, :4]
    monkeypatch.setattr(colour, "factor", lambda *_: jnp.array(factors, jnp.float32))
    monkeypatch.setattr(jax.random, "uniform", lambda *_, **__: jnp.float32(turn))
    keys = jax.random.split(jax.random.key(3), 600)
    found = np.asarray(jax.jit(jax.vmap(lambda k: jittered(k, crop, spread=0.1)))(keys))
    orders = list(itertools.permutations(range(4)))
    wanted = np.stack([changed_in_order(crop, o, factors, turn) for o in orders])
    apart = np.abs(found[:, None] - wanted).max((2, 3, 4))
    assert np.all(apart.min(1) < 0.01)
    counts = np.bincount(apart.argmin(1), minlength=24)
    # 25 of 600 for each order on average, with a standard deviation of 5.
    assert counts.min() >= 8 and counts.max() <= 45


def test_jitter_stays_within_its_spread():
    # Contrast, saturation and hue leave a grey crop alone.
    grey = np.full((2, 2, 3), 100.0, np.float32)
    keys = jax.random.split(jax.random.key(0), 200)
    found = np.asarray(jax.vmap(lambda k: jittered(k, grey, spread=0.05))(keys))
    assert 95.0 <= found.min() < 95.5 and 104.5 < found.max() <= 105.0
