"""The videos that `dst-jax track` follows targets in."""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from dst_jax.data.frames import Frame, frame_paths
from dst_jax.data.live import LiveVideo, is_live
from dst_jax.data.video import frame_rate, video_frames
from dst_jax.files import user_path

# The pixels of a frame over the bytes that it takes as video, at the very least.
_PIXELS_PER_BYTE, _VIDEO_PER_DRAWN = 100, 4


@runtime_checkable
class Source(Protocol):
    """A video of which nothing is read yet."""

    @property
    def name(self) -> str:
        """Returns what messages call it."""
        ...

    @property
    def live(self) -> bool:
        """Returns whether frames come as they happen, maybe without an end."""
        ...

    def count(self) -> int | None:
        """Returns the number of its frames; None if it is not known."""
        ...

    def rate(self) -> float | None:
        """Returns its frames per second once a frame was read; None if not known."""
        ...

    def drawn_bytes(self, pixels: int) -> int:
        """Returns a low estimate of its size with boxes on frames of `pixels`."""
        ...

    def frames(self, note: Callable[[str], None]) -> Iterator[Frame]:
        """Yields its frames once; `note` is told what is odd in a line."""
        ...


class StoredVideo:
    """A folder of images or a video file.

    Args:
      path: Of the folder or file.
    """

    live = False

    def __init__(self, path: pathlib.Path):
        self._path = path
        self.name = f"video {path}"

    def count(self) -> int | None:
        """Returns the number of images of a folder."""
        return len(frame_paths(self._path)) if self._path.is_dir() else None

    def rate(self) -> float | None:
        """Returns the rate of a file."""
        return frame_rate(self._path)

    def drawn_bytes(self, pixels: int) -> int:
        """Returns a share of a file's size; of a folder, of its pixels."""
        if (count := self.count()) is None:
            return self._path.stat().st_size // _VIDEO_PER_DRAWN
        return pixels * count // _PIXELS_PER_BYTE

    def frames(self, note: Callable[[str], None]) -> Iterator[Frame]:
        """Yields the frames, decoded one at a time."""
        return video_frames(self._path, note=note)


def source_of(video: str | os.PathLike[str] | int) -> Source:
    """Returns the video that a command line names.

    Args:
      video: A folder of images, a video file, the number of a camera, an RTSP address,
        or "-" for standard input.
    """
    if isinstance(video, int) or is_live(video):
        return LiveVideo(video if isinstance(video, int) else os.fspath(video))
    return StoredVideo(user_path(video))
