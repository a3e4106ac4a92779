"""Reads the directories of TIFF files, which EXIF uses too."""

import struct
from collections.abc import Callable

Read = Callable[[int, int], bytes]

_ORIENTATION = 274
# Code of a type and its letter in `struct`; other types hold nothing that is asked for.
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Pyramids of reduced images have some twenty levels.
_MAX_PAGES = 64
# A page of 7680 rows in strips of one row has no more.
_MAX_STRIPS = 1 << 16
# A page whose bits 0 or 2 of NewSubfileType are set is a reduced image or a mask.
_NO_PAGE = 0b101


class _Directories:
    """The directories of a file, each a mapping from tag to values."""

    def __init__(self, read: Read):
        start = read(0, 16)
        self._read = read
        self._order = "<" if start[:2] == b"II" else ">"
        self._big = start[2:4] in (b"+\0", b"\0+")
        self.first = self._number(start[8:16] if self._big else start[4:8])

    def _number(self, content: bytes) -> int:
        return int.from_bytes(content, "little" if self._order == "<" else "big")

    def at(self, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """Returns a directory's values and where the next one is; 0 for none."""
        wide, entry, field = (8, 20, 8) if self._big else (2, 12, 4)
        # EXIF data are at most 64 KiB, and no directory of a picture has 1000 entries.
        count = min(self._number(self._read(offset, wide)), 1000)
        body = self._read(offset + wide, entry * count)
        values = {}
        for place in range(0, len(body) - entry + 1, entry):
            tag, code = struct.unpack_from(f"{self._order}HH", body, place)
            number = self._number(body[place + 4 : place + 4 + field])
            content = body[place + 4 + field : place + entry]
            values[tag] = self._values(code, number, content)
        return values, self._number(self._read(offset + wide + len(body), field))

    def _values(self, code: int, count: int, content: bytes) -> tuple[int, ...]:
        letter = _TYPES.get(code)
        if letter is None or not 0 < count <= _MAX_STRIPS:
            return ()
        length = count * struct.calcsize(letter)
        if length > len(content):
            content = self._read(self._number(content), length)
        if len(content) < length:
            return ()
        return struct.unpack(f"{self._order}{count}{letter}", content[:length])


def orientation(read: Read) -> int:
    """Returns the orientation that EXIF data ask for, 1 to 8; 1 if there is none."""
    if read(0, 4) not in (b"II*\0", b"MM\0*"):
        return 1
    directories = _Directories(read)
    values, _ = directories.at(directories.first)
    turn = next(iter(values.get(_ORIENTATION, ())), 1)
    return turn if 1 <= turn <= 8 else 1


def read_tiff(read: Read) -> dict[str, int] | None:
    """Returns width, height, bits, pictures and length, or None if it is damaged.

    Reduced images and masks are no pictures of their own. A tile or strip counts as
    width and height if it is larger, because a decoder makes room for it.
    """
    directories = _Directories(read)
    page, following = directories.at(directories.first)
    if 256 not in page or 257 not in page:
        return None
    seen, pictures = {directories.first}, 1
    while following and following not in seen and len(seen) < _MAX_PAGES:
        seen.add(following)
        values, following = directories.at(following)
        kind = next(iter(values.get(254, ())), 0)
        if 256 in values and not kind & _NO_PAGE:
            pictures = 2
            break
    sides = [next(iter(page.get(tag, ())), 0) for tag in (256, 257, 322, 323)]
    if not sides[0] or not sides[1]:
        return None
    # Tiles are padded to a multiple of 16, and may be larger than a small image.
    tile = [side if side > 1 << 14 else 0 for side in sides[2:]]
    places = page.get(273) or page.get(324) or ()
    lengths = page.get(279) or page.get(325) or ()
    ends = [place + length for place, length in zip(places, lengths, strict=False)]
    return {
        "width": max(sides[0], tile[0]),
        "height": max(sides[1], tile[1]),
        "bits": next(iter(page.get(258, ())), 8),
        "pictures": pictures,
        "length": max(ends, default=0),
    }
