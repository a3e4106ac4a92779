"""Reads images from disk as RGB uint8 [h, w, 3].

An image that cannot be read raises an error of one line that says why.
"""

import collections.abc
import itertools
import os
import pathlib
import re
import threading
from collections import OrderedDict
from typing import TypeAlias

import cv2
import numpy as np

from dst_jax.errors import InputError
from dst_jax.files import user_path
from dst_jax.typing import UInt8

Frame: TypeAlias = UInt8[np.ndarray, "h w 3"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
# This is 65535 / 255: the whole range of 16 bits lands on the whole range of 8 bits.
_SIXTEEN_TO_EIGHT_BITS = 257.0


def read_frame(path: str | os.PathLike[str]) -> Frame:
    """Decodes one image file to RGB.

    Grey images give three equal channels, an alpha channel is dropped, and 16-bit
    values are divided by 257, which is the same for every frame of a video (a stretch
    by each frame's own range would flicker). EXIF rotation is ignored: annotations
    refer to the stored pixels.

    Args:
      path: An image file.

    Returns:
      RGB values, [h, w, 3].

    Raises:
      InputError: If the file is missing or truncated, or is no image of 8 or 16 bits.
    """
    require_file(path, "frame")
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"frame {path} cannot be read ({error.strerror}); restore the file or "
            "correct the path."
        ) from error
    pixels = None
    if data and not _is_truncated(data):
        pixels = _decode(data)
    if pixels is None:
        raise InputError(
            f"frame {path} is no complete image ({len(data)} bytes); "
            "copy the file again."
        )
    return _to_rgb(pixels, path)


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
        return None  # the image may have more pixels than OpenCV allows


def _is_truncated(data: bytes) -> bool:
    """Returns whether the end mark is missing.

    Some decoders paint the rest of such a file grey.
    """
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    return False


def _to_rgb(pixels: np.ndarray, path: str | os.PathLike[str]) -> Frame:
    if pixels.dtype == np.uint16:
        eighth = np.rint(pixels.astype(np.float32) / _SIXTEEN_TO_EIGHT_BITS)
        pixels = eighth.astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise InputError(
            f"frame {path} holds {pixels.dtype} values; save it with 8 or 16 bits."
        )
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    code = {
        1: cv2.COLOR_GRAY2RGB,
        3: cv2.COLOR_BGR2RGB,
        4: cv2.COLOR_BGRA2RGB,
    }.get(channels)
    if code is None:
        raise InputError(
            f"frame {path} has {channels} channels; save it as grey, RGB or RGBA."
        )
    return np.asarray(cv2.cvtColor(pixels, code))


def frame_paths(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Returns the image files of a folder in numeric order: 2 comes before 10.

    Numbers may start anywhere and be any distance apart (every fifth frame, say). Where
    they count frame by frame, none may be missing, because boxes would shift unnoticed.

    Args:
      folder: An existing folder; anything that is not an image is passed over.

    Returns:
      Paths; none if the folder holds no image.

    Raises:
      InputError: If there is no such folder, or a number between others is missing.
    """
    root = user_path(folder)
    if not root.is_dir():
        raise InputError(f"frame folder {folder} does not exist; correct the path.")
    ordered = sorted(image_names(root), key=_natural_key)
    if gap := _first_gap(ordered):
        raise InputError(
            f"frame {root / gap} is missing among {len(ordered)} numbered ones; "
            "restore it, or number the files without a gap."
        )
    return tuple(str(root / name) for name in ordered)


def image_names(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the names of a folder's image files in no order; none if it is absent."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [n for n in names if n.lower().endswith(IMAGE_SUFFIXES) and n[0] != "."]


def _first_gap(names: collections.abc.Sequence[str]) -> str | None:
    """Returns the first missing name among names that count up, or None.

    It returns None if no name is missing or the names do not count frame by frame.
    """
    matches = [re.fullmatch(r"(.*?)(\d+)(\.\w+)", name) for name in names]
    if len({match and match[1] for match in matches}) != 1 or matches[0] is None:
        return None
    found = [match for match in matches if match]
    numbers = [int(match[2]) for match in found]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    regular = len(steps) > 1 and len(set(steps)) == 1
    # Where more numbers are missing than present, they are times or names of objects.
    if regular or sum(steps) - len(steps) > len(names):
        return None
    for match, number, step in zip(found, numbers, steps, strict=False):
        if step > 1:
            return f"{match[1]}{number + 1:0{len(match[2])}d}{match[3]}"
    return None


def _natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    # Digits compare by value, the rest as text; the name decides between 1 and 01.
    parts = re.findall(r"\d+|\D+", name)
    pairs = [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]
    return pairs, name


def require_size(frame: Frame, size: tuple[int, int], path: str) -> None:
    """Raises an error that names the file unless the frame has this (height, width).

    Raises:
      InputError: If the frame has another size.
    """
    height, width, _ = frame.shape
    if (height, width) != size:
        raise InputError(
            f"frame {path} has {width}x{height} px, the first one {size[1]}x{size[0]}; "
            "all frames of a video must have one size."
        )


class FrameCache:
    """Keeps the latest used decoded frames; several threads may share a cache.

    Args:
      limit_bytes: Size of the frames that are kept at most.
    """

    def __init__(self, *, limit_bytes: int):
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._frames: OrderedDict[str, Frame] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, int]:
        # A copy sent to another process starts empty, because locks cannot be sent.
        return {"limit_bytes": self._limit_bytes}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(limit_bytes=state["limit_bytes"])

    def read(self, path: str) -> Frame:
        """Returns the frame of `path`, read-only; decodes it if it is not held.

        Raises:
          InputError: If the frame cannot be read.
        """
        with self._lock:
            frame = self._frames.get(path)
            if frame is not None:
                self._frames.move_to_end(path)
                return frame
        # Two threads may decode the same frame; that is cheaper than waiting.
        frame = read_frame(path)
        frame.setflags(write=False)
        with self._lock:
            if path not in self._frames and frame.nbytes <= self._limit_bytes:
                self._frames[path] = frame
                self._used_bytes += frame.nbytes
            while self._used_bytes > self._limit_bytes:
                _, oldest = self._frames.popitem(last=False)
                self._used_bytes -= oldest.nbytes
        return frame
