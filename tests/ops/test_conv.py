import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.ops import conv

FORMULATIONS = ("lax", "per_example", "stacked", "im2col")
conv2d = jax.jit(
    conv.conv2d,
    static_argnames=("stride", "padding", "groups", "dilation", "formulation"),
)
max_pool = jax.jit(
    conv.max_pool, static_argnames=("window", "stride", "padding", "formulation")
)
# batch, side, input and output channels, kernel, stride, padding, groups, dilation
CASES = (
    (2, 13, 3, 6, 5, 2, 0, 1, 1),
    (3, 12, 4, 6, 4, 3, 0, 2, 1),
    (1, 7, 4, 4, 3, 1, 1, 2, 1),
    (2, 9, 6, 3, 1, 1, -1, 3, 1),
    (2, 9, 4, 6, 3, 1, 4, 1, 4),
    (2, 12, 4, 6, 3, 2, 1, 2, 2),
    (2, 8, 2, 5, 3, 2, 2, 1, 1),
)


def options_of(case):
    return dict(zip(("stride", "padding", "groups", "dilation"), case[5:], strict=True))


def reference_conv(x, kernel, *, stride, padding, groups, dilation):
    """Loops over output cells and groups in float64."""
    if padding > 0:
        x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    elif padding < 0:
        x = x[:, -padding:padding, -padding:padding]
    taps, _, inputs, outputs = kernel.shape
    side = (taps - 1) * dilation + 1
    rows = (x.shape[1] - side) // stride + 1
    columns = (x.shape[2] - side) // stride + 1
    y = np.zeros((x.shape[0], rows, columns, outputs))
    share = outputs // groups
    for u in range(rows):
        for v in range(columns):
            i, j = u * stride, v * stride
            for g in range(groups):
                patch = x[:, i : i + side : dilation, j : j + side : dilation]
                patch = patch[..., g * inputs : (g + 1) * inputs]
                weights = kernel[..., g * share : (g + 1) * share]
                y[:, u, v, g * share : (g + 1) * share] = np.tensordot(
                    patch, weights, axes=3
                )
    return y


def draw(case, dtype=np.float32):
    batch, side, inputs, outputs, size, _, _, groups, _ = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, side, side, inputs)).astype(dtype)
    kernel = rng.normal(size=(size, size, inputs // groups, outputs)).astype(dtype)
    return x, kernel


@pytest.mark.parametrize("formulation", [*FORMULATIONS, None])
@pytest.mark.parametrize("case", CASES)
def test_conv_equals_a_loop_over_cells(case, formulation):
    x, kernel = draw(case)
    options = options_of(case)
    actual = conv2d(x, kernel, formulation=formulation, **options)
    expected = reference_conv(x.astype(np.float64), kernel, **options)
    assert actual.dtype == jnp.float32
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("formulation", FORMULATIONS[1:])
@pytest.mark.parametrize("case", CASES[:6])
def test_gradients_equal_those_of_lax_in_float64(case, formulation):
    options = options_of(case)
    with jax.enable_x64(True):
        x, kernel = (jnp.asarray(a) for a in draw(case, np.float64))

        def loss(x, kernel, formulation):
            y = conv.conv2d(x, kernel, formulation=formulation, **options)
            return jnp.sum(jnp.sin(y))

        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), static_argnums=2)
        actual, expected = run(x, kernel, formulation), run(x, kernel, "lax")
        for a, e in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-12)


def reference_pool(x, window, stride):
    rows = (x.shape[1] - window) // stride + 1
    columns = (x.shape[2] - window) // stride + 1
    return np.stack(
        [
            np.stack(
                [
                    x[:, u * stride : u * stride + window, v * stride :, :][
                        :, :, :window
                    ].max(axis=(1, 2))
                    for v in range(columns)
                ],
                axis=1,
            )
            for u in range(rows)
        ],
        axis=1,
    )


@pytest.mark.parametrize("formulation", ["lax", "shifted", None])
@pytest.mark.parametrize(
    ("side", "window", "stride"), [(9, 3, 2), (8, 3, 2), (6, 2, 3)]
)
def test_pool_takes_the_largest_of_each_window(side, window, stride, formulation):
    x = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    actual = max_pool(x, window=window, stride=stride, formulation=formulation)
    np.testing.assert_array_equal(actual, reference_pool(x, window, stride))


@pytest.mark.parametrize("formulation", ["lax", "shifted"])
def test_padded_cells_neither_win_nor_receive_a_gradient(formulation):
    # All values are negative, so that a zero in the padding would win.
    x = np.random.default_rng(1).normal(size=(2, 7, 6, 3)).astype(np.float32) - 9.0
    sizes = {"window": 3, "stride": 2, "padding": 1, "formulation": formulation}
    wide = np.full((2, 9, 8, 3), -100.0, np.float32)
    wide[:, 1:-1, 1:-1] = x
    np.testing.assert_array_equal(max_pool(x, **sizes), reference_pool(wide, 3, 2))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(conv.max_pool(x, **sizes))))(x)
    # Each of the 4 x 3 windows of each channel and image hands on its 1.
    assert float(jnp.sum(gradient)) == 4 * 3 * 3 * 2


def test_pool_gradients_equal_those_of_lax_even_at_ties():
    # Few distinct values, so that most windows have ties.
    x = np.random.default_rng(2).integers(0, 3, (2, 9, 10, 4)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=(2, 4, 4, 4)).astype(np.float32)

    def loss(x, formulation):
        y = conv.max_pool(x, window=3, stride=2, formulation=formulation)
        return jnp.sum(y * weights)

    run = jax.jit(jax.grad(loss), static_argnums=1)
    np.testing.assert_allclose(run(x, "shifted"), run(x, "lax"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 2])
def test_each_pass_may_have_its_own_formulation(groups):
    x, kernel, weights = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(jax.random.key(0), 3),
            [(2, 9, 9, 4), (3, 3, 4 // groups, 6), (2, 4, 4, 6)],
            strict=True,
        )
    )

    def loss(x, kernel, formulation):
        options = {"stride": 2, "groups": groups, "formulation": formulation}
        return jnp.sum(conv.conv2d(x, kernel, **options) * weights)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), static_argnums=2)
    mixed = run(x, kernel, ("stacked", "per_example", "im2col"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        mixed,
        run(x, kernel, "lax"),
    )
