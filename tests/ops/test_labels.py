import math

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.ops.labels import response_labels


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
