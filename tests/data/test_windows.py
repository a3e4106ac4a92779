"""Search windows as OSTrack draws them."""

import numpy as np
import pytest

from dst_jax.data.windows import MOST_REDRAWS, WindowConfig, draw_windows
from dst_jax.errors import InputError

COUNT = 20_000
BOX = (500.0, 400.0, 40.0, 10.0)
FRAME = (1000.0, 800.0)
# So large that whole pixels do not show, in a frame that every window lies in.
LARGE, WIDE = (5e5, 4e5, 4000.0, 1000.0), (1e6, 8e5)


def drawn(indices=range(COUNT), *, seed=1, box=BOX, frame=FRAME, **rest):
    count = len(indices)
    settings = {"factor": 5.0, "cells": 24} | rest
    return draw_windows(
        seed, indices, np.tile(box, (count, 1)), np.tile(frame, (count, 1)), **settings
    )


def test_without_spread_the_window_is_the_box_times_the_factor():
    found = drawn(range(3), config=WindowConfig(0.0, 0.0))
    # sqrt(40 * 10) = 20.
    np.testing.assert_array_equal(found.side, 100.0)
    np.testing.assert_array_equal(found.centre, [BOX[:2]] * 3)
    np.testing.assert_allclose(found.box, [[0.5, 0.5, 0.4, 0.1]] * 3, rtol=1e-12)


@pytest.mark.parametrize("scale, deviation", [(0.5, 0.354), (0.25, 0.177)])
def test_sides_are_log_normal_with_the_deviation_of_a_mean_of_two(scale, deviation):
    found = drawn(box=LARGE, frame=WIDE, config=WindowConfig(scale, 0.0))
    logs = np.log(found.side / 10_000)
    np.testing.assert_allclose(logs.mean(), 0.0, atol=0.01)
    np.testing.assert_allclose(logs.std(), deviation, rtol=0.02)
    # A normal distribution has a fourth moment of 3 and 4.6 % beyond two deviations.
    scores = logs / logs.std()
    np.testing.assert_allclose((scores**4).mean(), 3.0, atol=0.2)
    np.testing.assert_allclose((np.abs(scores) > 2.0).mean(), 0.0455, atol=0.006)


@pytest.mark.parametrize("factor, shift", [(5.0, 4.5), (4.0, 3.0)])
def test_the_target_lies_uniformly_within_its_share_of_the_window(factor, shift):
    found = drawn(box=LARGE, frame=WIDE, factor=factor, config=WindowConfig(0.5, shift))
    reach = 0.5 * shift / factor
    away = found.box[:, :2] - 0.5
    assert np.abs(away).max() <= reach + 1e-3
    np.testing.assert_allclose(away.mean(axis=0), 0.0, atol=0.01)
    # A uniform distribution of half-width r has the deviation r / sqrt(3).
    np.testing.assert_allclose(away.std(axis=0), reach / np.sqrt(3.0), rtol=0.02)
    # Axes are drawn apart from each other and from the size.
    numbers = np.stack([*away.T, np.log(found.side)])
    np.testing.assert_allclose(np.corrcoef(numbers), np.eye(3), atol=0.03)


def test_sides_are_whole_pixels_rounded_up():
    found = drawn(range(200))
    np.testing.assert_array_equal(found.side, np.round(found.side))
    # From the box in the window and the ratio of the drawn sides nothing is lost.
    np.testing.assert_allclose(found.box[:, 2] * found.side, 40.0, rtol=1e-12)
    tiny = drawn(range(50), box=(5.0, 5.0, 0.02, 0.02))
    np.testing.assert_array_equal(tiny.side, 1.0)


def test_the_box_is_the_truth_in_the_window():
    found = drawn(range(100))
    corner = found.centre - 0.5 * found.side[:, None]
    np.testing.assert_allclose(
        corner + found.box[:, :2] * found.side[:, None], [BOX[:2]] * 100, rtol=1e-12
    )


def test_a_window_depends_on_seed_and_number_alone():
    whole = drawn(range(40))
    for part in (range(13, 14), range(5, 40, 7), range(39, 40)):
        some = drawn(part)
        for one, all_of in zip(some, whole, strict=True):
            np.testing.assert_array_equal(one, all_of[list(part)])
    assert np.all(drawn(range(40), seed=2).centre != whole.centre)
    assert len(drawn(range(0)).side) == 0


# Half of the target lies beyond the frame's right edge, near its upper right corner.
EDGE = (1000.0, 0.0, 40.0, 10.0)


def test_windows_that_no_cell_sees_the_frame_in_are_redrawn_and_counted():
    found = drawn(range(4000), box=EDGE, cells=4)
    low = found.centre - 0.5 * found.side[:, None]
    # The first middle of four cells lies an eighth of the side within.
    first, last = (low + part * found.side[:, None] for part in (0.125, 0.875))
    assert np.all(first[:, 0] < 1000.0) and np.all(last[:, 1] >= 0.0)
    # In x and in y: U (of 4.5) must leave a middle within: the centre may lie up to
    # 3/8 of 5 sizes beyond the edge, of at most 2.25, so that 1 / 12 is lost of each.
    lost = 1.0 - (1.0 - 1.0 / 12.0) ** 2
    assert abs((found.redraws > 0).mean() - lost) < 0.015
    # And of those again as many.
    np.testing.assert_allclose((found.redraws > 1).mean(), lost**2, atol=0.008)


def test_windows_that_need_no_redraw_are_not_touched_by_those_that_do():
    safe, edge = drawn(range(200)), drawn(range(200), box=EDGE, cells=4)
    once = edge.redraws == 0
    assert 0 < once.sum() < 200
    np.testing.assert_array_equal(edge.side[once], safe.side[once])


def test_a_target_that_no_window_shows_stands_in_the_middle_of_the_last_one():
    found = drawn(range(5), box=(9000.0, 400.0, 40.0, 10.0))
    np.testing.assert_array_equal(found.redraws, MOST_REDRAWS)
    np.testing.assert_array_equal(found.box[:, :2], 0.5)


@pytest.mark.parametrize("field", ["scale", "shift"])
def test_a_negative_spread_is_refused(field):
    with pytest.raises(InputError, match=rf"WindowConfig\.{field}=-1\.0: must lie in"):
        WindowConfig(**{field: -1.0})
