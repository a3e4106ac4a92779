"""Crops that follow the target's area: what they show, from frames and from packs."""

import cv2
import numpy as np
import pytest

from dst_jax.arch import AreaCrop
from dst_jax.data.pairs import Pair
from dst_jax.data.patches import PatchSpec, RolePatch
from dst_jax.data.pipeline import DataConfig, make_numbered_examples
from dst_jax.data.sequence import Sequence
from dst_jax.data.window_reader import WindowReader
from dst_jax.data.windows import WindowConfig, draw_windows
from dst_jax.errors import InputError

WIDTH, HEIGHT = 120, 90
ZOOMS = AreaCrop(2.0, 4.0).zooms(template_px=32, search_px=64)
SPEC = PatchSpec(RolePatch(32, ZOOMS.template), RolePatch(64, ZOOMS.search))
# sqrt(w h) = 16, so that windows of 64 frame pixels have the frame's own pixels.
BOX = (60.0, 45.0, 32.0, 8.0)
STILL = WindowConfig(0.0, 0.0)


def ramp():
    """A frame whose red is the column plus 1 and whose green is the row plus 1."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns + 1, rows + 1, 0 * rows], axis=-1).astype(np.uint8)


def sequence(tmp_path, box=BOX, frame=None, count=2):
    path = str(tmp_path / "frame.png")
    image = ramp() if frame is None else frame
    cv2.imwrite(path, np.ascontiguousarray(image[..., ::-1]))
    boxes = np.tile(np.float32(box), (count, 1))
    return Sequence("one", "one", (path,) * count, boxes, np.ones(count, bool))


def read(target, config=STILL, *, numbers=range(1), seed=3, spec=SPEC):
    reader = WindowReader([target], spec, config, seed=seed, cache_mb=1)
    batch = reader.empty(len(numbers))
    for row, number in enumerate(numbers):
        reader.read_pair(batch, row, Pair(0, 0, 0, 1, False), number)
    return batch


def test_a_window_without_spread_is_the_target_and_its_surroundings(tmp_path):
    found = read(sequence(tmp_path))
    # 64 frame pixels from 60 - 32 and 45 - 32 on.
    expected = ramp()[13:77, 28:92]
    np.testing.assert_array_equal(found["search_patch"][0], expected)
    np.testing.assert_allclose(found["search_box"][0], [32.0, 32.0, 32.0, 8.0])
    # The template's 32 pixels: from 44 and 29 on.
    np.testing.assert_array_equal(found["template_patch"][0], ramp()[29:61, 44:76])
    assert found["redrawn"] == found["narrowed"] == [0.0]


def test_what_lies_outside_of_the_frame_is_black(tmp_path):
    found = read(sequence(tmp_path, (4.0, 88.0, 32.0, 8.0)))
    crop = found["search_patch"][0]
    # Columns -28 to 35, rows 56 to 119 of a frame of 90.
    assert not crop[:, :28].any() and not crop[34:].any()
    np.testing.assert_array_equal(crop[:34, 28:], ramp()[56:90, :36])
    np.testing.assert_array_equal(found["search_fill_rgb"], 0.0)


def test_the_side_of_a_crop_is_a_whole_number_of_frame_pixels(tmp_path):
    # sqrt(15.1 * 15.1) * 4 = 60.4 becomes 61, and 30.2 becomes 31.
    found = read(sequence(tmp_path, (60.0, 45.0, 15.1, 15.1)))
    np.testing.assert_allclose(found["search_box"][0, 2:], 15.1 * 64 / 61, rtol=1e-6)
    np.testing.assert_allclose(found["template_box"][0, 2:], 15.1 * 32 / 31, rtol=1e-6)


def test_random_windows_show_their_place_and_say_where_the_target_is(tmp_path):
    config, numbers = WindowConfig(0.25, 2.0), range(5, 25)
    found = read(sequence(tmp_path), config, numbers=numbers)
    drawn = draw_windows(
        3,
        numbers,
        np.tile(BOX, (20, 1)),
        np.tile((float(WIDTH), float(HEIGHT)), (20, 1)),
        factor=4.0,
        cells=6,
        config=config,
    )
    scales = 64 / drawn.side
    assert len(np.unique(drawn.side)) > 5
    for row, scale in enumerate(scales):
        middles = (np.arange(64) + 0.5) / scale
        x, y = (drawn.centre[row] - 0.5 * drawn.side[row])[:, None] + middles
        inside = (y[:, None] > 1) & (y[:, None] < HEIGHT - 1)
        inside = inside & (x[None] > 1) & (x[None] < WIDTH - 1)
        # Column i of the frame has its middle at i + .5 and the value i + 1.
        red = np.broadcast_to(x[None] + 0.5, (64, 64))
        crop = found["search_patch"][row].astype(float)
        np.testing.assert_allclose(crop[..., 0][inside], red[inside], atol=0.6)
        box = np.array(BOX)
        corner = drawn.centre[row] - 0.5 * drawn.side[row]
        expected = [*((box[:2] - corner) * scale), *(box[2:] * scale)]
        np.testing.assert_allclose(found["search_box"][row], expected, rtol=1e-5)


def test_windows_do_not_depend_on_the_batch(tmp_path):
    config, target = WindowConfig(), sequence(tmp_path)
    whole = read(target, config, numbers=range(6))
    part = read(target, config, numbers=[4])
    for name, values in part.items():
        np.testing.assert_array_equal(values[0], whole[name][4], err_msg=name)


def test_windows_that_see_no_frame_are_counted(tmp_path):
    corner = sequence(tmp_path, (1.0, 1.0, 8.0, 8.0))
    found = read(corner, WindowConfig(0.0, 8.0), numbers=range(50))
    assert 0.0 < found["redrawn"].mean() < 1.0
    assert found["search_patch"].any(axis=(1, 2, 3)).all()


def test_a_stream_of_windows_has_their_notes(tmp_path):
    config = DataConfig(("toy",), windows=WindowConfig(), batch=4)
    examples = make_numbered_examples([sequence(tmp_path)], config, SPEC, seed=3)
    batch = examples.batch(range(4))
    assert batch["search_patch"].shape == (4, 64, 64, 3)
    assert batch["redrawn"].shape == batch["narrowed"].shape == (4,)
    assert batch["index"].tolist() == [0, 1, 2, 3]


def test_windows_cannot_wait_on_the_device():
    with pytest.raises(InputError, match=r'DataConfig.cache=.*must be "host" where'):
        DataConfig(("toy",), windows=WindowConfig(), cache="device")
