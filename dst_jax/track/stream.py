"""A video on its way to the device: frames checked, placed on canvases."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float, UInt8

# Frames as they come from a reader: RGB uint8 [h, w, 3], all of one size.
Frames: TypeAlias = Iterable[np.ndarray]


class Stream:
    """One video as it is consumed.

    Attributes:
      number: Its place among the videos of a call.
      hw: Height and width of its frames.
      box: The target in the first frame, cxcywh.
      read: Frames taken so far.

    Raises:
      InputError: If there is no frame, a frame is unfit, or the box is.
    """

    def __init__(self, frames: Frames, number: int, box: Float[Array, " 4"]):
        self._frames: Iterator[np.ndarray] = iter(frames)
        self.number = number
        self.read = 0
        first = next(self._frames, None)
        if first is None:
            raise InputError(f"video {number} has no frame; give at least one.")
        height, width, _ = self._checked(first).shape
        self.hw = height, width
        self.box = check_box(box, height, width)
        self._frames = itertools.chain([first], self._frames)

    def fill(self, canvases: UInt8[np.ndarray, "t h w 3"]) -> int:
        """Copies the next frames onto `canvases`; returns how many there were."""
        height, width = self.hw
        filled = 0
        for frame in itertools.islice(self._frames, len(canvases)):
            canvases[filled, :height, :width] = self._checked(frame)
            filled += 1
            self.read += 1
        return filled

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        name = f"frame {self.read} of video {self.number}"
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(
                f"{name} is {frame.dtype} of shape {frame.shape}; "
                "give RGB uint8 of shape (height, width, 3)."
            )
        if self.read and frame.shape[:2] != self.hw:
            raise InputError(
                f"{name} has {frame.shape[:2]} px, the first one {self.hw}; "
                "all frames of a video must have one size."
            )
        return frame


def check_box(
    box: Float[Array, " 4"], height: int, width: int
) -> Float[np.ndarray, " 4"]:
    """Returns the cxcywh box in float32.

    Raises:
      InputError: Unless it is finite, not empty, and on the frame.
    """
    cx, cy, w, h = (float(v) for v in box)
    shown = f"box (x={cx - w / 2:g}, y={cy - h / 2:g}, w={w:g}, h={h:g})"
    if not np.isfinite([cx, cy, w, h]).all():
        raise InputError(f"{shown} is not finite; give four numbers.")
    if w <= 0 or h <= 0:
        raise InputError(f"{shown} is empty; width and height must be positive.")
    inside = abs(cx - width / 2) < (w + width) / 2
    if not (inside and abs(cy - height / 2) < (h + height) / 2):
        raise InputError(
            f"{shown} lies outside the first frame of {width}x{height} px; "
            "give x,y,w,h in its pixels."
        )
    return np.asarray(box, np.float32)
