"""Image files byte by byte, with what cameras and phones add to them."""

import struct
import zlib

import cv2
import numpy as np


def picture(height=48, width=64, *, seed=0):
    """Smooth colours, as of a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(suffix, pixels=None, *options):
    done, data = cv2.imencode(
        suffix, picture() if pixels is None else pixels, list(options)
    )
    assert done
    return data.tobytes()


def exif(turn, *, thumbnail=b""):
    """EXIF data with an orientation, and a thumbnail behind it."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, turn, 0)
    return b"II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0" + thumbnail


def jpeg_with(app1, jpeg=None):
    """A JPEG with an EXIF segment after its start mark."""
    jpeg = encoded(".jpg") if jpeg is None else jpeg
    body = b"Exif\0\0" + app1
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[2:]


def png_chunk(kind, body):
    check = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + check


def png_of_size(width, height, *, bits=8):
    """The head and end of a PNG, and nothing of what it promises."""
    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + png_chunk(b"IHDR", head) + body + png_chunk(b"IEND", b"")


def tiff_of(pages, *, width=8, height=4, kinds=None, sides=None):
    """A grey TIFF of several pages.

    Args:
      pages: Number of pages.
      width: Of each page, pixels.
      height: Of each page, pixels.
      kinds: NewSubfileType of each page; 1 is a reduced image.
      sides: Width and height that are promised instead of the true ones.
    """
    data = b"II*\0\0\0\0\0"
    link, strip = 4, width * height
    for page in range(pages):
        place = len(data)
        data += bytes([page]) * strip + b"\0" * (strip % 2)
        entries = [
            (254, kinds[page] if kinds else 0),
            *zip((256, 257), sides or (width, height), strict=True),
            *((258, 8), (259, 1), (262, 1), (273, place), (277, 1)),
            *((278, height), (279, strip)),
        ]
        data = data[:link] + struct.pack("<I", len(data)) + data[link + 4 :]
        data += struct.pack("<H", len(entries))
        data += b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries)
        link = len(data)
        data += b"\0\0\0\0"
    return data


def animated_png(pixels):
    """A PNG that says it has three frames."""
    data = encoded(".png", pixels)
    head = 8 + 25
    return data[:head] + png_chunk(b"acTL", struct.pack(">II", 3, 0)) + data[head:]


def animated_webp():
    """A WebP of two frames, with no pixels in them."""
    canvas = struct.pack("<I", 2) + b"\x07\0\0" + b"\x03\0\0"
    parts = b"VP8X" + struct.pack("<I", 10) + canvas
    parts += (b"ANMF" + struct.pack("<I", 16) + b"\0" * 16) * 2
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


def webp_of_size(width, height):
    """The head of a WebP."""
    canvas = b"\0" * 4 + (width - 1).to_bytes(3, "little")
    canvas += (height - 1).to_bytes(3, "little")
    parts = b"VP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


def bmp_of_size(width, height):
    """The head of a BMP."""
    return struct.pack(
        "<2sIIIIiiHHIIIIII", b"BM", 54, 0, 54, 40, width, height, 1, 24, *[0] * 6
    )


def jpeg_of_size(width, height):
    """A JPEG that says it is larger than it is."""
    data = encoded(".jpg")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]
