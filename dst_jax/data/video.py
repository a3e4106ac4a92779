"""Reads videos, files or folders of images, as RGB uint8 [h, w, 3] frame by frame.

A video that cannot be read raises an error of one line that says why.
"""

import os
from collections.abc import Iterator

import cv2
import numpy as np

from dst_jax.data.frames import (
    IMAGE_SUFFIXES,
    Frame,
    frame_paths,
    read_frame,
    require_size,
)
from dst_jax.errors import InputError
from dst_jax.files import user_path

# A video is whole if it lacks no more frames than this of what its container promises:
# the last frames of some streams cannot be shown, and a length in seconds is rounded.
_SLACK_FRAMES = 2


def video_frames(path: str | os.PathLike[str]) -> Iterator[Frame]:
    """Yields the frames of an image folder or a video file, decoded one at a time.

    A video file ends where its decoder stops. That must be near the end that the
    container promises, in frames or in time: the number of frames is an estimate where
    frames come at a varying rate. Streams (.ts, .mpg) promise nothing.

    Args:
      path: A folder of images or a video file.

    Yields:
      RGB frames, [h, w, 3].

    Raises:
      InputError: At the first frame if there is nothing to decode, at a frame that is
        bad or has another size, and at the end if a video file stops too early.
    """
    path = user_path(path)
    if path.is_dir():
        paths = frame_paths(path)
        if not paths:
            raise InputError(
                f"folder {path} holds no images; expected one of "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        size: tuple[int, int] | None = None
        for file in paths:
            frame = read_frame(file)
            size = size or (frame.shape[0], frame.shape[1])
            require_size(frame, size, file)
            yield frame
        return
    if not path.is_file():
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
        decoded, shown_ms = 0, 0.0
        while frame is not None:
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            decoded, shown_ms = decoded + 1, capture.get(cv2.CAP_PROP_POS_MSEC)
            _, frame = capture.read()
        promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
        _require_end(path, decoded, shown_ms, promised=promised, rate=rate)
    finally:
        capture.release()


def _require_end(
    path: str | os.PathLike[str],
    decoded: int,
    shown_ms: float,
    *,
    promised: float,
    rate: float,
) -> None:
    """Raises InputError if both number and time of the frames show that some lack."""
    if not (0.0 < promised < np.inf and 0.0 < rate < np.inf):
        return
    by_time = promised - rate * shown_ms / 1000.0 - 1.0
    if min(promised - decoded, by_time) > _SLACK_FRAMES:
        raise InputError(
            f"video {path} ends after {decoded} of {promised:.0f} frames; copy the "
            "file again, or, if it plays to its end, convert it to a folder of images."
        )
