import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.ops import crop

FILL = np.array([10.0, 120.0, 250.0], np.float32)
FORMULATIONS = ("gather", "matmul")
crop_resize, crop_resize_snapped = (
    jax.jit(function, static_argnames=("out_px", "formulation"))
    for function in (crop.crop_resize, crop.crop_resize_snapped)
)


def reference_crop(image, centre, size, out, fill):
    """Loops in float64: bilinear blend of four pixels, each the frame's or `fill`."""
    height, width, _ = image.shape

    def pixel(i, j):
        inside = 0 <= i < height and 0 <= j < width
        return image[i, j].astype(np.float64) if inside else fill.astype(np.float64)

    result = np.zeros((out, out, 3))
    for v in range(out):
        for u in range(out):
            x = centre[0] + ((u + 0.5) / out - 0.5) * size[0] - 0.5
            y = centre[1] + ((v + 0.5) / out - 0.5) * size[1] - 0.5
            j, i = int(np.floor(x)), int(np.floor(y))
            fx, fy = x - j, y - i
            top = (1 - fx) * pixel(i, j) + fx * pixel(i, j + 1)
            low = (1 - fx) * pixel(i + 1, j) + fx * pixel(i + 1, j + 1)
            result[v, u] = (1 - fy) * top + fy * low
    return result


def frame(seed=0, height=23, width=31):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("formulation", [*FORMULATIONS, None])
@pytest.mark.parametrize(
    ("centre", "size"),
    [
        ((15.0, 11.0), (9.0, 7.5)),
        ((1.3, 21.9), (17.0, 23.0)),
        ((15.5, 11.5), (80.0, 60.0)),
        ((-40.0, 5.0), (6.0, 6.0)),
    ],
)
def test_crop_equals_a_loop_over_pixels(formulation, centre, size):
    image = frame()
    expected = reference_crop(image, centre, size, 12, FILL)
    options = {} if formulation is None else {"formulation": formulation}
    window = np.float32(centre), np.float32(size)
    actual = crop_resize(image, *window, out_px=12, fill=FILL, **options)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, atol=2e-3)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_crop_outside_jit_is_the_compiled_one(formulation):
    window = jnp.array([1.3, 21.9]), jnp.array([17.0, 23.0])
    options = {"out_px": 12, "fill": jnp.asarray(FILL), "formulation": formulation}
    eager = crop.crop_resize(jnp.asarray(frame()), *window, **options)
    assert eager.dtype == jnp.float32
    np.testing.assert_allclose(
        eager, crop_resize(frame(), *window, **options), atol=1e-3
    )


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_negative_width_is_a_mirror(formulation):
    # It reaches over two borders of the frame.
    plain, mirrored = (
        crop_resize(
            frame(),
            np.float32([4.3, 9.8]),
            np.float32([width, 31.0]),
            out_px=12,
            fill=FILL,
            formulation=formulation,
        )
        for width in (17.5, -17.5)
    )
    plain = np.asarray(plain)
    assert np.abs(plain - plain[:, ::-1]).max() > 50
    np.testing.assert_allclose(mirrored, plain[:, ::-1], atol=1e-3)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_crop_of_an_aligned_window_is_a_slice(formulation):
    image = frame(1)
    actual = crop_resize(
        jnp.asarray(image),
        jnp.array([4.0 + 5.0, 6.0 + 5.0]),
        jnp.array([10.0, 10.0]),
        out_px=10,
        fill=jnp.asarray(FILL),
        formulation=formulation,
    )
    np.testing.assert_allclose(actual, image[6:16, 4:14], atol=1e-4)


def test_crop_of_a_ramp_is_the_ramp():
    columns = np.broadcast_to(np.arange(40.0)[None, :, None], (40, 40, 3))
    actual = crop_resize(
        jnp.asarray(columns, jnp.float32),
        jnp.array([20.0, 20.0]),
        jnp.array([10.0, 8.0]),
        out_px=20,
        fill=jnp.zeros(3),
    )
    expected = 15.0 + (np.arange(20) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(actual[7, :, 1], expected, rtol=1e-6)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_canvas_padding_has_no_influence(formulation):
    image = frame(2)
    canvas = np.full((40, 48, 3), 255, np.uint8)
    canvas[:23, :31] = image
    arguments = (jnp.array([28.0, 20.0]), jnp.array([25.0, 25.0]))
    options = {"out_px": 9, "fill": jnp.asarray(FILL), "formulation": formulation}
    alone = crop_resize(jnp.asarray(image), *arguments, **options)
    hw = jnp.array([23, 31])
    padded = crop_resize(jnp.asarray(canvas), *arguments, frame_hw=hw, **options)
    np.testing.assert_allclose(padded, alone, atol=1e-4)
    snapped = [
        crop_resize_snapped(
            jnp.asarray(i), arguments[0], jnp.float32(25), frame_hw=h, **options
        )
        for i, h in ((image, None), (canvas, hw))
    ]
    np.testing.assert_array_equal(*snapped)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_window_off_the_frame_has_the_fill_colour(formulation):
    actual = crop_resize(
        jnp.asarray(frame()),
        jnp.array([-500.0, 1e9]),
        jnp.array([20.0, 20.0]),
        out_px=6,
        fill=jnp.asarray(FILL),
        formulation=formulation,
    )
    np.testing.assert_array_equal(actual, np.broadcast_to(FILL, (6, 6, 3)))


def test_vmap_over_boxes_equals_single_crops():
    image, fill = jnp.asarray(frame(3)), jnp.asarray(FILL)
    centres = jnp.array([[10.0, 8.0], [0.0, 23.0], [31.0, 2.0]])
    sizes = jnp.array([[9.0, 5.0], [14.0, 14.0], [3.0, 30.0]])

    def one(centre, size):
        return crop_resize(image, centre, size, out_px=8, fill=fill)

    batched = np.asarray(jax.jit(jax.vmap(one))(centres, sizes))
    for row, centre, size in zip(batched, centres, sizes, strict=True):
        np.testing.assert_allclose(row, one(centre, size), atol=1e-3)


@pytest.mark.parametrize(
    ("centre", "side", "out"),
    [
        ((60.0, 40.0), 50.4, 127),
        ((12.25, 70.0), 61.5, 127),
        ((60.0, 40.0), 142.5, 63),
        ((118.0, 3.0), 77.0, 95),
        ((31.7, -2.1), 213.0, 79),
        ((64.2, 33.3), 1.0, 5),
        ((64.2, 33.3), 349.8, 79),
    ],
)
def test_snapped_crop_sees_what_opencv_sees(centre, side, out):
    cv2 = pytest.importorskip("cv2")
    image = frame(4, 80, 120)
    pad, whole = 400, int(np.round(side))
    corner = [int(np.round(c - 0.5 - (whole - 1) / 2)) + pad for c in centre]
    border = tuple(map(float, FILL + 0.3))
    wide = cv2.copyMakeBorder(
        image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=border
    )
    patch = wide[corner[1] : corner[1] + whole, corner[0] : corner[0] + whole]
    expected = cv2.resize(patch, (out, out), interpolation=cv2.INTER_LINEAR)
    cut = crop_resize_snapped
    arguments = image, np.array(centre, np.float32), np.float32(side)
    options = {"out_px": out, "fill": FILL + np.float32(0.3)}
    np.testing.assert_array_equal(
        cut(*arguments, formulation="gather", **options), expected
    )
    rounded = np.asarray(cut(*arguments, formulation="matmul", **options))
    difference = np.abs(rounded - expected)
    assert difference.max() <= 1.0
    assert (difference > 0).mean() < 0.2
