import numpy as np
import pytest

from dst_jax.ops.windows import hann


@pytest.mark.parametrize("n", [3, 17, 272])
def test_hann_equals_the_cosine_formula(n):
    line = [0.5 - 0.5 * np.cos(2 * np.pi * i / (n - 1)) for i in range(n)]
    expected = [[a * b for b in line] for a in line]
    window = hann(n)
    assert window.dtype == np.float32
    np.testing.assert_allclose(window, expected, atol=1e-6)
    np.testing.assert_allclose(
        hann(n, norm="sum"), np.array(expected) / np.sum(expected), atol=1e-6
    )


@pytest.mark.parametrize("n", [1, 2])
def test_window_without_interior_is_flat(n):
    np.testing.assert_array_equal(hann(n), np.ones((n, n)))
    np.testing.assert_allclose(hann(n, norm="sum").sum(), 1.0)
