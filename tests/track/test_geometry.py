import numpy as np
import pytest

from dst_jax.track import geometry


@pytest.mark.parametrize(("cells", "factor"), [(17, 16), (5, 3)])
def test_upsampling_equals_opencv_cubic(cells, factor):
    cv2 = pytest.importorskip("cv2")
    response = np.random.default_rng(0).normal(size=(cells, cells)).astype(np.float32)
    matrix = geometry.upsampling_matrix(cells, factor)
    side = cells * factor
    expected = cv2.resize(response, (side, side), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(matrix @ response @ matrix.T, expected, atol=2e-5)


def test_upsampling_keeps_constants():
    rows = geometry.upsampling_matrix(7, 4).sum(axis=1)
    np.testing.assert_allclose(rows, 1.0, rtol=1e-6)


def test_displacement_by_hand():
    # 16 samples right of the centre, 8 px per 16 samples, 2 frame px per search px.
    shift = geometry.displacement(
        np.array([135.5 + 16.0, 135.5 - 4.0]),
        middle=135.5,
        px_per_sample=0.5,
        frame_px_per_search_px=np.array(2.0),
    )
    np.testing.assert_allclose(shift, [16.0, -4.0])
