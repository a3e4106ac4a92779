"""The host's part of cropping: a context patch around the target, at one scale."""

import dataclasses
import math

import cv2
import numpy as np

from dst_jax.data.frames import Frame
from dst_jax.errors import InputError
from dst_jax.require import require_at_least
from dst_jax.typing import Float, UInt8


@dataclasses.dataclass(frozen=True, slots=True)
class PatchSpec:
    """Sizes of the host's patches.

    Attributes:
      template_patch_px: Side of the template patch.
      search_patch_px: Side of the search patch.
      template_px: Patch pixels that cover s_z, in both.
      context: p of `context_side`.
    """

    template_patch_px: int
    search_patch_px: int
    template_px: int
    context: float = 0.5

    def __post_init__(self):
        require_at_least(1, self, "template_patch_px", "search_patch_px", "template_px")
        require_at_least(0, self, "context")


def context_side(box: Float[np.ndarray, " 4"], *, context: float) -> float:
    r"""Side of the square that holds the target with its context, in frame pixels.

    .. math:: s_z = \sqrt{(w + p (w + h)) (h + p (w + h))}

    Args:
      box: (cx, cy, w, h).
      context: p, at least 0.

    Returns:
      s_z; the template's pixels cover it.

    Example:
      >>> context_side(np.float32([0.0, 0.0, 10.0, 10.0]), context=0.5)
      20.0

    References:
      Bertinetto et al., "Fully-convolutional Siamese networks for object tracking",
      arXiv 1606.09549, section 2.4.
    """
    width, height = float(box[2]), float(box[3])
    margin = context * (width + height)
    return math.sqrt((width + margin) * (height + margin))


def patch_scale(
    box: Float[np.ndarray, " 4"], *, template_px: int, context: float
) -> float:
    """Patch pixels per frame pixel.

    Example:
      >>> box = np.float32([0.0, 0.0, 10.0, 10.0])
      >>> patch_scale(box, template_px=127, context=0.5)
      6.35
    """
    return template_px / context_side(box, context=context)


def box_in_patch(
    box: Float[np.ndarray, " 4"], *, patch_px: int, scale: float
) -> Float[np.ndarray, " 4"]:
    """The target's box in its own patch: in the middle, (patch_px / 2, patch_px / 2).

    Example:
      >>> box_in_patch(np.float32([3, 4, 10, 5]), patch_px=9, scale=2.0).tolist()
      [4.5, 4.5, 20.0, 10.0]
    """
    centre = 0.5 * patch_px
    return np.array([centre, centre, scale * box[2], scale * box[3]], np.float32)


def cut_patch(
    frame: Frame,
    box: Float[np.ndarray, " 4"],
    *,
    patch_px: int,
    template_px: int,
    context: float,
    fill: Float[np.ndarray, " 3"] | None = None,
) -> tuple[
    UInt8[np.ndarray, "p p 3"], Float[np.ndarray, " 4"], Float[np.ndarray, " 3"]
]:
    """Cuts a square around a target and resizes it to the template's scale.

    Bilinear, also when it shrinks: smoothing first would show the network in training
    what the tracker's own crop (`ops.crop`, bilinear too) never shows it.

    Args:
      frame: RGB.
      box: (cx, cy, w, h) in frame pixels; it may reach outside the frame.
      patch_px: Side of the patch.
      template_px: Patch pixels that cover s_z of `context_side`.
      context: p of `context_side`.
      fill: Colour outside the frame, 0..255; the frame's mean if None.

    Returns:
      The patch, with the target's centre at its own centre, (patch_px / 2,
      patch_px / 2); the box in patch pixels; the colour outside the frame.

    Raises:
      InputError: If the box is not finite or has no area.
    """
    if not (np.isfinite(box).all() and box[2] > 0.0 and box[3] > 0.0):
        raise InputError(
            f"box {box.tolist()} is no target to crop; mark the frame absent."
        )
    if fill is None:
        fill = np.array(cv2.mean(frame)[:3], np.float32)
    scale = patch_scale(box, template_px=template_px, context=context)
    # OpenCV counts from pixel centres: index = continuous - 0.5, on both sides.
    middle = 0.5 * patch_px - 0.5
    offset_x = middle - scale * (float(box[0]) - 0.5)
    offset_y = middle - scale * (float(box[1]) - 0.5)
    patch = cv2.warpAffine(
        frame,
        np.array([[scale, 0.0, offset_x], [0.0, scale, offset_y]]),
        (patch_px, patch_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill.tolist(),
    )
    in_patch = box_in_patch(box, patch_px=patch_px, scale=scale)
    return np.asarray(patch), in_patch, fill
