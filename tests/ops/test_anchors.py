import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.ops import anchors as module
from dst_jax.ops.anchors import (
    AnchorConfig,
    AssignConfig,
    anchor_grid,
    assign,
    decode,
    encode,
)

SIDE, SEARCH_PX = 19, 271
# Width and height of SiamRPN's anchors, ratios .33, .5, 1, 2, 3.
SIZES = ((104, 32), (88, 40), (64, 64), (40, 80), (32, 96))

TARGETS = [
    (135.5, 135.5, 64, 64),
    (135.5, 135.5, 56, 70),  # 18 positives
    (63.5, 63.5, 64, 64),  # on the corner cells
    (207.5, 63.5, 33, 95),
    (207.5, 207.5, 88, 41),
    (2.0, 3.0, 50, 50),  # mostly outside the map
    (135.5, 135.5, 4, 4),  # too small for any anchor
    (135.5, 135.5, 0, 0),
    (math.nan, math.nan, math.nan, math.nan),
    *np.random.default_rng(0).uniform((70, 70, 30, 30), (200, 200, 110, 110), (11, 4)),
]
DISTRACTORS = [
    (135.5, 135.5, 64, 64),
    (63.5, 63.5, 40, 40),  # corner cells
    (207.5, 63.5, 40, 40),
    (271.0, 271.0, 10, 10),  # off the map
    (-500.0, 135.0, 10, 10),
    *np.random.default_rng(1).uniform((60, 60, 20, 20), (210, 210, 90, 90), (7, 4)),
]
BOXES = np.array([*TARGETS, *DISTRACTORS], np.float32)
IS_NEGATIVE = np.arange(len(BOXES)) >= len(TARGETS)
POSITIVE_PAIRS, NEGATIVE_PAIRS = (
    np.flatnonzero(~IS_NEGATIVE),
    np.flatnonzero(IS_NEGATIVE),
)


def grid64():
    """The grid in float64, from the facts alone."""
    grid = np.zeros((SIDE, SIDE, 5, 4))
    for row, column, a in np.ndindex(SIDE, SIDE, 5):
        centre = 135 - 72 + 8 * column + 0.5, 135 - 72 + 8 * row + 0.5
        grid[row, column, a] = (*centre, *SIZES[a])
    return grid


def overlap(a, b):
    """IoU of two centre boxes; a box without area overlaps nothing."""
    if not (b[2] > 0 and b[3] > 0):
        return 0.0
    sides = [
        min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2)
        - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)
        for i in (0, 1)
    ]
    inter = max(sides[0], 0.0) * max(sides[1], 0.0)
    return inter / (a[2] * a[3] + b[2] * b[3] - inter)


@functools.cache
def overlaps():
    """IoU of every anchor with every box, [pairs, 19, 19, 5]."""
    grid = grid64()
    out = np.zeros((len(BOXES), *grid.shape[:3]))
    for n, row, column, a in np.ndindex(out.shape):
        out[n, row, column, a] = overlap(grid[row, column, a], BOXES[n].astype(float))
    return out


def window(box):
    """Rows and columns of the 7 x 7 cells, from the rule as pysot states it."""
    ranges = []
    for centre in (float(box[1]), float(box[0])):
        pixel = centre - 0.5  # pysot counts from the centre of the first pixel
        cell = SIDE // 2 + math.ceil((pixel - SEARCH_PX // 2) / 8 + 0.5)
        cell = min(max(cell, 0), SIDE - 1)
        ranges.append(range(max(0, cell - 3), min(SIDE, cell + 4)))
    return ranges


@functools.cache
def compiled(config=AssignConfig()):  # noqa: B008
    grid = anchor_grid(SIDE, SEARCH_PX)

    def one(key, box, is_negative):
        return assign(key, grid, box, is_negative=is_negative, config=config)

    return jax.jit(jax.vmap(one))


@functools.cache
def assigned(seed=0):
    keys = jax.random.split(jax.random.key(seed), len(BOXES))
    return jax.tree.map(np.asarray, compiled()(keys, BOXES, IS_NEGATIVE))


def test_the_anchors_of_a_cell_are_those_of_siamrpn():
    assert AnchorConfig().sizes == SIZES
    grid = np.asarray(anchor_grid(SIDE, SEARCH_PX))
    assert grid.dtype == np.float32
    np.testing.assert_array_equal(grid[4, 11, :, 2:], SIZES)


def test_the_grid_starts_at_minus_72_for_19_cells():
    grid = np.asarray(anchor_grid(19, 0))
    np.testing.assert_array_equal(grid[0, 0, :, :2], np.full((5, 2), -72.0))
    np.testing.assert_array_equal(grid[9, 9, :, :2], np.zeros((5, 2)))
    np.testing.assert_array_equal(grid[18, 18, :, :2], np.full((5, 2), 72.0))


def test_rows_go_down_and_columns_go_right():
    grid = np.asarray(anchor_grid(SIDE, SEARCH_PX))
    np.testing.assert_array_equal(grid[0, 18, 2], (207.5, 63.5, 64, 64))
    np.testing.assert_array_equal(grid[18, 0, 2], (63.5, 207.5, 64, 64))
    np.testing.assert_array_equal(grid, grid64())


@pytest.mark.parametrize(
    "side, search_px, first_pixel", [(17, 255, 63), (19, 271, 63), (21, 287, 63)]
)
def test_the_grid_is_pysots_half_a_pixel_on(side, search_px, first_pixel):
    # search_px // 2 - (side // 2) * 8 = 127 - 64 = 135 - 72 = 143 - 80 = 63
    centres = np.asarray(anchor_grid(side, search_px))[0, :, 0, 0]
    np.testing.assert_array_equal(centres - 0.5, first_pixel + 8 * np.arange(side))


def test_an_even_grid_leans_to_the_upper_left():
    centres = np.asarray(anchor_grid(4, 0))[0, :, 0, 0]
    np.testing.assert_array_equal(centres, (-16, -8, 0, 8))


def test_one_ratio_at_another_scale_and_stride():
    config = AnchorConfig(ratios=(1.0,), scale=4.0, stride=16)
    grid = np.asarray(anchor_grid(3, 100, config=config))
    assert grid.shape == (3, 3, 1, 4)
    np.testing.assert_array_equal(grid[0, 2, 0], (66, 34, 64, 64))


def test_a_box_is_encoded_by_hand():
    anchor, box = np.array([10.0, 20.0, 8.0, 4.0]), np.array([12.0, 19.0, 16.0, 2.0])
    expected = (0.25, -0.25, math.log(2.0), -math.log(2.0))
    code = encode(anchor.astype(np.float32), box.astype(np.float32))
    np.testing.assert_allclose(code, expected, rtol=1e-6)


def test_decoding_inverts_encoding():
    rng = np.random.default_rng(2)
    boxes = rng.uniform((0, 0, 5, 5), (271, 271, 200, 200), (6, 1, 1, 1, 4))
    boxes = np.broadcast_to(boxes, (6, SIDE, SIDE, 5, 4)).astype(np.float32)
    grid = anchor_grid(SIDE, SEARCH_PX)
    there = jax.jit(encode)(grid, boxes)
    np.testing.assert_allclose(
        jax.jit(decode)(grid, there), boxes, rtol=1e-5, atol=1e-4
    )
    eager = decode(grid, encode(grid, boxes))
    np.testing.assert_allclose(eager, boxes, rtol=1e-5, atol=1e-4)


def test_codes_equal_float64_loops():
    rng = np.random.default_rng(3)
    grid, deltas = grid64()[::6, ::6], rng.normal(size=(4, 4, 5, 4))
    boxes = np.zeros(grid.shape)
    for *place, a in np.ndindex(grid.shape[:3]):
        cx, cy, w, h = grid[(*place, a)]
        x, y, u, v = deltas[(*place, a)]
        boxes[(*place, a)] = cx + x * w, cy + y * h, w * math.exp(u), h * math.exp(v)
    with jax.enable_x64(True):
        np.testing.assert_allclose(decode(grid, deltas), boxes, rtol=1e-12)
        np.testing.assert_allclose(encode(grid, boxes), deltas, rtol=1e-9, atol=1e-12)


def test_every_kept_anchor_is_of_its_class_and_no_kind_has_too_many():
    label = assigned().label
    assert label.dtype == np.int32 and set(np.unique(label)) == {-1, 0, 1}
    for n in POSITIVE_PAIRS:
        candidates = (overlaps()[n] > 0.6), (overlaps()[n] < 0.3)
        for kind, of_class, most in ((1, candidates[0], 16), (0, candidates[1], 48)):
            kept = label[n] == kind
            assert not np.any(kept & ~of_class), (n, kind)
            assert kept.sum() == min(most, of_class.sum()), (n, kind)


def test_negatives_may_fill_up_what_positives_leave_of_a_total():
    keys = jax.random.split(jax.random.key(0), len(BOXES))
    config = AssignConfig(positives=16, total=64)
    label = np.asarray(compiled(config)(keys, BOXES, IS_NEGATIVE).label)
    some = [n for n in POSITIVE_PAIRS if np.isfinite(BOXES[n]).all()]
    for n in some:
        positives = min((overlaps()[n] > 0.6).sum(), 16)
        assert (label[n] == 1).sum() == positives
        assert (label[n] == 0).sum() == 64 - positives
    # As without it, a negative pair has no more than its own number.
    assert {(label[n] == 0).sum() for n in NEGATIVE_PAIRS} == {16}


def test_the_boxes_of_this_test_cover_few_many_and_no_positives():
    positives = (overlaps()[POSITIVE_PAIRS] > 0.6).sum(axis=(1, 2, 3))
    assert {0, 9, 18} <= set(positives)


def test_a_square_target_in_the_middle_has_nine_positives():
    # 64 x 64 on itself, moved by one cell: 3584 / 4608 = .78, by one diagonally:
    # 3136 / 5056 = .62, by two: 3072 / 5120 = .6, which is not above .6.
    label = assigned().label[0]
    expected = np.zeros((SIDE, SIDE, 5), bool)
    expected[8:11, 8:11, 2] = True
    np.testing.assert_array_equal(label == 1, expected)


def test_deltas_and_weights_are_those_of_kept_positives():
    label, delta, weight = assigned()
    grid = grid64()
    for n in range(len(BOXES)):
        kept = label[n] == 1
        np.testing.assert_array_equal(weight[n][~kept], 0.0)
        np.testing.assert_array_equal(delta[n][~kept], 0.0)
        for place in zip(*np.nonzero(kept), strict=True):
            cx, cy, w, h = grid[place]
            x, y, u, v = BOXES[n].astype(float)
            code = (x - cx) / w, (y - cy) / h, math.log(u / w), math.log(v / h)
            np.testing.assert_allclose(delta[n][place], code, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(weight[n][place], 1 / kept.sum(), rtol=1e-6)


def test_a_negative_pair_keeps_16_anchors_of_the_window_and_regresses_nothing():
    label, delta, weight = assigned()
    for n in NEGATIVE_PAIRS:
        rows, columns = window(BOXES[n])
        inside = np.zeros((SIDE, SIDE, 5), bool)
        inside[rows.start : rows.stop, columns.start : columns.stop] = True
        kept = label[n] == 0
        assert kept.sum() == 16
        assert not np.any(kept & ~inside)
        assert not np.any(label[n] == 1)
        assert not np.any(delta[n]) and not np.any(weight[n])


def test_the_window_fills_its_seven_by_seven_cells():
    config = AssignConfig(window_negatives=7 * 7 * 5)
    place = np.array([[135.5, 127.5, 9, 9]], np.float32)
    keys = jax.random.split(jax.random.key(0), 1)
    label = np.asarray(compiled(config)(keys, place, np.array([True])).label[0])
    # In the middle ceil(.5) = 1: cell 10; one cell above it ceil(-.5) = 0: cell 9.
    expected = np.zeros((SIDE, SIDE, 5), bool)
    expected[6:13, 7:14] = True
    np.testing.assert_array_equal(label == 0, expected)


def test_a_distractor_in_a_corner_has_the_window_that_is_left():
    config = AssignConfig(window_negatives=7 * 7 * 5)
    places = np.array([[0, 0, 9, 9], [271, 271, 9, 9]], np.float32)
    keys = jax.random.split(jax.random.key(0), 2)
    label = np.asarray(compiled(config)(keys, places, np.array([True] * 2)).label)
    np.testing.assert_array_equal(np.argwhere(label[0, :, :, 0] == 0).max(axis=0), 3)
    np.testing.assert_array_equal(np.argwhere(label[1, :, :, 0] == 0).min(axis=0), 15)
    assert [(part == 0).sum() for part in label] == [4 * 4 * 5] * 2


def test_everything_is_finite_without_a_box():
    keys = jax.random.split(jax.random.key(0), 4)
    boxes = np.array([[np.nan] * 4, [9, 9, 0, 0]] * 2, np.float32)
    label, delta, weight = compiled()(keys, boxes, np.array([False, False, True, True]))
    assert np.all(np.isfinite(delta)) and not np.any(np.asarray(weight))
    counts = [int((part == 0).sum()) for part in np.asarray(label)]
    assert counts == [48, 48, 0, 16]


def test_the_same_key_keeps_the_same_anchors_and_another_does_not():
    again = compiled()(
        jax.random.split(jax.random.key(0), len(BOXES)), BOXES, IS_NEGATIVE
    )
    jax.tree.map(np.testing.assert_array_equal, again, assigned())
    other = assigned(1).label
    for n in range(len(BOXES)):
        assert np.any(other[n] != assigned().label[n])


@pytest.mark.parametrize("n", [3, int(NEGATIVE_PAIRS[1])])
def test_one_pair_outside_jit_is_its_row_of_the_compiled_batch(n):
    key = jax.random.split(jax.random.key(0), len(BOXES))[n]
    grid, absent = anchor_grid(SIDE, SEARCH_PX), bool(IS_NEGATIVE[n])
    alone = assign(key, grid, jnp.asarray(BOXES[n]), is_negative=absent)
    np.testing.assert_array_equal(alone.label, assigned().label[n])
    np.testing.assert_allclose(alone.delta, assigned().delta[n], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone.weight, assigned().weight[n], rtol=1e-6)


def test_flags_may_be_numbers_as_in_a_batch_of_crops():
    keys = jax.random.split(jax.random.key(0), len(BOXES))
    again = compiled()(keys, BOXES, IS_NEGATIVE.astype(np.float32))
    jax.tree.map(np.testing.assert_array_equal, again, assigned())


def test_every_candidate_is_as_likely_as_any_other():
    draws, box = 400, np.array([135.5, 135.5, 70, 70], np.float32)
    keys = jax.random.split(jax.random.key(5), draws)
    boxes = np.broadcast_to(box, (draws, 4))
    label = np.asarray(compiled()(keys, boxes, np.zeros(draws, bool)).label)
    # All of overlap below .3 stand for 48 places: a binomial count each.
    count = (label == 0).sum(axis=0)
    candidates = count[np.vectorize(lambda o: o < 0.3)(overlaps_with(box))]
    share = 48 / len(candidates)
    spread = math.sqrt(draws * share * (1 - share))
    assert abs(candidates.mean() - draws * share) < 1e-9
    assert np.abs(candidates - draws * share).max() < 5 * spread
    assert abs(candidates.std() - spread) < 0.2 * spread


def overlaps_with(box):
    grid, box = grid64(), box.astype(float)
    flat = [overlap(anchor, box) for anchor in grid.reshape(-1, 4)]
    return np.array(flat).reshape(grid.shape[:3])


def test_equal_priorities_let_none_too_many_through(monkeypatch):
    monkeypatch.setattr(
        module.jax.random, "uniform", lambda key, shape: jnp.zeros(shape)
    )
    grid = anchor_grid(SIDE, SEARCH_PX)
    label = assign(jax.random.key(0), grid, jnp.array(BOXES[1])).label
    assert [int((label == kind).sum()) for kind in (1, 0)] == [16, 48]


def test_bounds_and_numbers_are_the_configs():
    config = AssignConfig(
        positive_iou=0.5, negative_iou=0.5, positives=10**6, negatives=10**6
    )
    keys = jax.random.split(jax.random.key(0), 1)
    label = compiled(config)(keys, BOXES[1:2], np.zeros(1, bool)).label[0]
    expected = np.where(overlaps()[1] > 0.5, 1, 0)
    np.testing.assert_array_equal(label, expected)


def test_settings_hash_and_compare_as_values():
    assert hash(AnchorConfig()) == hash(AnchorConfig()) and AssignConfig() == (
        AssignConfig()
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AnchorConfig(stride=0), "AnchorConfig.stride=0: must be at least 1"),
        (lambda: AnchorConfig(scale=0.0), "AnchorConfig.scale=0.0: must be finite"),
        (lambda: AnchorConfig(ratios=()), "ratios=.*: give at least one"),
        (lambda: AnchorConfig(ratios=(1.0, -1.0)), "ratios=.*: give at least one"),
        (lambda: AnchorConfig(ratios=(100.0,)), "ratios=.*a side rounds to 0"),
        (lambda: AssignConfig(positives=0), "AssignConfig.positives=0: must be at"),
        (lambda: AssignConfig(total=16), "total=16: must exceed the 16 positives"),
        (lambda: AssignConfig(window_cells=6), "window_cells=6: must be odd"),
        (lambda: AssignConfig(positive_iou=1.5), r"positive_iou=1.5: must lie in"),
        (lambda: AssignConfig(negative_iou=0.7), "must not exceed positive_iou"),
        (lambda: anchor_grid(0, 271), "side=0: must be at least 1 cell"),
        (lambda: anchor_grid(19, -1), "search_px=-1: must be at least 0"),
    ],
)
def test_wrong_settings_are_refused_with_their_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_grid_of_one_cell_is_refused():
    with pytest.raises(InputError, match="at least 2 x 2"):
        inspect.unwrap(assign)(jax.random.key(0), anchor_grid(1, 127), BOXES[0])
