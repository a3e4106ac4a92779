"""What is a whole image of one picture and of a fit size, and what is none."""

import os
import time

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.boxes import MAX_FRAME_SIDE_PX
from dst_jax.data.frames import FEW_VALUES, TURNED, frame_notes, read_frame
from dst_jax.data.image_file import check_frame
from dst_jax.errors import InputError
from dst_jax.track.canvases import CANVAS_SIDES
from tests.data.images import (
    animated_png,
    animated_webp,
    bmp_of_size,
    encoded,
    exif,
    jpeg_of_size,
    jpeg_with,
    picture,
    png_of_size,
    tiff_of,
    webp_of_size,
)

JPEG = encoded(".jpg")
SCAN = JPEG.index(b"\xff\xda")
PROGRESSIVE = encoded(".jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
# A video behind the image, as of a motion photo; it holds start marks of a scan.
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 3 + b"\xff\xda\xff\xd8"


def saved(folder, data, name="a.jpg"):
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        JPEG,
        PROGRESSIVE,
        encoded(".jpg", None, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        encoded(".jpg", picture()[..., 0]),
        JPEG + b"\0" * 1000,  # blocks of a memory card
        JPEG + VIDEO,
        JPEG + JPEG,  # a preview behind, as of several pictures (MPF)
        JPEG + b"\xff\xd9" + b"SEFT" * 9,
        jpeg_with(exif(1, thumbnail=JPEG)),
        JPEG[:2] + b"\xff" * 9 + JPEG[2:],  # fill bytes
        encoded(".jpg", np.full((48, 64, 3), 128, np.uint8)),  # grey as what is missing
    ],
)
def test_a_whole_jpeg_is_whole_whatever_follows_it(tmp_path, data):
    path = saved(tmp_path, data)
    assert read_frame(path).shape == (48, 64, 3)
    assert (check_frame(path).width, check_frame(path).height) == (64, 48)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.9])
@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\0" * 4000,  # its room was allotted before it was written
        b"\xff\xd9",
        JPEG,
        VIDEO + b"\xff\xd9",
    ],
)
def test_a_torn_jpeg_is_torn_whatever_follows_it(tmp_path, share, behind):
    torn = JPEG[: SCAN + int(share * (len(JPEG) - SCAN))]
    with pytest.raises(InputError, match=r"a\.jpg is no complete image"):
        read_frame(saved(tmp_path, torn + behind))
    with_thumbnail = jpeg_with(exif(1, thumbnail=JPEG), torn)
    with pytest.raises(InputError, match=r"a\.jpg is no complete image"):
        read_frame(saved(tmp_path, with_thumbnail + behind))


def test_a_progressive_jpeg_without_its_last_scans_is_torn(tmp_path):
    scans = [
        i for i in range(len(PROGRESSIVE)) if PROGRESSIVE[i:].startswith(b"\xff\xda")
    ]
    with pytest.raises(InputError, match="is no complete image"):
        read_frame(saved(tmp_path, PROGRESSIVE[: scans[2]] + b"\xff\xd9"))


def test_a_png_that_ends_in_something_else_is_whole_and_a_torn_one_is_not(tmp_path):
    png = encoded(".png")
    assert read_frame(saved(tmp_path, png + b"IEND more", "a.png")).shape == (48, 64, 3)
    for torn in (png[:-300], png[:-300] + b"\0\0\0\0IEND\xae\x42\x60\x82"):
        with pytest.raises(InputError, match="is no complete image"):
            read_frame(saved(tmp_path, torn, "a.png"))


HUGE = {
    "a.png": png_of_size(30000, 30000),
    "b.png": png_of_size(8000, 100),
    "a.jpg": jpeg_of_size(65000, 65000),
    "a.webp": webp_of_size(16000, 16000),
    "a.bmp": bmp_of_size(2_000_000, -2_000_000),
    "a.tif": tiff_of(1, sides=(1_000_000, 1_000_000)),
    "a.tiff": tiff_of(1, sides=(100, MAX_FRAME_SIDE_PX + 1)),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_is_too_large_is_refused_by_its_head_undecoded(
    tmp_path, monkeypatch, name
):
    path = saved(tmp_path, HUGE[name], name)

    def decode(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    for read in (read_frame, check_frame):
        with pytest.raises(
            InputError, match=rf"{name} has \d+x\d+ px; scale"
        ) as raised:
            read(path)
        assert raised.value.kind == "frame too large"


def test_the_largest_frame_is_read_and_tracked(tmp_path):
    path = saved(
        tmp_path, encoded(".png", np.zeros((2, MAX_FRAME_SIDE_PX), np.uint8)), "a.png"
    )
    assert read_frame(path).shape == (2, MAX_FRAME_SIDE_PX, 3)
    assert CANVAS_SIDES[-1] == MAX_FRAME_SIDE_PX


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tif", tiff_of(6)),
        ("a.tif", tiff_of(2, kinds=(0, 2))),
        ("a.png", animated_png(picture())),
        ("a.webp", animated_webp()),
    ],
)
def test_a_file_of_several_pictures_is_refused(tmp_path, name, data):
    path = saved(tmp_path, data, name)
    for read in (read_frame, check_frame):
        with pytest.raises(InputError, match=rf"{name} holds several pictures; "):
            read(path)


def test_reduced_copies_and_masks_in_a_tiff_are_no_pages(tmp_path):
    path = saved(tmp_path, tiff_of(3, kinds=(0, 1, 4)), "a.tif")
    assert read_frame(path).shape == (4, 8, 3)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"GIF89a", "a GIF image"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    ],
)
def test_what_else_a_file_is_is_named(tmp_path, start, words):
    with pytest.raises(InputError, match=rf"a\.jpg is {words}; "):
        read_frame(saved(tmp_path, start + b" " * 50))


# The stored rows 0 1 2 / 3 4 5 as a viewer shows them (CIPA DC-008, table of tag 274).
SHOWN = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[3, 0], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[2, 5], [1, 4], [0, 3]],
}


@pytest.mark.parametrize("turn", SHOWN)
def test_an_image_is_turned_as_its_exif_asks_only_where_that_is_wanted(tmp_path, turn):
    cells = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = encoded(".jpg", np.kron(cells, np.ones((16, 16), np.uint8)))
    path = saved(tmp_path, jpeg_with(exif(turn), stored))
    for turned, expected in ((False, SHOWN[1]), (True, SHOWN[turn])):
        frame = read_frame(path, turned=turned)[8::16, 8::16, 0]
        assert np.rint(frame / 40).astype(int).tolist() == expected
    assert frame_notes(check_frame(path)) == ((TURNED,) if turn != 1 else ())


def test_sixteen_bits_of_which_few_values_are_left_are_noted(tmp_path):
    thermal = np.linspace(7600, 8400, 64 * 48).reshape(48, 64).astype(np.uint16)
    full = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    for pixels, notes in ((thermal, (FEW_VALUES,)), (full, ())):
        path = saved(tmp_path, encoded(".png", pixels), "a.png")
        assert frame_notes(check_frame(path), frame=read_frame(path)) == notes


def test_a_name_that_is_no_utf8_is_read(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    saved(tmp_path, encoded(".png"), name)
    assert read_frame(tmp_path / name).shape == (48, 64, 3)
    os.truncate(tmp_path / name, 50)
    with pytest.raises(InputError, match=r"caf\\xe9\.png is no complete image"):
        read_frame(tmp_path / name)


SOUND = {
    ".jpg": jpeg_with(exif(6, thumbnail=JPEG)),
    ".png": encoded(".png"),
    ".webp": encoded(".webp"),
    ".bmp": encoded(".bmp"),
    ".tif": tiff_of(2, kinds=(0, 1)),
    ".tiff": encoded(".tiff"),
}
NUMBERS = [b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"]
TOKENS = [
    *NUMBERS,
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xd8",
    b"IEND",
    b"\x08\0\0\0",
]


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    suffix=st.sampled_from(sorted(SOUND)),
    near_head=st.booleans(),
    damage=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.sampled_from(["put", "cut", "keep", "insert"]),
            st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=9)),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_damaged_image_is_a_frame_or_one_line_soon(
    tmp_path, suffix, near_head, damage
):
    data = SOUND[suffix]
    for place, how, token in damage:
        at = int(place * (min(len(data), 120) if near_head else len(data)))
        data = {
            "put": data[:at] + token + data[at + len(token) :],
            "cut": data[:at] + data[at + len(token) :],
            "keep": data[:at],
            "insert": data[:at] + token + data[at:],
        }[how]
    path = saved(tmp_path, data, f"a{suffix}")
    began = time.monotonic()
    for read in (check_frame, read_frame):
        try:
            found = read(path)
        except InputError as error:
            assert f"a{suffix}" in str(error) and "\n" not in str(error)
            continue
        if read is read_frame:
            assert found.dtype == np.uint8 and found.ndim == 3
            assert max(found.shape) <= MAX_FRAME_SIDE_PX
    # Whatever the head promises, up to the largest size, is decoded in seconds.
    assert time.monotonic() - began < 20
