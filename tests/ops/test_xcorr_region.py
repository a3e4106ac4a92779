"""Correlations of region heads against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.ops import xcorr_region

xcorr_up, xcorr_depthwise = (
    jax.jit(function, static_argnames="formulation")
    for function in (xcorr_region.xcorr_up, xcorr_region.xcorr_depthwise)
)
UP = ("conv", "unrolled", "im2col", "matmul")
DEPTHWISE = ("conv", "unrolled", "shifted", "matmul")


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


def up_loop(search, kernels):
    batch, height, width, _ = search.shape
    _, rows, columns, _, outputs = kernels.shape
    found = np.zeros((batch, height - rows + 1, width - columns + 1, outputs))
    for b, u, v, o in np.ndindex(*found.shape):
        window = search[b, u : u + rows, v : v + columns]
        found[b, u, v, o] = np.sum(window * kernels[b % len(kernels), ..., o])
    return found


@pytest.mark.parametrize("templates", [1, 2])
@pytest.mark.parametrize("formulation", UP)
def test_every_kernel_slides_over_its_own_map(formulation, templates):
    search, kernels = arrays((2, 6, 7, 3), (templates, 3, 2, 3, 4))
    with jax.enable_x64(True):
        found = xcorr_up(search, kernels, formulation=formulation)
        np.testing.assert_allclose(found, up_loop(search, kernels), atol=1e-12)


@pytest.mark.parametrize("templates", [1, 2])
@pytest.mark.parametrize("formulation", DEPTHWISE)
def test_every_channel_slides_over_its_own(formulation, templates):
    search, template = arrays((2, 6, 7, 3), (templates, 3, 2, 3))
    with jax.enable_x64(True):
        found = xcorr_depthwise(search, template, formulation=formulation)
    for d in range(3):
        kernels = template[:, :, :, d : d + 1, None]
        want = up_loop(search[..., d : d + 1], kernels)[..., 0]
        np.testing.assert_allclose(found[..., d], want, atol=1e-12)


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("formulation", DEPTHWISE)
def test_depthwise_gradients_are_sums_over_the_cells_that_a_value_meets(
    formulation, side
):
    """Kernels of fewer and of more cells than the result, on a map of 6 x 7."""
    search, template = arrays((2, 6, 7, 3), (2, side, side, 3))
    of_result = arrays((2, 7 - side, 8 - side, 3))[0]

    def loss(x, z):
        found = xcorr_depthwise(x, z, formulation=formulation)
        return jnp.sum(found * of_result)

    want = np.zeros(search.shape), np.zeros(template.shape)
    for b, u, v, i, j, d in np.ndindex(2, 7 - side, 8 - side, side, side, 3):
        of_cell = of_result[b, u, v, d]
        want[0][b, u + i, v + j, d] += of_cell * template[b, i, j, d]
        want[1][b, i, j, d] += of_cell * search[b, u + i, v + j, d]
    with jax.enable_x64(True):
        value, found = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(
            search, template
        )
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    # Linear in the template: its gradient times it is the value.
    np.testing.assert_allclose(value, np.sum(want[1] * template), rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "shape", "formulations"),
    [(xcorr_up, (2, 2, 2, 3, 4), UP), (xcorr_depthwise, (2, 2, 2, 3), DEPTHWISE)],
)
def test_formulations_have_the_same_gradients(function, shape, formulations):
    inputs = arrays((2, 4, 4, 3), shape)
    with jax.enable_x64(True):
        gradients = []
        for formulation in formulations:

            def loss(x, z, how=formulation):
                return jnp.sum(jnp.square(function(x, z, formulation=how)))

            gradients.append(jax.jit(jax.grad(loss, argnums=(0, 1)))(*inputs))
    for other in gradients[1:]:
        for ours, theirs in zip(other, gradients[0], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-10)
    # One entry by a central difference, so that all are not wrong alike.
    step = 1e-6
    moved = [inputs[0].copy() for _ in range(2)]
    moved[0][1, 2, 1, 0] += step
    moved[1][1, 2, 1, 0] -= step
    with jax.enable_x64(True):
        high, low = (float(jnp.sum(jnp.square(function(x, inputs[1])))) for x in moved)
    np.testing.assert_allclose(
        gradients[0][0][1, 2, 1, 0], (high - low) / (2 * step), rtol=1e-6
    )


def test_kernels_larger_than_the_map_are_refused():
    with pytest.raises(InputError, match="larger than the search map"):
        xcorr_up(np.zeros((1, 3, 3, 2)), np.zeros((1, 4, 4, 2, 1)))
    with pytest.raises(InputError, match="larger than the search map"):
        xcorr_depthwise(np.zeros((1, 3, 3, 2)), np.zeros((1, 4, 2, 2)))
