"""How long a video file must be, by the lengths that its container states itself.

A container also states a number of frames or a time, but those are hints: sound may
last longer than the picture, and frames that an edit list hides are counted.
"""

import os
import struct
from typing import BinaryIO

# Types of boxes with which an MP4 or QuickTime file begins.
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
# A file of 8-byte boxes would keep the walk busy for nothing.
_MOST_BOXES = 1_000_000


def stated_bytes(path: str | os.PathLike[str]) -> int | None:
    """Returns the bytes that an MP4, AVI or Matroska file must have at least.

    A file that has fewer was cut off, by a copy that was stopped or by a full disk.

    Args:
      path: A file.

    Returns:
      The end of the outermost boxes; None if the container is another or states none,
      as live recordings do.
    """
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        if start[4:8] in _MP4_BOXES:
            return _end_of_boxes(file, length)
        if start.startswith(b"RIFF") and start[8:] == b"AVI ":
            return _end_of_riff(file, length)
        if start.startswith(_EBML):
            return _end_of_segment(file)
    return None


def _end_of_boxes(file: BinaryIO, length: int) -> int | None:
    end = 0
    for _ in range(_MOST_BOXES):
        if end >= length:
            break
        file.seek(end)
        head = file.read(16)
        kind, size = head[4:8], int.from_bytes(head[:4], "big")
        # What is appended to a whole file is none of its boxes.
        if len(kind) < 4 or not kind.isalnum():
            break
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            break  # 0: up to the end of the file
        end += size
    return end or None


def _end_of_riff(file: BinaryIO, length: int) -> int | None:
    end = 0
    while end < length:
        file.seek(end)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        size = struct.unpack("<I", head[4:])[0]
        if size in (0, 0xFFFFFFFF):
            return None  # a recording that was not closed
        end += 8 + size
    return end


def _end_of_segment(file: BinaryIO) -> int | None:
    file.seek(4)
    header = _vint(file)
    if header is None:
        return None
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return None
    size = _vint(file)
    return None if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """Reads a length of 1 to 8 bytes, whose leading zero bits say how many follow."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 9 - first[0].bit_length()
    rest = file.read(count - 1)
    bits = 7 * count
    value = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    # All ones mean that the length is not known.
    return None if len(rest) < count - 1 or value == (1 << bits) - 1 else value
