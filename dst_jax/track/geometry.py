"""Maps positions in a response map back to the frame."""

import numpy as np

from dst_jax.typing import Array, Float, Scalar

# This is the cubic kernel's free parameter in OpenCV (INTER_CUBIC).
_CUBIC_A = -0.75


def upsampling_matrix(cells: int, factor: int) -> Float[np.ndarray, "fine cells"]:
    """Returns the matrix M that interpolates `cells` samples to `factor` times as many.

    Row i holds the four weights of sample i at (i + 0.5) / factor - 0.5 cells. The
    outermost cells repeat beyond the border. M R M^T resizes a map R as OpenCV's
    `resize` with INTER_CUBIC (A = -0.75) does.

    Args:
      cells: Number of samples.
      factor: Number of new samples per old one.

    Example:
      >>> upsampling_matrix(2, 1)
      array([[1., 0.],
             [0., 1.]], dtype=float32)
    """
    fine = cells * factor
    at = (np.arange(fine) + 0.5) / factor - 0.5
    low = np.floor(at).astype(int)
    matrix = np.zeros((fine, cells))
    for offset in (-1, 0, 1, 2):
        neighbour = low + offset
        weight = _cubic(np.abs(at - neighbour))
        np.add.at(matrix, (np.arange(fine), np.clip(neighbour, 0, cells - 1)), weight)
    return matrix.astype(np.float32)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Returns Keys' cubic convolution kernel at non-negative distances."""
    a, d = _CUBIC_A, distance
    near = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    far = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    return np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0))


def displacement(
    peak_xy: Float[Array, " 2"],
    *,
    middle: float,
    px_per_sample: float,
    frame_px_per_search_px: Scalar,
) -> Float[Array, " 2"]:
    """Returns the offset (x, y) of a peak from the map's middle, in frame pixels.

    Args:
      peak_xy: Column and row of the peak in the up-sampled map.
      middle: Column and row of the middle, (n - 1) / 2 for n samples a side.
      px_per_sample: Search pixels per sample, the total stride over the up-sampling.
      frame_px_per_search_px: Side of the search window over the side of its crop.
    """
    offset_samples = peak_xy - middle
    return offset_samples * (px_per_sample * frame_px_per_search_px)
