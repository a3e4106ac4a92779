"""Draws boxes on the frames of a video and writes them as MPEG-4."""

import contextlib
import itertools
import math
import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from dst_jax.boxes import cxcywh_to_xywh
from dst_jax.data.video import opened_video
from dst_jax.errors import InputError
from dst_jax.files import free_bytes, trial_file
from dst_jax.track import TrackResult

# RGB colours of the boxes of tracked, uncertain and lost targets, in this order.
_COLOURS = ((60, 220, 60), (250, 190, 40), (235, 60, 60))
# MPEG-4 counts time in parts of a second, of which it admits this many.
_MOST_TICKS = 65535
_SLOWEST_FPS, _FASTEST_FPS = 0.01, 1000.0


def encodable_rate(fps: float) -> float:
    """Returns the rate nearest to `fps` that MPEG-4 can state.

    Example:
      >>> encodable_rate(119.973), encodable_rate(29.97)
      (119.97, 29.97)
    """
    fps = min(max(fps, _SLOWEST_FPS), _FASTEST_FPS)
    digits = next(d for d in (3, 2, 1, 0) if round(fps * 10**d) <= _MOST_TICKS)
    return round(fps, digits)


def require_encoder(out: pathlib.Path, hw: tuple[int, int], *, fps: float) -> None:
    """Returns if a frame can be written as a video like `out` and read back.

    Args:
      out: The video that is to be written.
      hw: Height and width of its frames.
      fps: Frames per second.

    Raises:
      InputError: If frames of this size cannot be encoded, or the disk is full.
    """
    with trial_file(out) as trial:
        with _writer(trial, hw, fps=fps) as writer:
            if writer.isOpened():
                writer.write(np.zeros((*_even(hw), 3), np.uint8))
        if _frames_in(trial) == 1:
            return
        raise InputError(
            f"{out}: cannot write {hw[1]}x{hw[0]} px at {fps:g} frames/s as MPEG-4 "
            f"({free_bytes(out) / 1e6:.1f} MB are free on that disk); free some, or "
            "write a .txt instead."
        )


def write_video(
    path: pathlib.Path,
    frames: Iterator[np.ndarray],
    result: TrackResult,
    *,
    fps: float,
) -> None:
    """Writes the frames with box and score as an MPEG-4 file, and counts them in it.

    The encoder takes even sides: odd ones are repeated at the right or lower edge.

    Args:
      path: The file.
      frames: RGB frames.
      result: Boxes, scores and states of the frames.
      fps: Frames per second, see `encodable_rate`.

    Raises:
      InputError: If the file does not hold a frame for every box; the encoder does not
        say so when the disk is full.
    """
    count = len(result.boxes)
    first = next(frames)
    with _writer(path, (first.shape[0], first.shape[1]), fps=fps) as writer:
        rest = itertools.islice(frames, count - 1)
        for number, frame in enumerate(itertools.chain([first], rest)):
            image = cv2.cvtColor(draw_box(frame, result, number), cv2.COLOR_RGB2BGR)
            writer.write(_padded(image))
    if (written := _frames_in(path)) != count:
        raise InputError(
            f"{written} of {count} frames can be read back from the video "
            f"({free_bytes(path) / 1e6:.1f} MB are free on its disk); free some, name "
            "another place, or write a .txt instead."
        )


def draw_box(frame: np.ndarray, result: TrackResult, number: int) -> np.ndarray:
    """Returns a copy of frame `number` with its box, coloured by state, and score."""
    image = frame.copy()
    state = 0 if result.states is None else int(result.states[number])
    corner = cxcywh_to_xywh(result.boxes[number])
    ends = np.concatenate([corner[:2], corner[:2] + corner[2:] - 1.0])
    # OpenCV needs coordinates of 16 bits, which a runaway box may exceed.
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(ends), -32000, 32000))
    thick = max(1, round(min(frame.shape[:2]) / 200))
    cv2.rectangle(image, (x0, y0), (x1, y1), _COLOURS[state], thick)
    size = max(0.35, min(frame.shape[:2]) / 700)
    text = f"{number}  {result.scores[number]:.2f}"
    baseline = (4, int(6 + 24 * size))
    for colour, width in (((0, 0, 0), thick + 2), (_COLOURS[state], thick)):
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, text, baseline, font, size, colour, width, cv2.LINE_AA)
    return image


@contextlib.contextmanager
def _writer(
    path: pathlib.Path, hw: tuple[int, int], *, fps: float
) -> Iterator[cv2.VideoWriter]:
    """Yields an encoder, which may not be open, and closes it.

    Args:
      path: The file; its own name is ASCII, that of its folder any.
      hw: Height and width of the frames.
      fps: Frames per second.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    # A name from the root is no address for FFmpeg; it takes none but UTF-8.
    name = str(path.absolute())
    if os.fsencode(name) != name.encode(errors="replace"):
        name = f"/dev/fd/{folder}/{path.name}"
    height, width = _even(hw)
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, code, fps, (width, height))
    try:
        yield writer
    finally:
        writer.release()
        os.close(folder)


def _even(hw: tuple[int, int]) -> tuple[int, int]:
    return 2 * math.ceil(hw[0] / 2), 2 * math.ceil(hw[1] / 2)


def _padded(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[0] % 2, image.shape[1] % 2
    if height or width:
        return cv2.copyMakeBorder(image, 0, height, 0, width, cv2.BORDER_REPLICATE)
    return image


def _frames_in(path: pathlib.Path) -> int:
    try:
        with opened_video(path) as capture:
            return sum(1 for _ in iter(capture.grab, False))
    except InputError:
        return 0
