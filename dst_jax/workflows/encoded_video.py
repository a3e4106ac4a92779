"""Encodes frames as H.264 in MP4, which browsers play while it is being fetched."""

import contextlib
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import av.error
import cv2
import numpy as np

from dst_jax.errors import InputError
from dst_jax.files import free_bytes, trial_file
from dst_jax.typing import UInt8

_SLOWEST_FPS, _FASTEST_FPS = 0.01, 1000.0
# Rates are fractions; that of television, 30000/1001, has the largest denominator.
_LARGEST_DENOMINATOR = 1001
# High quality: the thin edges of boxes stay.
_QUALITY = {"preset": "veryfast", "crf": "18"}
# The index lies before the frames, so that a browser need not fetch all to begin.
_FAST_START = {"movflags": "+faststart"}
_BT709 = 1  # number of the colours of high definition in every codec


def encodable_rate(fps: float) -> Fraction:
    """Returns the rate nearest to `fps` with a denominator that MP4 takes.

    Example:
      >>> encodable_rate(29.97002997), encodable_rate(25.0)
      (Fraction(30000, 1001), Fraction(25, 1))
    """
    fps = min(max(fps, _SLOWEST_FPS), _FASTEST_FPS)
    return Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR)


def require_encoder(out: pathlib.Path, hw: tuple[int, int], *, fps: Fraction) -> None:
    """Returns if a frame can be written as a video like `out` and read back.

    Args:
      out: The video that is to be written.
      hw: Height and width of its frames.
      fps: Frames per second.

    Raises:
      InputError: If frames of this size cannot be encoded, or the disk is full.
    """
    with trial_file(out) as trial:
        with (
            contextlib.suppress(av.error.FFmpegError),
            encoder(trial, hw, fps=fps) as write,
        ):
            write(np.zeros((*hw, 3), np.uint8))
        if frames_in(trial) == 1:
            return
        raise InputError(
            f"{out}: cannot write {hw[1]}x{hw[0]} px at {float(fps):g} frames/s as "
            f"H.264 ({free_bytes(out) / 1e6:.1f} MB are free on that disk); free some, "
            "or write a .csv instead."
        )


@contextlib.contextmanager
def encoder(
    path: pathlib.Path, hw: tuple[int, int], *, fps: Fraction
) -> Iterator[Callable[[UInt8[np.ndarray, "h w 3"]], None]]:
    """Yields a function that adds an RGB frame to a video, and completes it at the end.

    If the block raises, the file is complete with the frames so far. The codec has
    colours for 2 x 2 pixels and so wants even sides: the last column or row of an odd
    one is repeated at the right or lower edge, and no pixel is moved or scaled.

    Args:
      path: The file, which exists and is replaced.
      hw: Height and width of the frames.
      fps: Frames per second, see `encodable_rate`.

    Raises:
      av.error.FFmpegError: If a frame cannot be encoded or written.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # A name from the root is no address for FFmpeg, which takes none but UTF-8.
        name = f"/dev/fd/{folder}/{path.name}"
        with av.open(name, "w", format="mp4", options=_FAST_START) as container:
            stream = container.add_stream("libx264", rate=fps, options=_QUALITY)
            stream.height, stream.width = (2 * math.ceil(side / 2) for side in hw)
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709

            def write(rgb: UInt8[np.ndarray, "h w 3"]) -> None:
                frame = av.VideoFrame.from_ndarray(_even(rgb), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
                container.mux(stream.encode(frame))

            try:
                yield write
            finally:
                # To flush an encoder that did not open ends the process.
                if context.is_open:
                    container.mux(stream.encode(None))
    finally:
        os.close(folder)


def frames_in(path: pathlib.Path) -> int:
    """Returns how many frames of a video can be read; 0 if it is none."""
    try:
        with path.open("rb") as file, av.open(f"/dev/fd/{file.fileno()}") as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (OSError, av.error.FFmpegError, IndexError):
        return 0


def _even(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[0] % 2, image.shape[1] % 2
    if height or width:
        return cv2.copyMakeBorder(image, 0, height, 0, width, cv2.BORDER_REPLICATE)
    return image
