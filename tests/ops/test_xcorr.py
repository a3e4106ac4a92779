import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from dst_jax.errors import InputError
from dst_jax.ops.xcorr import default_xcorr_formulation, xcorr, xcorr_same

FORMULATIONS = ("conv", "unrolled", "matmul", "fft")
# search h w, template i j: square, oblong, even, odd, a single cell, equal sizes
SIZES = ((7, 7, 3, 3), (9, 6, 4, 2), (6, 8, 1, 1), (5, 4, 5, 4), (8, 7, 2, 5))


compiled = jax.jit(xcorr, static_argnames="formulation")
compiled_same = jax.jit(xcorr_same, static_argnames="formulation")


def pair(sizes, *, batch=3, templates=None, depth=4):
    h, w, i, j = sizes
    rng = np.random.default_rng(0)
    search = rng.normal(size=(batch, h, w, depth))
    template = rng.normal(size=(templates or batch, i, j, depth))
    return search, template


def scipy_xcorr(search, template):
    """Per example and channel, by SciPy's direct method."""
    maps = []
    for n, image in enumerate(search):
        kernel = template[n if len(template) > 1 else 0]
        # Three-dimensional valid correlation sums over the channels.
        maps.append(scipy.signal.correlate(image, kernel, "valid", "direct")[..., 0])
    return np.stack(maps)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("templates", [None, 1])
@pytest.mark.parametrize("sizes", SIZES)
def test_xcorr_equals_scipy_in_float64(sizes, templates, formulation):
    search, template = pair(sizes, templates=templates)
    with jax.enable_x64(True):
        maps = compiled(search, template, formulation=formulation)
        assert maps.dtype == jnp.float64
        np.testing.assert_allclose(maps, scipy_xcorr(search, template), atol=1e-12)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("sizes", [*SIZES, (5, 5, 6, 7)])
def test_same_size_equals_scipy_on_padded_maps(sizes, formulation):
    search, template = pair(sizes)
    pads = [(0, 0)] + [((s - 1) // 2, s // 2) for s in sizes[2:]] + [(0, 0)]
    expected = scipy_xcorr(np.pad(search, pads), template)
    assert expected.shape == search.shape[:3]
    with jax.enable_x64(True):
        maps = compiled_same(search, template, formulation=formulation)
        np.testing.assert_allclose(maps, expected, atol=1e-12)


def test_six_by_six_template_gets_two_zeros_before_and_three_after():
    search = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4, 0].set(1.0)
    template = jnp.arange(36.0).reshape(1, 6, 6, 1)
    maps = xcorr_same(search, template)
    # Output (u, v) reads search (u + i - 2, v + j - 2): the template's cell (2, 2)
    # meets the one lit search cell in its own place, and (0, 0) two cells further on.
    np.testing.assert_allclose(maps[0, 4, 4], template[0, 2, 2, 0], rtol=1e-6)
    np.testing.assert_allclose(maps[0, 6, 6], template[0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(maps[0, 1, 1], template[0, 5, 5, 0], rtol=1e-6)


def test_row_of_three_against_row_of_two_by_hand():
    search = jnp.array([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1)
    template = jnp.array([10.0, 1.0]).reshape(1, 1, 2, 1)
    # 1*10 + 2*1, 2*10 + 4*1; a convolution proper would flip the template.
    np.testing.assert_allclose(xcorr(search, template)[0, 0], [12.0, 24.0], rtol=1e-6)


@pytest.mark.parametrize("function", [compiled, compiled_same])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_gradients_are_those_of_finite_differences(function, formulation):
    arrays = pair((4, 5, 2, 3), batch=2, depth=2)
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):

        @jax.jit
        def total(search, template):
            maps = function(search, template, formulation=formulation)
            return jnp.sum(maps * jnp.arange(1.0, maps.size + 1).reshape(maps.shape))

        gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(*arrays)
        for number, gradient in enumerate(gradients):
            way = [np.zeros(array.shape) for array in arrays]
            way[number] = 1e-2 * rng.normal(size=gradient.shape)
            ends = [
                total(*(a + sign * w for a, w in zip(arrays, way, strict=True)))
                for sign in (1.0, -1.0)
            ]
            expected = 0.5 * (ends[0] - ends[1])
            np.testing.assert_allclose(
                np.vdot(gradient, way[number]), expected, rtol=1e-9
            )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_keeps_dtype_and_is_the_same_when_compiled(formulation, dtype):
    search, template = (jnp.asarray(a, dtype) for a in pair((7, 7, 3, 3)))
    eager = xcorr(search, template, formulation=formulation)
    whole = compiled(search, template, formulation=formulation)
    assert eager.dtype == whole.dtype == dtype
    atol = 1e-5 if dtype == jnp.float32 else 0.2
    eager, whole = (np.asarray(m, np.float32) for m in (eager, whole))
    np.testing.assert_allclose(eager, whole, atol=atol)


def test_large_templates_go_through_the_fourier_transform():
    assert default_xcorr_formulation((6, 6)) == "matmul"
    assert default_xcorr_formulation((10, 10)) == "matmul"
    assert default_xcorr_formulation((25, 25)) == "fft"


def test_template_larger_than_the_search_map_is_refused():
    with pytest.raises(InputError, match=r"template \(3, 2\) is larger .* \(2, 2\)"):
        xcorr(jnp.zeros((1, 2, 2, 1)), jnp.zeros((1, 3, 2, 1)))
