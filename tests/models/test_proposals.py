"""Boxes that answers stand for, against plain loops."""

import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import CellAnswer, CentreAnswer, RegionAnswer, proposals
from tests import networks


def test_cells_propose_the_targets_box_around_the_middle_of_the_crop():
    spec, rng = networks.TEACHER, np.random.default_rng(0)
    response = rng.normal(size=(2, 5, 5)).astype(np.float32)
    size = np.float32([[20, 30], [7, 9]])
    found = proposals(spec, CellAnswer(response), search_px=47, size=size)
    assert found.boxes.shape == (2, 25, 4)
    for number, (row, column) in enumerate(np.ndindex(5, 5)):
        # Cells of 4 px; the middle one lies at the middle of 47 px.
        centre = 23.5 + 4 * (column - 2), 23.5 + 4 * (row - 2)
        for example in range(2):
            expected = [*centre, *size[example]]
            np.testing.assert_allclose(found.boxes[example, number], expected)
            score = found.scores[example, number]
            assert score == response[example, row, column]


def test_cells_without_a_known_target_propose_points():
    answer = CellAnswer(np.zeros((1, 5, 5), np.float32))
    found = proposals(networks.TEACHER, answer, search_px=47)
    np.testing.assert_array_equal(found.boxes[..., 2:], 0.0)


def test_regions_propose_their_anchors_moved_and_scaled():
    spec, rng = networks.REGION_TEACHER, np.random.default_rng(1)
    response = rng.normal(size=(2, 5, 5, 3, 2)).astype(np.float32)
    offsets = rng.normal(0, 0.3, (2, 5, 5, 3, 4)).astype(np.float32)
    found = proposals(spec, RegionAnswer(response, offsets), search_px=47)
    assert found.boxes.shape == (2, 75, 4)
    # Sides of 16 px squared at ratios .5, 1 and 2 in whole pixels, times 4.
    sides = (20, 8), (16, 16), (8, 16)
    for number, (row, column, kind) in enumerate(np.ndindex(5, 5, 3)):
        width, height = sides[kind]
        dx, dy, dw, dh = offsets[1, row, column, kind]
        expected = (
            23.5 + 4 * (column - 2) + dx * width,
            23.5 + 4 * (row - 2) + dy * height,
            width * np.exp(dw),
            height * np.exp(dh),
        )
        np.testing.assert_allclose(found.boxes[1, number], expected, rtol=1e-5)
        background, target = np.exp(response[1, row, column, kind].astype(np.float64))
        share = target / (background + target)
        odds = float(found.scores[1, number])
        assert 1 / (1 + np.exp(-odds)) == pytest.approx(share, rel=1e-5)


def test_centres_propose_the_box_of_each_cell_in_pixels():
    spec, rng = arch.named("mini-ostrack-48"), np.random.default_rng(2)
    response = rng.normal(size=(2, 6, 6)).astype(np.float32)
    offsets = rng.uniform(0, 1, (2, 6, 6, 4)).astype(np.float32)
    found = proposals(spec, CentreAnswer(response, offsets), search_px=48)
    for number, (row, column) in enumerate(np.ndindex(6, 6)):
        # Cells of 8 px, whose offsets count from their upper left corner.
        x, y, width, height = offsets[1, row, column]
        expected = 8 * (column + x), 8 * (row + y), 48 * width, 48 * height
        np.testing.assert_allclose(found.boxes[1, number], expected, rtol=1e-5)
        assert found.scores[1, number] == response[1, row, column]
