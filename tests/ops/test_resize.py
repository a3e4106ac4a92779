"""Images and maps of other sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.ops.resize import resized


def test_shrinking_without_smoothing_reads_the_middle_pixels():
    line = jnp.arange(16.0).reshape(1, 4, 4, 1)
    # One of 4 x 4 pixels lies between the middle four.
    np.testing.assert_allclose(resized(line, (1, 1)), (5 + 6 + 9 + 10) / 4)


def test_from_384_to_96_four_of_sixteen_pixels_count():
    reads = jax.grad(lambda x: resized(x, (24, 24)).sum())(jnp.ones((1, 96, 96, 1)))
    block = np.asarray(reads).reshape(24, 4, 24, 4)
    expected = np.zeros((4, 4))
    expected[1:3, 1:3] = 0.25
    np.testing.assert_allclose(block, np.tile(expected[None, :, None], (24, 1, 24, 1)))


def test_equal_sides_compute_nothing():
    image = jnp.ones((1, 3, 5, 2))
    assert resized(image, (3, 5)) is image


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(
    "shape, sides",
    [
        ((384, 96), (96, 384)),
        ((48, 32), (32, 24)),
        ((6, 8), (24, 24)),
        ((5, 7), (3, 9)),
    ],
)
def test_numbers_are_pytorchs(shape, sides, antialias):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    images = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.tensor(images).permute(0, 3, 1, 2),
        size=sides,
        mode="bilinear",
        align_corners=False,
        antialias=antialias,
    )
    found = resized(jnp.asarray(images), sides, antialias=antialias)
    np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1), rtol=0, atol=1e-5)
