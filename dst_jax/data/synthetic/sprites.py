"""Cut-out objects on the move: smooth paths, poses, and pasting into a frame."""

from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Float

Sprite: TypeAlias = Float[np.ndarray, "h w 4"]


class Pose(NamedTuple):
    """Where, how large and how turned an object is.

    Attributes:
      x: Column of the sprite's centre, continuous frame pixels.
      y: Row of the sprite's centre, continuous frame pixels.
      scale_x: Frame pixels per sprite pixel, horizontally, before the turn.
      scale_y: Frame pixels per sprite pixel, vertically, before the turn.
      angle_deg: Angle in degrees by which the scaled sprite is turned.
    """

    x: float
    y: float
    scale_x: float
    scale_y: float
    angle_deg: float


def smooth_path(
    rng: np.random.Generator, length: int, *, period: float
) -> Float[np.ndarray, " t"]:
    """Returns a random curve in [-1, 1] through a new point every `period` steps.

    Args:
      rng: Generator, which is advanced.
      length: Number of values.
      period: Steps from one random point to the next.

    Returns:
      Catmull-Rom interpolation of uniform points, clipped.
    """
    knots = rng.uniform(-1.0, 1.0, int(np.ceil(length / period)) + 4)
    time = np.arange(length) / period + rng.random()
    index = time.astype(np.int64)
    u = time - index
    p0, p1, p2, p3 = (knots[index + k] for k in range(4))
    linear, square = p2 - p0, 2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3
    cube = 3.0 * (p1 - p2) + p3 - p0
    return np.clip(p1 + 0.5 * u * (linear + u * (square + u * cube)), -1.0, 1.0)


def paste(
    canvas: Float[np.ndarray, "h w 3"], sprite: Float[np.ndarray, "i j 4"], pose: Pose
) -> tuple[Float[np.ndarray, " 4"], Float[np.ndarray, "h w"]]:
    """Blends an object into a canvas, in place.

    Args:
      canvas: RGB image, 0..255, which is changed.
      sprite: Object from `textures.cutout`.
      pose: Place, size and angle of the object.

    Returns:
      The tight box (cx, cy, w, h) around the pixels that the object covers by more than
      half, whether inside the canvas or not; and its coverage of the canvas, 0..1.

    Raises:
      InputError: If the object covers no pixel by more than half.
    """
    height, width = canvas.shape[:2]
    patch, left, top = _warp(sprite, pose)
    solid = patch[..., 3] > 0.5
    columns, rows = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
    if not len(rows):
        raise InputError(f"object of pose {pose} covers no pixel; enlarge the frame.")
    low = np.array([left + columns[0], top + rows[0]], np.float64)
    high = np.array([left + columns[-1] + 1, top + rows[-1] + 1], np.float64)
    box = np.concatenate([0.5 * (low + high), high - low]).astype(np.float32)
    coverage = np.zeros((height, width), np.float32)
    y0, x0 = max(top, 0), max(left, 0)
    y1 = min(top + patch.shape[0], height)
    x1 = min(left + patch.shape[1], width)
    if y1 > y0 and x1 > x0:
        part = patch[y0 - top : y1 - top, x0 - left : x1 - left]
        window = canvas[y0:y1, x0:x1]
        window *= 1.0 - part[..., 3:]
        window += part[..., :3]
        coverage[y0:y1, x0:x1] = part[..., 3]
    return box, coverage


def _warp(sprite: Sprite, pose: Pose) -> tuple[Float[np.ndarray, "p p 4"], int, int]:
    """Returns the sprite in its pose, and column and row of its corner in the frame."""
    if min(pose.scale_x, pose.scale_y) < 0.6:
        # Bilinear sampling of fewer than every other pixel flickers, so halve first.
        half = (max(sprite.shape[1] // 2, 1), max(sprite.shape[0] // 2, 1))
        ratio_x, ratio_y = sprite.shape[1] / half[0], sprite.shape[0] / half[1]
        sprite = np.asarray(cv2.resize(sprite, half, interpolation=cv2.INTER_AREA))
        pose = pose._replace(
            scale_x=pose.scale_x * ratio_x, scale_y=pose.scale_y * ratio_y
        )
    height, width = sprite.shape[:2]
    reach = 0.5 * np.hypot(pose.scale_x * width, pose.scale_y * height) + 2.0
    left, top = int(np.floor(pose.x - reach)), int(np.floor(pose.y - reach))
    side = int(np.ceil(2.0 * reach)) + 1
    angle = np.deg2rad(pose.angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([pose.scale_x, pose.scale_y])
    # OpenCV counts from pixel centres, so index = continuous - 0.5 in both images.
    centre = np.array([pose.x - left - 0.5, pose.y - top - 0.5])
    offset = centre - linear @ np.array([0.5 * width - 0.5, 0.5 * height - 0.5])
    matrix = np.concatenate([linear, offset[:, None]], axis=1)
    return np.asarray(cv2.warpAffine(sprite, matrix, (side, side))), left, top
