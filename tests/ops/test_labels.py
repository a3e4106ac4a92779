import math

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.ops.labels import response_labels, target_labels


@pytest.mark.parametrize("side", [15, 17])
@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_siamfc_has_thirteen_positives_under_either_metric(side, metric):
    labels = response_labels(side, stride=8.0, radius_px=16.0, metric=metric)
    assert labels.shape == (side, side)
    assert labels.dtype == np.float32
    assert np.sum(labels) == 13.0
    assert set(np.unique(labels)) == {0.0, 1.0}


def test_cells_within_the_radius_and_no_others():
    labels = response_labels(8, stride=4.0, radius_px=9.0)
    for u, v in np.ndindex(8, 8):
        # The centre of an even map lies between its cells.
        distance = 4.0 * math.sqrt((u - 3.5) ** 2 + (v - 3.5) ** 2)
        assert labels[u, v] == float(distance <= 9.0)


def test_metrics_differ_at_larger_radii():
    wide = {"stride": 8.0, "radius_px": 24.0}
    # Euclid: 29 cells of radius 3; taxicab: 1 + 2 * 3 * 4 = 25.
    assert np.sum(response_labels(17, **wide)) == 29.0
    assert np.sum(response_labels(17, **wide, metric="l1")) == 25.0


@pytest.mark.parametrize(
    "bad", [{"side": 0}, {"stride": 0.0}, {"radius_px": -1.0}], ids=str
)
def test_numbers_must_be_positive(bad):
    arguments = {"side": 15, "stride": 8.0, "radius_px": 16.0} | bad
    with pytest.raises(InputError, match=f"{next(iter(bad))}=.*must be positive"):
        response_labels(**arguments)


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_labels_are_around_the_cell_of_the_target(side, rounding):
    centres = np.random.default_rng(0).uniform(0, 48, (6, 2)).astype(np.float32)
    found = target_labels(
        side, centres, stride=8.0, search_px=48, radius_px=9.0, rounding=rounding
    )
    places = [24 + 8 * (i - (side - 1) / 2) for i in range(-4, side + 4)]
    for labels, centre in zip(found, centres, strict=True):
        cells = []
        for value in centre:
            if rounding == "nearest":
                near = min(places, key=lambda place: abs(place - value))
            else:
                near = max(place for place in places if place <= value)
            cells.append(places.index(near) - 4)
        for v, u in np.ndindex(side, side):
            distance = abs(u - cells[0]) + abs(v - cells[1])
            assert labels[v, u] == float(distance <= 1), (v, u)


def test_a_target_in_the_middle_has_the_labels_of_the_middle():
    centre = np.float32([[127.5, 127.5]])
    for rounding in ("nearest", "floor"):
        found = target_labels(
            17, centre, stride=8.0, search_px=255, radius_px=16.0, rounding=rounding
        )
        middle = response_labels(17, stride=8.0, radius_px=16.0)
        np.testing.assert_array_equal(found[0], middle)


def test_floored_labels_are_one_cell_to_the_upper_left_of_44_percent():
    # Public crops are moved by whole pixels, -4 to 4.
    shifts = np.arange(-4, 5, dtype=np.float32)
    centres = np.stack([127.5 + shifts, np.full(9, 127.5, np.float32)], axis=-1)
    where = {"stride": 8.0, "search_px": 255, "radius_px": 0.0, "rounding": "floor"}
    columns = np.asarray(target_labels(17, centres, **where))[:, 8].argmax(-1)
    off = columns - 8.0
    assert np.mean(off == -1.0) == pytest.approx(4 / 9)
    assert 8.0 * off.mean() == pytest.approx(-3.5, abs=0.1)
