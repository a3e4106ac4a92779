import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from dst_jax.data.frames import FrameCache, frame_paths, read_frame
from dst_jax.errors import InputError


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


def write_shades(folder, count):
    shades = [np.full((4, 4), i, np.uint8) for i in range(count)]
    return [str(write(folder / f"{i}.png", s)) for i, s in enumerate(shades)]


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_colours_come_back_in_rgb_order(tmp_path):
    red_in_bgr = np.zeros((4, 4, 3), np.uint8)
    red_in_bgr[..., 2] = 200
    frame = read_frame(write(tmp_path / "a.png", red_in_bgr))
    assert frame[0, 0].tolist() == [200, 0, 0]
    assert frame.dtype == np.uint8


def test_grey_gives_three_equal_channels(tmp_path, rgb):
    frame = read_frame(write(tmp_path / "a.png", rgb[..., 0]))
    for channel in range(3):
        np.testing.assert_array_equal(frame[..., channel], rgb[..., 0])


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    pixels = np.array([[0, 257, 65535, 32896]], np.uint16)
    frame = read_frame(write(tmp_path / "a.png", pixels))
    assert frame[0, :, 1].tolist() == [0, 1, 255, 128]


def test_sixteen_bit_colour_keeps_its_channels(tmp_path):
    pixels = np.zeros((2, 2, 3), np.uint16)
    pixels[..., 0] = 65535  # blue
    assert read_frame(write(tmp_path / "a.png", pixels))[0, 0].tolist() == [0, 0, 255]


def test_alpha_is_dropped(tmp_path, rgb):
    bgra = np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 7, np.uint8)])
    np.testing.assert_array_equal(read_frame(write(tmp_path / "a.png", bgra)), rgb)


def test_a_missing_frame_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.jpg cannot be read"):
        read_frame(tmp_path / "gone.jpg")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_unopened(tmp_path, make):
    make(tmp_path / "a.jpg")
    code = f"""
from dst_jax.data.frames import read_frame
from dst_jax.errors import InputError
try:
    read_frame({str(tmp_path / "a.jpg")!r})
except InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"frame {tmp_path / 'a.jpg'} is no file; restore it.\n"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_frame_is_refused(tmp_path, rgb, suffix, share):
    path = write(tmp_path / f"a{suffix}", np.kron(rgb, np.ones((8, 8, 1), np.uint8)))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=f"a{suffix} is no complete image"):
        read_frame(path)


def test_a_float_image_is_refused(tmp_path):
    path = write(tmp_path / "a.tiff", np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match="save it with 8 or 16 bits"):
        read_frame(path)


def test_paths_are_in_numeric_order_and_images_only(tmp_path, rgb):
    for name in ("a10.png", "a9.png", "f12.png", "f20.png", "A0001.PNG", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".hidden.png").write_bytes(b"")
    found = [p.rsplit("/", 1)[1] for p in frame_paths(tmp_path)]
    assert found == ["A0001.PNG", "a9.png", "a10.png", "f12.png", "f20.png"]


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("00000001.jpg", "00000003.jpg"), "00000002.jpg"),
        (("8.png", "9.png", "11.png", "12.png"), "10.png"),
        (("img07.png", "img08.png", "img10.png"), "img09.png"),
        (("0001.jpg", "0002.jpg", "0005.jpg", "0006.jpg"), "0003.jpg"),
    ],
)
def test_a_missing_number_is_named(tmp_path, names, missing):
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=f"/{missing} is missing among {len(names)} "):
        frame_paths(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("0247.jpg", "0248.jpg", "0249.jpg"),  # starts anywhere
        ("0001.jpg", "0006.jpg", "0011.jpg"),  # every fifth frame
        ("1403636579.png", "1403636629.png", "1403636680.png"),  # times
        ("a1.png", "b7.png"),
    ],
)
def test_numbers_that_do_not_count_frames_may_have_gaps(tmp_path, names):
    touch(tmp_path, *names)
    assert len(frame_paths(tmp_path)) == len(names)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        frame_paths(tmp_path / "nowhere")


def test_the_cache_holds_no_more_than_its_bytes(tmp_path):
    paths = [
        str(write(tmp_path / f"{i}.png", np.full((4, 4), i, np.uint8)))
        for i in range(4)
    ]
    cache = FrameCache(limit_bytes=2 * 48)
    frames = [cache.read(p) for p in paths]
    assert [f[0, 0, 0] for f in frames] == [0, 1, 2, 3]
    assert cache.read(paths[3]) is frames[3]  # held
    assert cache.read(paths[0]) is not frames[0]  # dropped, read anew
    assert cache.read(paths[2]) is not frames[2]  # dropped for frame 0
    with pytest.raises(ValueError, match="read-only"):
        cache.read(paths[0])[0] = 0


def test_the_cache_serves_many_threads(tmp_path):
    paths = [
        str(write(tmp_path / f"{i}.png", np.full((4, 4), i, np.uint8)))
        for i in range(8)
    ]
    cache, wrong = FrameCache(limit_bytes=3 * 48), []

    def work(offset):
        for i in range(200):
            k = (i * 3 + offset) % 8
            if cache.read(paths[k])[0, 0, 0] != k:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
