"""Images and videos from disk: RGB uint8 [h, w, 3], or one line that says why not."""

import os
import pathlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import UInt8

Frame: TypeAlias = UInt8[np.ndarray, "h w 3"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
# 65535 / 255: the whole range of 16 bits lands on the whole range of 8 bits.
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
      InputError: If the file is missing, truncated or no image of 8 or 16 bits.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"frame {path} cannot be read ({error.strerror}); restore the file or "
            "correct the path."
        ) from error
    pixels = None
    if data and not _is_truncated(data):
        flags = cv2.IMREAD_UNCHANGED
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise InputError(
            f"frame {path} is no complete image ({len(data)} bytes); "
            "copy the file again."
        )
    return _to_rgb(pixels, path)


def _is_truncated(data: bytes) -> bool:
    """Whether the end mark is missing: some decoders then paint the rest grey."""
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
    """Image files of a folder in numeric order: frame 2 comes before frame 10.

    Args:
      folder: An existing folder; anything that is not an image is passed over.

    Returns:
      Paths; none if the folder holds no image.

    Raises:
      InputError: If there is no such folder.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise InputError(f"frame folder {folder} does not exist; correct the path.")
    names = (
        n
        for n in os.listdir(root)
        if n.lower().endswith(IMAGE_SUFFIXES) and n[0] != "."
    )
    return tuple(str(root / name) for name in sorted(names, key=_natural_key))


def _natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    # Digits compare by value, the rest as text; the name itself settles ties (1, 01).
    parts = re.findall(r"\d+|\D+", name)
    pairs = [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]
    return pairs, name


def video_frames(path: str | os.PathLike[str]) -> Iterator[Frame]:
    """Frames of an image folder or a video file, decoded one at a time.

    The end of a video file is where its decoder stops: containers only estimate their
    own length.

    Args:
      path: A folder of images or a video file.

    Yields:
      RGB frames, [h, w, 3].

    Raises:
      InputError: At the first frame, if there is nothing to decode, or at a bad one.
    """
    if pathlib.Path(path).is_dir():
        paths = frame_paths(path)
        if not paths:
            raise InputError(
                f"folder {path} holds no images; expected one of "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        for frame in paths:
            yield read_frame(frame)
        return
    if not pathlib.Path(path).is_file():
        raise InputError(f"video {path} does not exist; correct the path.")
    yield from _decode_video(path)


def _decode_video(path: str | os.PathLike[str]) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(path))
    try:
        _, frame = capture.read() if capture.isOpened() else (False, None)
        if frame is None:
            raise InputError(
                f"video {path} cannot be decoded; convert it to MP4 (H.264) or to a "
                "folder of images."
            )
        while frame is not None:
            yield _to_rgb(frame, path)
            _, frame = capture.read()
    finally:
        capture.release()


class FrameCache:
    """The latest used decoded frames, up to `limit_bytes`; safe between threads."""

    def __init__(self, *, limit_bytes: int):
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._frames: OrderedDict[str, Frame] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, int]:
        # A copy sent to another process starts empty: locks do not travel.
        return {"limit_bytes": self._limit_bytes}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(limit_bytes=state["limit_bytes"])

    def read(self, path: str) -> Frame:
        """The frame of `path`, read-only; decoded if it is not held."""
        with self._lock:
            frame = self._frames.get(path)
            if frame is not None:
                self._frames.move_to_end(path)
                return frame
        # Two threads may decode one frame twice: cheaper than waiting for each other.
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
