"""Reads images from disk as RGB uint8 [h, w, 3].

An image that cannot be read raises an error of one line that says why.
"""

import os
import threading
from collections import OrderedDict
from typing import TypeAlias

import cv2
import numpy as np

from dst_jax.data.image_file import read_pixels
from dst_jax.data.image_header import Header
from dst_jax.data.numbering import UnclearOrder, in_order, missing_name, natural_order
from dst_jax.errors import InputError
from dst_jax.files import user_path
from dst_jax.typing import UInt8

Frame: TypeAlias = UInt8[np.ndarray, "h w 3"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
# Words of a note; frames that are turned or dim are used all the same.
TURNED = "image that viewers turn (EXIF); boxes of data sets count its stored pixels"
FEW_VALUES = "image of 16 bits of which few grey values are left; stretch its range"
# Fewer grey values than these show too little of what 16 bits held.
_FEW = 32
# This is 65535 / 255: the whole range of 16 bits lands on the whole range of 8 bits.
_SIXTEEN_TO_EIGHT_BITS = 257.0


def read_frame(path: str | os.PathLike[str], *, turned: bool = False) -> Frame:
    """Decodes one image file to RGB.

    Grey images give three equal channels, an alpha channel is dropped, and 16-bit
    values are divided by 257, which is the same for every frame of a video (a stretch
    by each frame's own range would flicker).

    Args:
      path: An image file.
      turned: Whether the image is turned as its EXIF orientation asks, which is what
        every viewer shows. Annotations refer to the stored pixels.

    Returns:
      RGB values, [h, w, 3].

    Raises:
      InputError: If the file is missing or truncated, is no image of 8 or 16 bits, has
        several pages, or a side longer than `MAX_FRAME_SIDE_PX`.
    """
    pixels, header = read_pixels(path, "frame")
    frame = _to_rgb(pixels, path)
    return _turn(frame, header.turn) if turned else frame


def _to_rgb(pixels: np.ndarray, path: str | os.PathLike[str]) -> Frame:
    if pixels.dtype == np.uint16:
        # This rounds, and needs no copy in floating point.
        pixels = cv2.convertScaleAbs(pixels, alpha=1.0 / _SIXTEEN_TO_EIGHT_BITS)
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


def _turn(frame: np.ndarray, turn: int) -> np.ndarray:
    """Returns a frame turned and mirrored as an EXIF orientation asks."""
    if turn in (5, 6, 7, 8):
        frame = frame.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        frame = frame[:, ::-1]
    if turn in (3, 4, 7, 8):
        frame = frame[::-1]
    return np.ascontiguousarray(frame)


def frame_notes(header: Header, *, frame: Frame | None = None) -> tuple[str, ...]:
    """Returns what is odd about a frame that is used all the same, a few words each.

    Args:
      header: Head of its file.
      frame: Its pixels, if they have been decoded.
    """
    notes = [TURNED] if header.turn != 1 else []
    # Thermal cameras store 14 bits and use a small part of them.
    if header.bits == 16 and frame is not None:
        grey = len(np.unique(frame[..., 1]))
        notes += [FEW_VALUES] if grey < _FEW else []
    return tuple(notes)


def frame_paths(
    folder: str | os.PathLike[str], *, any_order: bool = False
) -> tuple[str, ...]:
    """Returns the image files of a folder in numeric order: 2 comes before 10.

    Numbers may start anywhere and be any distance apart (every fifth frame, say), and
    may be decimals. Where they count frame by frame, none may be missing, because boxes
    would shift unnoticed.

    Args:
      folder: An existing folder; anything that is not an image is passed over.
      any_order: Whether names need not tell their order.

    Returns:
      Paths; none if the folder holds no image.

    Raises:
      InputError: If there is no such folder, a number between others is missing, two
        images have one number, or names do not tell their order.
    """
    root = user_path(folder)
    if not root.is_dir():
        raise InputError(f"frame folder {folder} does not exist; correct the path.")
    try:
        names = image_names(root)
        ordered = natural_order(names) if any_order else in_order(names)
    except UnclearOrder as error:
        raise UnclearOrder(f"{root}: {error}") from None
    if gap := missing_name(ordered):
        raise InputError(
            f"frame {root / gap} is missing among {len(ordered)} numbered ones; "
            "restore it, or number the files without a gap."
        )
    return tuple(str(root / name) for name in ordered)


def image_names(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the names of a folder's image files in no order; none if it is absent."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [n for n in names if n.lower().endswith(IMAGE_SUFFIXES) and n[0] != "."]


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
