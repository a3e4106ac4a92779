"""Reads one image file: its head, its end, and its stored values.

A file that is no whole image of one picture, or too large, raises an error of one line.
"""

import os
from typing import BinaryIO

import cv2
import numpy as np

from dst_jax.boxes import MAX_FRAME_SIDE_PX
from dst_jax.data.image_header import (
    Header,
    Read,
    ends_as_it_should,
    is_whole,
    jpeg_is_read_to_its_end,
    read_header,
    stranger,
)
from dst_jax.errors import InputError

# The heads of most files end within as many bytes.
_START_BYTES = 4096
# An image of the largest size with 16 bits and an alpha channel takes half of it.
_MOST_BYTES = 2**30
# The decoder's grey for what is missing in a JPEG.
_PAINTED = 128


class UnfitFrame(InputError):
    """An image file that is no frame, with the kind of fault that it is."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def read_pixels(path: str | os.PathLike[str], what: str) -> tuple[np.ndarray, Header]:
    """Returns the stored values of an image file as OpenCV gives them, and its head.

    Args:
      path: An image file.
      what: Kind of file, for the messages.

    Raises:
      UnfitFrame: As `read_frame`.
    """
    require_file(path, what)
    try:
        with open(path, "rb") as file:
            data = _all(file)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    header = _fit_header(_reader(data), path, what, len(data))
    pixels = _decode(data) if is_whole(data, header) else None
    if pixels is None or not _is_complete(data, header, pixels):
        raise _incomplete(path, what, len(data))
    return pixels, header


def check_frame(path: str | os.PathLike[str], *, what: str = "frame") -> Header:
    """Returns the head of an image file; looks at size and ending, decodes nothing.

    Raises:
      UnfitFrame: As `read_frame`, as far as head and end of the file show it.
    """
    require_file(path, what)
    try:
        with open(path, "rb") as file:
            number, size = file.fileno(), os.fstat(file.fileno()).st_size
            start = os.pread(number, _START_BYTES, 0)

            def read(at: int, count: int) -> bytes:
                if at + count <= len(start):
                    return start[at : at + count]
                return os.pread(number, count, at) if 0 <= at < size else b""

            header = _fit_header(read, path, what, size)
            if ends_as_it_should(read, size, header) or is_whole(_all(file), header):
                return header
    except OSError as error:
        raise _unreadable(path, what, error) from error
    raise _incomplete(path, what, size)


def _all(file: BinaryIO) -> bytes:
    # Room is made at once for as many bytes as are asked for.
    return file.read(min(os.fstat(file.fileno()).st_size, _MOST_BYTES))


def _reader(data: bytes) -> Read:
    return lambda at, count: data[at : at + count]


def _fit_header(
    read: Read, path: str | os.PathLike[str], what: str, size: int
) -> Header:
    """Returns the head of an image that is one picture and not too large."""
    header = read_header(read)
    if header is None or not header.width or not header.height:
        if other := stranger(read(0, 64)):
            raise UnfitFrame("unreadable frame", f"{what} {path} is {other}.")
        raise _incomplete(path, what, size)
    if max(header.width, header.height) > MAX_FRAME_SIDE_PX:
        raise UnfitFrame(
            "frame too large",
            f"{what} {path} has {header.width}x{header.height} px; scale it, sides "
            f"must not exceed {MAX_FRAME_SIDE_PX}.",
        )
    if header.pictures > 1:
        raise UnfitFrame(
            "unreadable frame",
            f"{what} {path} holds several pictures; save each as a file of its own.",
        )
    return header


def _unreadable(path: str | os.PathLike[str], what: str, error: OSError) -> UnfitFrame:
    missing = isinstance(error, FileNotFoundError)
    return UnfitFrame(
        "missing frame" if missing else "unreadable frame",
        f"{what} {path} cannot be read ({error.strerror}); restore the file or "
        "correct the path.",
    )


def _incomplete(path: str | os.PathLike[str], what: str, size: int) -> UnfitFrame:
    return UnfitFrame(
        "unreadable frame",
        f"{what} {path} is no complete image ({size} bytes); copy the file again.",
    )


def require_file(path: str | os.PathLike[str], what: str) -> None:
    """Raises an error if `path` exists but is not a file.

    Opening a pipe, for one, would wait until somebody writes to it.

    Args:
      path: Path of a file, or of nothing; whoever opens it reports that it is missing.
      what: Kind of file, for the message.

    Raises:
      InputError: If `path` is a folder, a pipe or a device.
    """
    if not os.path.isfile(path) and os.path.exists(path):
        raise InputError(f"{what} {path} is no file; restore it.")


def _decode(data: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _is_complete(data: bytes, header: Header, pixels: np.ndarray) -> bool:
    """Returns whether no part of a JPEG is missing that the decoder paints grey."""
    if header.kind != "JPEG" or not (pixels[-1, -1] == _PAINTED).all():
        return True

    def same(changed: bytes) -> bool:
        again = _decode(changed)
        return again is not None and np.array_equal(again, pixels)

    return jpeg_is_read_to_its_end(data, same)
