"""Reads live video as RGB uint8 [h, w, 3]: a camera, an RTSP address, or a pipe.

Frames are given as soon as they are decoded and none is kept, however long it lasts.
"""

import contextlib
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import av
import av.container
import av.error
import numpy as np

from dst_jax.data.frames import Frame
from dst_jax.errors import InputError

PIPE = "-"
# Formats that can be read once from front to back. Others are refused: a playlist, for
# one, would open files and addresses that it names.
_PIPED = (
    "yuv4mpegpipe,mpjpeg,mjpeg,jpeg_pipe,png_pipe,matroska,webm,mpegts,nut,avi,flv,"
    "h264,hevc,mov,mp4"
)
_PIPE_FORMATS = "y4m, (multipart) MJPEG, Matroska, MPEG-TS, AVI or MP4 with fast start"
# How much is read to learn what a stream is.
_PROBE = {"analyzeduration": "1000000"}
_RTSP = re.compile(r"rtsps?://", re.IGNORECASE)
_USER = re.compile(r"//[^@/]*@")
# Seconds without an answer after which an address counts as stopped.
_PATIENCE_S = 10.0


def is_live(video: str | os.PathLike[str] | int) -> bool:
    """Returns whether `LiveVideo` reads this: a number, "-" or an RTSP address."""
    return isinstance(video, int) or bool(video == PIPE or _RTSP.match(str(video)))


class LiveVideo:
    """A camera, an RTSP address or a pipe, of which nothing is read yet.

    Args:
      video: Number of a camera, "-" for standard input, or an RTSP address.
    """

    live = True

    def __init__(self, video: str | int):
        self._video = video
        self._rate: float | None = None
        if isinstance(video, int):
            self.name = f"camera {video}"
        elif video == PIPE:
            self.name = "standard input"
        else:
            # What stands before the @ may be a password.
            self.name = f"stream {_USER.sub('//', video)}"

    def count(self) -> int | None:
        """Returns None: nobody knows."""
        return None

    def rate(self) -> float | None:
        """Returns the frames per second that the stream states, once it is opened."""
        return self._rate

    def drawn_bytes(self, pixels: int) -> int:
        """Returns 0: nobody knows."""
        return 0

    def frames(self, note: Callable[[str], None]) -> Iterator[Frame]:
        """Yields frames as they come, until a pipe ends.

        Args:
          note: Called once with a line if some part cannot be decoded and is left out.

        Raises:
          InputError: If there is no such source, it is no video, or, after its last
            frame, if a camera or an address stops.
        """
        shown = noted = False
        pipe = _Pipe() if self._video == PIPE else None
        failure: Exception | None = None
        try:
            with _opened(self._video, pipe) as container:
                if not container.streams.video:
                    raise InputError(f"{self.name} has no picture.")
                stream = container.streams.video[0]
                rate = stream.average_rate or stream.guessed_rate
                self._rate = float(rate) if rate else None
                for packet in container.demux(stream):
                    try:
                        frames = packet.decode()
                    except av.error.FFmpegError:
                        # A stream that is joined in its middle begins so.
                        if not noted:
                            note(f"{self.name}: parts cannot be decoded; left out.")
                        noted = True
                        continue
                    for frame in frames:
                        shown = True
                        yield np.asarray(frame.to_ndarray(format="rgb24"))
        except (av.error.FFmpegError, OSError) as error:
            failure = error
        if pipe and pipe.stop:
            raise pipe.stop
        # Of some formats the end of a pipe is a part that lacks.
        if not (shown and pipe and (failure is None or pipe.ended)):
            raise InputError(self._stopped(failure, shown)) from failure

    def _stopped(self, error: Exception | None, shown: bool) -> str:
        reason = getattr(error, "strerror", None) or "no more frames came"
        if shown:
            return f"{self.name} stopped: {reason}."
        if self._video == PIPE:
            return (
                f"standard input is no video that can be read from a pipe; give "
                f"{_PIPE_FORMATS}."
            )
        return f"{self.name} cannot be read ({reason}); is it on, and yours to read?"


@contextlib.contextmanager
def _opened(
    video: str | int, pipe: "_Pipe | None"
) -> Iterator[av.container.InputContainer]:
    options: dict[str, str] = dict(_PROBE)
    if isinstance(video, int):
        device = pathlib.Path(f"/dev/video{video}")
        if not device.exists():
            there = sorted(path.name for path in device.parent.glob("video*"))
            raise InputError(
                f"camera {video}: {device} does not exist; "
                + (f"there is {', '.join(there)}." if there else "there is no camera.")
            )
        file, how = str(device), {"format": "v4l2"}
    elif pipe is not None:
        file, how = pipe, {}
        options["format_whitelist"] = _PIPED
    else:
        file, how = video, {"timeout": _PATIENCE_S}
        options["rtsp_flags"] = "prefer_tcp"
    given: Any = how
    with av.open(file, "r", options=options, **given) as container:
        yield container


class _Pipe:
    """Standard input as PyAV reads it: what is there, without waiting for more.

    Attributes:
      ended: Whether its end was met.
      stop: What ended it before, or None.

    Raises:
      InputError: If nothing is piped into it.
    """

    name = ""

    def __init__(self):
        self.ended = False
        self.stop: BaseException | None = None
        self._number = sys.stdin.fileno() if sys.stdin else -1
        if self._number < 0 or os.isatty(self._number):
            raise InputError(
                "standard input is no pipe; pipe a video into dst-jax, such as "
                "`ffmpeg -i VIDEO -f yuv4mpegpipe -`."
            )

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes; none at the end."""
        try:
            content = b"" if self.stop else os.read(self._number, size)
        except BaseException as error:
            # Ctrl-C among them. FFmpeg, which calls this, would print it or drop it.
            self.stop, content = error, b""
        self.ended = not content
        return content
