"""Boxes and Gaussian maps of a centre head."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.ops.centre import (
    best_boxes,
    cells_in_boxes,
    centre_maps,
    clamped_sigmoid,
    gaussian_radius,
)


def test_probabilities_stay_off_0_and_1():
    found = clamped_sigmoid(jnp.array([-50.0, 0.0, 50.0, jnp.log(3.0)]))
    np.testing.assert_allclose(found, [1e-4, 0.5, 0.9999, 0.75], rtol=1e-6)


def random_answers(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 6, 6)), rng.uniform(size=(5, 6, 6, 4))


def test_the_box_is_that_of_the_best_cell():
    response, offsets = random_answers()
    expected = []
    for one, values in zip(response, offsets, strict=True):
        row, column = np.unravel_index(one.argmax(), one.shape)
        x, y, w, h = values[row, column]
        expected.append([(column + x) / 6, (row + y) / 6, w, h])
    with jax.enable_x64(True):
        found = best_boxes(jnp.asarray(response), jnp.asarray(offsets))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_gradient_of_a_box_reaches_the_offsets_of_one_cell():
    response, offsets = (jnp.asarray(x, jnp.float32) for x in random_answers())
    scores, boxes = jax.grad(lambda r, o: best_boxes(r, o).sum(), argnums=(0, 1))(
        response, offsets
    )
    np.testing.assert_array_equal(scores, 0.0)
    touched = np.any(np.asarray(boxes) != 0.0, axis=-1)
    best = np.asarray(response == response.max(axis=(1, 2), keepdims=True))
    np.testing.assert_array_equal(touched, best)
    np.testing.assert_allclose(boxes.sum(axis=(1, 2)), [[1 / 6, 1 / 6, 1, 1]] * 5)


def test_of_equal_scores_the_first_counts():
    offsets = jnp.zeros((1, 2, 2, 4))
    response = jnp.array([[[0.0, 1.0], [1.0, 1.0]]])
    np.testing.assert_array_equal(best_boxes(response, offsets), [[0.5, 0, 0, 0]])


def test_cells_lie_in_a_box_by_their_middle():
    # Middles at .125, .375, .625, .875: from .37 to .63 there are two in x.
    box = jnp.array([[0.5, 0.125, 0.26, 0.25], [0.5, 0.5, 0.0, 1.0]])
    found = np.asarray(cells_in_boxes(box, (4, 4)))
    expected = np.zeros((4, 4), bool)
    expected[0, 1:3] = True
    np.testing.assert_array_equal(found[0], expected)
    assert not found[1].any()


def literal_radius(width, height, t=0.7):
    """The three roots, each divided by 2."""
    total, area = width + height, width * height
    first = (total + np.sqrt(total**2 - 4 * (1 - t) / (1 + t) * area)) / 2
    second = (2 * total + np.sqrt(4 * total**2 - 16 * (1 - t) * area)) / 2
    third = np.sqrt(4 * t**2 * total**2 + 16 * t * (1 - t) * area)
    return min(first, second, (third - 2 * t * total) / 2)


def literal_map(box, side, *, lose):
    """The Gaussian as public code draws it: a square stamp, cut at the map's edge."""
    out = np.zeros((side, side))
    cx, cy, w, h = (side * np.asarray(box, np.float64)).tolist()
    radius = int(literal_radius(w, h))
    sigma = (2 * radius + 1) / 6
    column, row = round(cx), round(cy)  # Python rounds halves to even
    if not lose:
        column, row = min(column, side - 1), min(row, side - 1)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if 0 <= row + dy < side and 0 <= column + dx < side:
                out[row + dy, column + dx] = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    return out


def test_the_radius_is_the_smallest_of_three_roots_divided_by_2():
    sides = np.random.default_rng(0).uniform(0.1, 20.0, size=(50, 2))
    with jax.enable_x64(True):
        found = gaussian_radius(jnp.asarray(sides))
    expected = [literal_radius(*one) for one in sides]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # A square of 10 cells: (-28 + sqrt(1120)) / 2.
    np.testing.assert_allclose(gaussian_radius(jnp.array([10.0, 10.0])), 2.7332, 1e-4)


@pytest.mark.parametrize("side", [6, 24])
@pytest.mark.parametrize("peak", ["inside", "public"])
def test_maps_equal_the_stamp_of_public_code(side, peak):
    rng = np.random.default_rng(1)
    boxes = np.concatenate(
        [rng.uniform(0.05, 0.95, size=(40, 2)), rng.uniform(0.05, 0.9, size=(40, 2))],
        axis=-1,
    )
    with jax.enable_x64(True):
        found = centre_maps(jnp.asarray(boxes), side, peak=peak)
    expected = [literal_map(box, side, lose=peak == "public") for box in boxes]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_halves_are_rounded_to_the_even_cell():
    boxes = jnp.array([[0.625, 0.375, 0.1, 0.1]])  # 2.5 and 1.5 of 4 cells
    np.testing.assert_array_equal(
        jnp.argwhere(centre_maps(boxes, 4)[0] == 1.0), [[2, 2]]
    )


def test_a_centre_in_the_last_half_cell_is_kept_or_lost():
    boxes = jnp.array([[0.94, 0.5, 0.9, 0.9]])  # 7.52 of 8 cells
    kept = centre_maps(boxes, 8)[0]
    assert kept[4, 7] == 1.0 and (kept == 1.0).sum() == 1
    lost = centre_maps(boxes, 8, peak="public")[0]
    assert lost.max() < 1.0 and lost[4, 7] > 0.0


@pytest.mark.parametrize("side, lost", [(24, 0.0), (10, 0.0), (8, 0.028), (6, 0.073)])
def test_the_share_of_lost_centres_is_that_of_the_public_windows(side, lost):
    # Centres lie up to .45 of the crop from its middle, uniformly.
    rng = np.random.default_rng(2)
    centres = rng.uniform(0.05, 0.95, size=(20_000, 2)).astype(np.float32)
    boxes = jnp.asarray(np.concatenate([centres, 0.0 * centres + 0.2], axis=-1))
    found = centre_maps(boxes, side, peak="public")
    share = 1.0 - np.mean(np.asarray(found).max(axis=(1, 2)) == 1.0)
    np.testing.assert_allclose(share, lost, atol=0.004)


def test_another_peak_is_refused():
    refused = pytest.raises(InputError, match=r"peak=.edge.: must be \"inside\" or")
    with refused:
        inspect.unwrap(centre_maps)(jnp.ones((1, 4)), 4, peak="edge")
