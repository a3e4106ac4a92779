"""The host's part of cropping: it cuts patches around the target at a set scale.

A pair has two images, each with a role of its own: the template and the search image.
Each role has its own size and scale of patch.
"""

import dataclasses
from typing import Any, Literal

import cv2
import numpy as np

from dst_jax.arch.crops import Zoom
from dst_jax.data.frames import Frame
from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.require import require
from dst_jax.typing import Float, UInt8

Role = Literal["template", "search"]
# Ten times the widest crop that any of the trackers takes, 384 px.
MOST_PATCH_PX = 4096
ROLES: tuple[Role, ...] = ("template", "search")


@dataclasses.dataclass(frozen=True, slots=True)
class RolePatch:
    """A patch of one role: its size, and how large it shows the target.

    Attributes:
      patch_px: Side of the patch, pixels.
      zoom: Scale of the patch, which follows from the target's size.
    """

    patch_px: int
    zoom: Zoom

    def __post_init__(self):
        fits = 1 <= self.patch_px <= MOST_PATCH_PX
        require(fits, self, "patch_px", f"must be from 1 to {MOST_PATCH_PX}")

    def scale(self, box: Float[np.ndarray, " 4"]) -> float:
        """Returns the patch pixels per frame pixel for a target's box.

        Example:
          >>> box = np.float32([0.0, 0.0, 10.0, 10.0])
          >>> RolePatch(patch_px=135, zoom=Zoom(px=127, context=0.5)).scale(box)
          6.35
        """
        return self.zoom.scale(float(box[2]), float(box[3]))


@dataclasses.dataclass(frozen=True, slots=True)
class PatchSpec:
    """The host's patches of a pair.

    Attributes:
      template: Patch of the template.
      search: Patch of the search image.
    """

    template: RolePatch
    search: RolePatch

    def of(self, role: Role) -> RolePatch:
        """Returns the patch of a role."""
        return self.template if role == "template" else self.search


def patches_from_json(values: Any) -> PatchSpec:
    """Returns the `PatchSpec` of which `dataclasses.asdict` made `values`.

    Raises:
      InputError: If a field is missing, unknown or out of range.
    """
    return from_json(PatchSpec, values, "serves", complete=True)


def box_in_patch(
    box: Float[np.ndarray, " 4"], *, patch_px: int, scale: float
) -> Float[np.ndarray, " 4"]:
    """Returns the target's box in its own patch, with the centre in the middle.

    Args:
      box: (cx, cy, w, h) in frame pixels.
      patch_px: Side of the patch, pixels.
      scale: Patch pixels per frame pixel.

    Returns:
      float32 (patch_px / 2, patch_px / 2, scale w, scale h) in patch pixels.

    Example:
      >>> box_in_patch(np.float32([3, 4, 10, 5]), patch_px=9, scale=2.0).tolist()
      [4.5, 4.5, 20.0, 10.0]
    """
    centre = 0.5 * patch_px
    return np.array([centre, centre, scale * box[2], scale * box[3]], np.float32)


def cut_patch(
    frame: Frame,
    box: Float[np.ndarray, " 4"],
    patch: RolePatch,
    *,
    fill: Float[np.ndarray, " 3"] | None = None,
) -> tuple[
    UInt8[np.ndarray, "p p 3"], Float[np.ndarray, " 4"], Float[np.ndarray, " 3"]
]:
    """Cuts a square around a target and resizes it to the scale of its role.

    Values are interpolated bilinearly, also when the square shrinks: smoothing first
    would show the network in training what the tracker's own crop (`ops.crop`, bilinear
    too) never shows it.

    Args:
      frame: The frame, RGB.
      box: (cx, cy, w, h) in frame pixels; it may reach outside the frame.
      patch: Side and scale of the patch.
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
    scale, side = patch.scale(box), patch.patch_px
    # OpenCV counts from pixel centres, so index = continuous - 0.5 in frame and patch.
    middle = 0.5 * side - 0.5
    offset_x = middle - scale * (float(box[0]) - 0.5)
    offset_y = middle - scale * (float(box[1]) - 0.5)
    pixels = cv2.warpAffine(
        frame,
        np.array([[scale, 0.0, offset_x], [0.0, scale, offset_y]]),
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=fill.tolist(),
    )
    in_patch = box_in_patch(box, patch_px=side, scale=scale)
    return np.asarray(pixels), in_patch, fill
