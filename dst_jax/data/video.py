"""Reads videos, files or folders of images, as RGB uint8 [h, w, 3] frame by frame.

A video that cannot be read raises an error of one line that says why.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from dst_jax.data.container import stated_bytes
from dst_jax.data.frames import (
    IMAGE_SUFFIXES,
    Frame,
    frame_notes,
    frame_paths,
    read_frame,
    require_size,
)
from dst_jax.data.image_file import check_frame
from dst_jax.errors import InputError
from dst_jax.files import user_path

# A video is whole if it lacks no more frames than this of what its container promises:
# the last frames of some streams cannot be shown, and a length in seconds is rounded.
_SLACK_FRAMES = 2
# Frames of such sides are no video of anybody's; they would fill the memory.
_MOST_SIDE_PX = 16384
# Rates outside are a container's clock, not its pictures; the frames' times are asked.
_USUAL_RATES = (1.0, 240.0)
_TIMED_FRAMES = 60


class CutOffError(InputError):
    """A video file was cut off; all the frames that it still holds have been given."""


def video_frames(
    path: str | os.PathLike[str], *, note: Callable[[str], None] | None = None
) -> Iterator[Frame]:
    """Yields the frames of an image folder or a video file, decoded one at a time.

    A video file is decoded until its decoder stops. How many frames its container
    promises is a hint: sound may last longer than the picture, edit lists hide frames,
    and the number is an estimate where frames come at a varying rate. Frames are as a
    viewer shows them: images and videos are turned as they ask.

    Args:
      path: A folder of images or a video file, any name that a file can have.
      note: Called with one line if a file ends well before what its container promises
        and yet has all its bytes, or if the first image is odd.

    Yields:
      RGB frames, [h, w, 3].

    Raises:
      InputError: At the first frame if there is nothing to decode, at a frame that is
        bad or has another size, and at the end if frames lack because the file was cut
        off; that one is a `CutOffError`.
    """
    path = user_path(path)
    if path.is_dir():
        yield from _still_frames(_images(path), note)
    elif path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        yield from _still_frames((str(path),), note)
    else:
        yield from _decode_video(path, note)


def frame_rate(path: str | os.PathLike[str]) -> float | None:
    """Returns the frames per second of a video; None for a folder, or if none is known.

    Args:
      path: A folder of images or a video file.

    Raises:
      InputError: If the file cannot be opened.
    """
    path = user_path(path)
    if path.is_dir():
        return None
    with opened_video(path) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
        if _USUAL_RATES[0] <= rate <= _USUAL_RATES[1]:
            return rate
        times = []
        while len(times) < _TIMED_FRAMES and capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    lasting = (times[-1] - times[0]) / 1000.0 if times else 0.0
    return (len(times) - 1) / lasting if 0.0 < lasting < np.inf else None


@contextlib.contextmanager
def opened_video(path: pathlib.Path) -> Iterator[cv2.VideoCapture]:
    """Yields the decoder of a video file.

    FFmpeg never sees the name: it would take `cam1:12.mp4` for an address and
    `%03d.png` for many files, and OpenCV crashes on names that are no UTF-8.

    Raises:
      InputError: If there is no such file, or it cannot be read or decoded.
    """
    _require_video_file(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"video {path} cannot be read ({error.strerror}); correct its rights."
        ) from error
    capture = cv2.VideoCapture()
    try:
        with contextlib.suppress(cv2.error):
            capture.open(f"/dev/fd/{descriptor}", cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise InputError(_undecodable(path))
        _require_bounded(path, capture)
        yield capture
    finally:
        capture.release()
        os.close(descriptor)


def _images(folder: pathlib.Path) -> tuple[str, ...]:
    paths = frame_paths(folder)
    if not paths:
        raise InputError(
            f"folder {folder} holds no images; expected one of "
            f"{', '.join(IMAGE_SUFFIXES)}."
        )
    return paths


def _still_frames(
    paths: tuple[str, ...], note: Callable[[str], None] | None
) -> Iterator[Frame]:
    """Yields images as every viewer shows them, as frames of video files are."""
    size: tuple[int, int] | None = None
    for file in paths:
        frame = read_frame(file, turned=True)
        if size is None and note is not None:
            for odd in frame_notes(check_frame(file), frame=frame):
                note(f"frame {file} is an {odd}.")
        size = size or (frame.shape[0], frame.shape[1])
        require_size(frame, size, file)
        yield frame


def _decode_video(
    path: pathlib.Path, note: Callable[[str], None] | None
) -> Iterator[Frame]:
    with opened_video(path) as capture:
        frame = _next_frame(capture)
        if frame is None:
            raise InputError(_undecodable(path))
        size = (frame.shape[0], frame.shape[1])
        decoded, shown_ms = 0, 0.0
        while frame is not None:
            require_size(frame, size, f"{decoded} of {path}")
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            decoded, shown_ms = decoded + 1, capture.get(cv2.CAP_PROP_POS_MSEC)
            frame = _next_frame(capture)
        promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
    lacking = _lacking(decoded, shown_ms, promised=promised, rate=rate)
    if _is_cut_off(path) and lacking > 0.5:
        raise CutOffError(
            f"video {path} ends after {decoded} of {promised:.0f} frames, because the "
            "file was cut off; copy it again."
        )
    if note is not None and lacking > _SLACK_FRAMES:
        note(
            f"video {path}: it has {decoded} frames, and its container speaks of "
            f"{promised:.0f}; its sound may last "
            "longer, frames be hidden or damaged."
        )


def _next_frame(capture: cv2.VideoCapture) -> np.ndarray | None:
    try:
        return capture.read()[1]
    except cv2.error:
        return None  # the memory does not hold it, or its size has gone wild


def _lacking(decoded: int, shown_ms: float, *, promised: float, rate: float) -> float:
    """Returns how many frames both their number and their time say are missing."""
    if not (0.0 < promised < np.inf and 0.0 < rate < np.inf):
        return 0.0
    by_time = promised - rate * shown_ms / 1000.0 - 1.0
    return min(promised - decoded, by_time)


def _is_cut_off(path: pathlib.Path) -> bool:
    stated = stated_bytes(path)
    return stated is not None and path.stat().st_size < stated


def _require_video_file(path: pathlib.Path) -> None:
    if path.is_file():
        return
    if path.exists():
        # To open a pipe, for one, would wait until somebody writes to it.
        raise InputError(f"video {path} is no file; name a video or a folder.")
    fetched = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path))
    hint = "download it first, addresses are not fetched" if fetched else ""
    raise InputError(f"video {path} does not exist; {hint or 'correct the path'}.")


def _undecodable(path: pathlib.Path) -> str:
    size, stated = path.stat().st_size, stated_bytes(path)
    if stated is not None and size < stated:
        return (
            f"video {path} cannot be decoded: it was cut off after {size} of {stated} "
            "bytes; copy it again."
        )
    return (
        f"video {path} cannot be decoded ({size} bytes); convert it to MP4 (H.264) or "
        "to a folder of images."
    )


def _require_bounded(path: pathlib.Path, capture: cv2.VideoCapture) -> None:
    width = capture.get(cv2.CAP_PROP_FRAME_WIDTH)
    height = capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if max(width, height) > _MOST_SIDE_PX:
        raise InputError(
            f"video {path} has frames of {width:.0f}x{height:.0f} px; sides must lie "
            f"in 1..{_MOST_SIDE_PX}, scale the video."
        )
