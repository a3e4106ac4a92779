"""Reads the head of an image file: what it is, how large, and where it should end.

Nothing is decoded, so that a few bytes that promise a gigantic image cost nothing. The
layouts are those of ITU-T T.81 (JPEG), W3C PNG, TIFF 6.0 with BigTIFF, RFC 9649 (WebP),
Microsoft's BMP, and CIPA DC-008 (EXIF).
"""

import dataclasses
import re
import struct
from collections.abc import Callable

from dst_jax.data.tiff_header import orientation, read_tiff

# Returns as many bytes as there are of those asked for: offset and number.
Read = Callable[[int, int], bytes]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# No sound file has more parts than this before its pixels; a made-up one may.
_MAX_PARTS = 4096
# In coded data a marker is 0xff and neither a stuffed zero nor a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# Kinds of files that are often named like images, by how they begin.
_STRANGERS = {
    rb"GIF8": "a GIF image; convert it to PNG",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 image; convert it to PNG",
    rb".{4}ftyp(heic|heix|hevc|mif1|msf1)": "a HEIC image; convert it to JPEG",
    rb".{4}ftypavi": "an AVIF image; convert it to PNG",
    rb"\s*<(!doctype\s+)?html": "a web page; download the image again",
    rb"version https://git-lfs": "a pointer of Git LFS; run `git lfs pull`",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What an image file says of itself.

    Attributes:
      kind: "JPEG", "PNG", "BMP", "TIFF" or "WebP".
      width: Pixels of a row, as stored.
      height: Rows, as stored.
      bits: Bits of a value.
      pictures: Number of pages or of animated frames; more than two count as two.
      turn: EXIF orientation, which viewers obey: 1 for none, else 2 to 8. That of TIFF
        is not EXIF, and the decoder obeys it.
      length: Least number of bytes that the file must have, or 0 if unknown.
    """

    kind: str
    width: int
    height: int
    bits: int = 8
    pictures: int = 1
    turn: int = 1
    length: int = 0


def read_header(read: Read) -> Header | None:
    """Returns the head of an image file, or None if it is none or is damaged."""
    start = read(0, 16)
    if start.startswith(b"\xff\xd8"):
        return _jpeg(read)
    if start.startswith(PNG_SIGNATURE):
        return _png(read)
    if start.startswith(b"BM"):
        return _bmp(read)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return _webp(read)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        found = read_tiff(read)
        return Header("TIFF", **found) if found else None
    return None


def stranger(start: bytes) -> str:
    """Returns what a file that is no readable image is, and the mend, or ""."""
    for pattern, what in _STRANGERS.items():
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return what
    return ""


def ends_as_it_should(read: Read, size: int, header: Header) -> bool:
    """Returns whether the last bytes of a file are those of a whole image.

    It looks at its end alone: a phone appends previews or a video to a whole JPEG.

    Args:
      read: Reads of the file.
      size: Length of the file, bytes.
      header: Head of the file.
    """
    if header.kind == "JPEG":
        return read(max(size - 2, 0), 2) == b"\xff\xd9"
    if header.kind == "PNG":
        return read(max(size - 8, 0), 4) == b"IEND"
    return size >= header.length


def is_whole(data: bytes, header: Header) -> bool:
    """Returns whether the end of an image lies in its file, whatever follows it.

    Some decoders paint what is missing grey. The end of another image, such as the
    thumbnail in the head or a preview behind, does not count.

    Args:
      data: The whole file.
      header: Head of the file.
    """
    if header.kind == "JPEG":
        return _jpeg_end(data) > 0
    if header.kind == "PNG":
        return _png_is_whole(data)
    return len(data) >= header.length


def jpeg_is_read_to_its_end(data: bytes, same: Callable[[bytes], bool]) -> bool:
    """Returns whether the coded data of a JPEG fill the image, end mark or not.

    What follows the last value of an image has no effect. So if bytes inserted before
    the end mark change the image, values are missing.

    Args:
      data: A file that `is_whole`.
      same: Function that decodes a changed file and says if the image is the same.
    """
    end = _jpeg_end(data)
    return same(data[:end] + b"\x35\x5a" * 32 + data[end:])


def _jpeg(read: Read) -> Header | None:
    """Walks over the segments up to the first coded data."""
    at, turn, found = 2, 1, None
    for _ in range(_MAX_PARTS):
        head = read(at, 4)
        if len(head) < 4 or head[0] != 0xFF:
            return None
        marker, length = head[1], int.from_bytes(head[2:])
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9 or length < 2:
            return None
        if marker == 0xDA:
            return found and dataclasses.replace(found, turn=turn)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            body = read(at + 4, 5)
            if len(body) < 5:
                return None
            bits, height, width = struct.unpack(">BHH", body)
            found = Header("JPEG", width, height, bits)
        if marker == 0xE1 and turn == 1:
            turn = _exif(read(at + 4, length - 2))
        at += 2 + length
    return None


def _exif(body: bytes) -> int:
    body = body.removeprefix(b"Exif\0\0")
    return orientation(lambda at, count: body[at : at + count])


def _jpeg_end(data: bytes) -> int:
    """Returns where the end mark of the image is, or 0 if the file ends before it."""
    at, coded = 2, False
    levels: dict[tuple[int, int], int] = {}
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(data, at)
        # Between segments there is nothing but fill bytes.
        if found is None or not (
            coded or data[at : found.start()].strip(b"\xff") == b""
        ):
            return 0
        at = found.start()
        marker = data[at + 1]
        if coded and marker == 0xD9:
            return at if not any(levels.values()) else 0
        # The start of another image, or bytes that are no JPEG, end a torn one.
        if not (0xC0 <= marker <= 0xCF or 0xDA <= marker <= 0xFE):
            return 0
        length = int.from_bytes(data[at + 2 : at + 4])
        if length < 2:
            return 0
        if marker == 0xDA:
            _note_levels(data[at + 4 : at + 2 + length], levels)
            coded = True
        at += 2 + length
    return 0


def _note_levels(scan: bytes, levels: dict[tuple[int, int], int]) -> None:
    """Notes how many low bits of each coefficient a progressive scan leaves out."""
    count = scan[0] if scan else 0
    if len(scan) < 4 + 2 * count:
        return
    first, last, low = scan[-3], scan[-2], scan[-1] & 15
    for component in scan[1 : 1 + 2 * count : 2]:
        for coefficient in range(first, min(last, 63) + 1):
            levels[component, coefficient] = low


def _png(read: Read) -> Header | None:
    head = read(16, 9)
    if len(head) < 9 or read(12, 4) != b"IHDR":
        return None
    width, height, bits = struct.unpack(">IIB", head)
    at, pictures, turn = 8, 1, 1
    for _ in range(_MAX_PARTS):
        chunk = read(at, 12)
        if len(chunk) < 8 or chunk[4:8] == b"IDAT":
            break
        length = int.from_bytes(chunk[:4])
        if chunk[4:8] == b"acTL":
            pictures = min(int.from_bytes(chunk[8:12]), 2)
        elif chunk[4:8] == b"eXIf":
            turn = _exif(read(at + 8, min(length, 1 << 16)))
        at += 12 + length
    return Header("PNG", width, height, bits, max(pictures, 1), turn)


def _png_is_whole(data: bytes) -> bool:
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False


def _bmp(read: Read) -> Header | None:
    head = read(0, 34)
    if len(head) < 26:
        return None
    offset, form = struct.unpack_from("<II", head, 10)
    if form == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        packed = 0
    else:
        if len(head) < 34:
            return None
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", head, 18)
    row = (abs(width) * bits + 31) // 32 * 4
    # Only the length of what is not compressed is known.
    length = offset + row * abs(height) if packed == 0 else 0
    return Header("BMP", abs(width), abs(height), length=length)


def _webp(read: Read) -> Header | None:
    length = int.from_bytes(read(4, 4), "little") + 8
    head = read(12, 18)
    if len(head) < 18:
        return None
    if head[:4] == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 14)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF, length=length)
    if head[:4] == b"VP8L":
        packed = int.from_bytes(head[9:13], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        return Header("WebP", width, height, length=length)
    if head[:4] != b"VP8X":
        return None
    width = int.from_bytes(head[12:15], "little") + 1
    height = int.from_bytes(head[15:18], "little") + 1
    pictures, turn = _webp_parts(read)
    return Header("WebP", width, height, pictures=pictures, turn=turn, length=length)


def _webp_parts(read: Read) -> tuple[int, int]:
    """Returns the number of animated frames, up to two, and the EXIF orientation."""
    at, frames, turn = 12, 0, 1
    for _ in range(_MAX_PARTS):
        chunk = read(at, 8)
        if len(chunk) < 8:
            break
        length = int.from_bytes(chunk[4:], "little")
        frames += chunk[:4] == b"ANMF"
        if chunk[:4] == b"EXIF":
            turn = _exif(read(at + 8, min(length, 1 << 16)))
        at += 8 + length + length % 2
    return min(max(frames, 1), 2), turn
