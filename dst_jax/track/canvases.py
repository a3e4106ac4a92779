"""Sizes of what goes to the device: canvases of frames, chunks and batches."""

import math
from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.boxes import MAX_FRAME_SIDE_PX
from dst_jax.errors import InputError
from dst_jax.typing import Array, UInt8

# A frame's height and width are each rounded up to one of these sides of canvases.
_SIDES = (160, 320, 480, 640, 960, 1280, 1920, 2560, 3840, 5120)
CANVAS_SIDES = (*_SIDES, MAX_FRAME_SIDE_PX)
CHUNK_FRAMES = 64
# Bounds a chunk's memory; a CPU keeps it in the cache and is a tenth faster for it.
_CHUNK_BYTES, _MOST_BYTES = {"cpu": 16 * 2**20}, 192 * 2**20
# Devices that read the host's memory: what is filled there has not far to go.
_AT_HOME = ("cpu",)
# A CPU looks at every frame whether it is padding, and begins one video at a time.
# Elsewhere each look makes the host wait, and each call costs what many videos do.
_PER_LOOK, _FRAMES_PER_LOOK = {"cpu": 1}, 8
_PER_START, _STARTS_TOGETHER = {"cpu": 1}, 8


def canvas_size(height: int, width: int) -> tuple[int, int]:
    """Returns height and width of the canvas on which a frame is placed.

    Raises:
      InputError: If the frame is larger than the largest canvas.

    Example:
      >>> canvas_size(360, 640)
      (480, 640)
    """
    for side in (height, width):
        if not 1 <= side <= CANVAS_SIDES[-1]:
            raise InputError(
                f"a frame of {height}x{width} px does not fit; sides must lie in "
                f"1..{CANVAS_SIDES[-1]}, scale the video."
            )
    first = [min(s for s in CANVAS_SIDES if s >= side) for side in (height, width)]
    return first[0], first[1]


def travelling_size(
    sizes: Iterable[tuple[int, int]], canvas: tuple[int, int]
) -> tuple[int, int]:
    """Returns height and width with which frames go to the device.

    They are the least that hold all frames, which the device then places on canvases.
    On a CPU, where that would be one more copy, they are the canvas's.

    Args:
      sizes: Height and width of the frames.
      canvas: Height and width of their canvas.
    """
    if jax.default_backend() in _AT_HOME:
        return canvas
    heights, widths = zip(*sizes, strict=True)
    return max(heights), max(widths)


def default_batch() -> int:
    """Returns 1 on a CPU, where rows of a batch share the same cores, 16 elsewhere."""
    return 1 if jax.default_backend() == "cpu" else 16


def row_count(canvas: tuple[int, int], *, batch: int) -> int:
    """Returns how many videos are tracked at a time, at most `batch`.

    Fewer are where one frame of each would take more memory than a chunk may.

    Args:
      canvas: Height and width of a canvas.
      batch: Number of videos that is asked for.
    """
    return max(1, min(batch, _MOST_BYTES // (3 * canvas[0] * canvas[1])))


def chunk_length(canvas: tuple[int, int], *, batch: int = 1) -> int:
    """Returns the number of frames in a chunk, a power of 2.

    It is 64, or less for large canvases and batches, and least on a CPU.

    Args:
      canvas: Height and width of a canvas.
      batch: Number of videos in a device batch.
    """
    frame_bytes = 3 * canvas[0] * canvas[1] * batch
    length, most = CHUNK_FRAMES, _CHUNK_BYTES.get(jax.default_backend(), _MOST_BYTES)
    while length > 1 and length * frame_bytes > most:
        length //= 2
    return length


def frames_per_look(length: int) -> int:
    """Returns for how many frames it is asked once whether all of them are padding.

    Args:
      length: Number of frames in a chunk, of which it is a divisor.
    """
    return math.gcd(_PER_LOOK.get(jax.default_backend(), _FRAMES_PER_LOOK), length)


def starts_together(rows: int) -> int:
    """Returns how many videos begin in one call of a program.

    Args:
      rows: Number of videos at a time.
    """
    return min(_PER_START.get(jax.default_backend(), _STARTS_TOGETHER), rows)


def on_canvases(
    frames: UInt8[np.ndarray, "t b h w 3"], canvas: tuple[int, int]
) -> UInt8[Array, "t b y x 3"]:
    """Returns frames at the upper left of canvases, on the device if they are smaller.

    Args:
      frames: Frames as they travel, see `travelling_size`.
      canvas: Height and width of a canvas.
    """
    return frames if frames.shape[2:4] == canvas else _widened(frames, canvas)


@partial(jax.jit, static_argnums=1)
def _widened(
    frames: UInt8[Array, "t b h w 3"], canvas: tuple[int, int]
) -> UInt8[Array, "t b y x 3"]:
    below, beside = canvas[0] - frames.shape[2], canvas[1] - frames.shape[3]
    return jnp.pad(frames, ((0, 0), (0, 0), (0, below), (0, beside), (0, 0)))
