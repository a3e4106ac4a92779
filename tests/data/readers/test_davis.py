import struct
import zlib

import cv2
import numpy as np
import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.davis import read_davis, read_mask
from dst_jax.errors import InputError
from tests.data.readers.trees import HEIGHT, WIDTH, names, write_frames


def chunk(kind, body):
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
    )


def write_palette(path, mask, *, palette=bytes(range(12))):
    """An indexed PNG as the data set has them; OpenCV writes none."""
    height, width = mask.shape
    rows = b"".join(b"\0" + row.tobytes() for row in mask.astype(np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows))]
    data = b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def two_objects(shift=0, *, second=True):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:15, 10 + shift : 30 + shift] = 1
    if second:
        mask[20:24, 40:46] = 3
    return mask


def test_a_palette_is_read_as_numbers(tmp_path):
    write_palette(tmp_path / "a.png", two_objects())
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), two_objects())


def test_every_object_is_a_sequence_with_the_box_of_its_pixels(tmp_path):
    write_frames(tmp_path / "JPEGImages" / "480p" / "bear", range(2), digits=5)
    masks = tmp_path / "Annotations" / "480p" / "bear"
    write_palette(masks / "00000.png", two_objects())
    write_palette(masks / "00001.png", two_objects(2, second=False))
    first, second = read_davis(tmp_path)
    assert (first.name, second.name) == ("bear-1", "bear-3")
    assert first.video == second.video == "bear"
    # Columns 10..29, rows 5..14: continuous pixels 10 to 30 and 5 to 15.
    assert first.boxes.tolist() == [[20.0, 10.0, 20.0, 10.0], [22.0, 10.0, 20.0, 10.0]]
    assert second.boxes[0].tolist() == [43.0, 22.0, 6.0, 4.0]
    assert second.visible.tolist() == [True, False]
    assert names(first.frames) == ["00000.jpg", "00001.jpg"]


def test_grey_masks_of_one_object_keep_the_name(tmp_path):
    write_frames(tmp_path / "JPEGImages" / "bear", range(1), digits=5)
    path = tmp_path / "Annotations" / "bear" / "00000.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), 255 * two_objects(second=False))
    (bear,) = read_davis(tmp_path)
    assert (bear.name, bear.boxes[0].tolist()) == ("bear", [20.0, 10.0, 20.0, 10.0])


def test_255_beside_other_numbers_is_no_object(tmp_path):
    write_frames(tmp_path / "JPEGImages" / "bear", range(1), digits=5)
    mask = two_objects(second=False)
    mask[30:, :] = 255
    path = tmp_path / "Annotations" / "bear" / "00000.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), mask)
    assert [s.name for s in read_davis(tmp_path)] == ["bear"]


def test_frames_without_a_mask_are_counted_and_masks_need_frames(tmp_path):
    write_frames(tmp_path / "JPEGImages" / "bear", range(6), digits=5)
    masks = tmp_path / "Annotations" / "bear"
    for number in (0, 5):
        write_palette(masks / f"{number:05d}.png", two_objects())
    problems = Problems()
    (found, _) = read_davis(tmp_path, problems=problems)
    assert names(found.frames) == ["00000.jpg", "00005.jpg"]
    notes = [(f.sequence, f.frames, f.reason) for f in problems.left_out]
    assert notes == [("bear", 4, "frame without a mask")]
    write_palette(masks / "00010.png", two_objects())
    with pytest.raises(InputError, match="has no frame 00010 for its mask"):
        read_davis(tmp_path)


def test_a_mask_that_is_none_is_named(tmp_path):
    write_frames(tmp_path / "JPEGImages" / "bear", range(2), digits=5)
    masks = tmp_path / "Annotations" / "bear"
    write_palette(masks / "00000.png", two_objects())
    last = masks / "00001.png"
    for mask, complaint in (
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8) + 7, "has colours and no palette"),
        (np.zeros((HEIGHT, WIDTH - 1), np.uint8), "has 59x40 px, the first one 60x40"),
    ):
        cv2.imwrite(str(last), mask)
        with pytest.raises(InputError, match=rf"00001\.png {complaint}"):
            read_davis(tmp_path)
    last.write_bytes((masks / "00000.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"00001\.png is no complete image"):
        read_davis(tmp_path)


def test_masks_without_an_object_are_refused(tmp_path):
    write_frames(tmp_path / "JPEGImages" / "bear", range(1), digits=5)
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    write_palette(tmp_path / "Annotations" / "bear" / "00000.png", empty)
    with pytest.raises(InputError, match="bear marks no object in any frame"):
        read_davis(tmp_path)


def test_a_video_without_any_mask_is_named(tmp_path):
    for name in ("bear", "camel"):
        write_frames(tmp_path / "JPEGImages" / "480p" / name, range(1), digits=5)
    (tmp_path / "JPEGImages" / "480p" / "empty").mkdir()
    path = tmp_path / "Annotations" / "480p" / "bear" / "00000.png"
    write_palette(path, two_objects(second=False))
    problems = Problems(strict=False)
    assert [s.name for s in read_davis(tmp_path, problems=problems)] == ["bear"]
    found = [(f.kind, f.sequence) for f in problems.faults]
    assert found == [("missing annotation", "camel")]
    assert len(read_davis(tmp_path, frames_required=False)) == 1
