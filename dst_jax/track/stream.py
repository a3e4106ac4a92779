"""Reads a video for the device: checks its frames and places them on canvases."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float, UInt8

# Frames are RGB uint8 [h, w, 3], all of one size, as readers give them.
Frames: TypeAlias = Iterable[np.ndarray]
# A box of a user is any sequence of four numbers.
BoxLike: TypeAlias = Sequence[float | int] | Array


class Stream:
    """One video whose frames are consumed one after the other.

    Attributes:
      number: Index of the video among those of a call.
      hw: Height and width of its frames.
      box: The target in the first frame, cxcywh in frame pixels.
      read: Number of frames taken so far.
      stopped: Whether nobody wants more of it.

    Raises:
      InputError: If there is no frame, or a frame or the box is unfit.
    """

    def __init__(self, frames: Frames, number: int, box: Float[Array, " 4"]):
        self._frames: Iterator[np.ndarray] = iter(frames)
        self.number = number
        self.read = 0
        self.stopped = False
        self._waiting = first = next(self._frames, None)
        if first is None:
            raise InputError(f"video {number} has no frame; give at least one.")
        height, width, _ = self._checked(first).shape
        self.hw = height, width
        self.box = check_box(box, height, width)

    def fill(self, canvases: UInt8[np.ndarray, "t h w 3"]) -> int:
        """Copies the next frames onto `canvases` and returns their number.

        Raises:
          InputError: If a frame is unfit.
        """
        height, width = self.hw
        filled = 0
        while filled < len(canvases) and (frame := self._next()) is not None:
            self._waiting = None
            canvases[filled, :height, :width] = self._checked(frame)
            filled += 1
            self.read += 1
        return filled

    def has_ended(self) -> bool:
        """Returns whether no frame is left, for which it may have to read one."""
        return self._next() is None

    def stop(self) -> None:
        """Lets go of the frames that are left."""
        self.stopped, self._waiting = True, None
        close = getattr(self._frames, "close", None)
        if close is not None:  # the threads of a generator that reads ahead end
            close()

    def _next(self) -> np.ndarray | None:
        """Returns the next frame, which stays the next one, or None."""
        if self._waiting is None:
            self._waiting = next(self._frames, None)
        return self._waiting

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        name = f"frame {self.read} of video {self.number}"
        return check_frame(frame, name, first_hw=self.hw if self.read else None)


def check_frame(
    frame: np.ndarray, name: str, *, first_hw: tuple[int, int] | None
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the frame as an array, after checking type, shape and size.

    Args:
      frame: The frame.
      name: Name of the frame in messages.
      first_hw: Height and width of the video's first frame; None if this is the first.

    Raises:
      InputError: If it is not uint8 [h, w, 3] with the first frame's size.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise InputError(
            f"{name} is {frame.dtype} of shape {frame.shape}; "
            "give RGB uint8 of shape (height, width, 3)."
        )
    if first_hw is not None and frame.shape[:2] != first_hw:
        raise InputError(
            f"{name} has {frame.shape[:2]} px, the first one {first_hw}; "
            "all frames of a video must have one size."
        )
    return frame


def four_numbers(box: BoxLike) -> Float[np.ndarray, " 4"]:
    """Returns a box of any convention as float32.

    Raises:
      InputError: If it is not four numbers.
    """
    try:
        values = np.asarray(box, np.float32)
    except (TypeError, ValueError):
        values = np.empty(0, np.float32)
    if values.shape != (4,):
        raise InputError(f"box {box!r} is no box; give four numbers.")
    return values


def check_box(
    box: Float[Array, " 4"], height: int, width: int
) -> Float[np.ndarray, " 4"]:
    """Returns the cxcywh box as float32, after checking it against the first frame.

    Args:
      box: The target, cxcywh in frame pixels.
      height: Height of the frame.
      width: Width of the frame.

    Raises:
      InputError: If it is not four finite numbers, is empty or does not meet the frame.
    """
    box = four_numbers(box)
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
    return box
