"""Draws boxes on frames, with scores that stay legible where frames are small."""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from dst_jax.typing import Float, Int, UInt8

# RGB colours of the boxes of targets that are tracked, uncertain, lost and found again,
# in this order.
_COLOURS = ((60, 220, 60), (250, 190, 40), (235, 60, 60), (60, 200, 240))
# Left, top, right and lower edge of a rectangle; the last two lie outside of it.
Corners: TypeAlias = tuple[int, int, int, int]
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Capitals of this font have 21 pixels at scale 1: no less than 12 are drawn.
_LEAST_SCALE = 0.58
# OpenCV needs coordinates of 16 bits, which a runaway box may exceed.
_FARTHEST_PX = 32000


def draw_boxes(
    frame: UInt8[np.ndarray, "h w 3"],
    boxes_xywh: Float[np.ndarray, "k 4"],
    scores: Float[np.ndarray, " k"],
    states: Int[np.ndarray, " k"],
    *,
    number: int,
    texts: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of a frame with its number and the targets' boxes and scores.

    The line of a box begins with the outermost pixels that the box covers and grows
    inward. Its colour tells the state. Of several targets, each score is preceded by
    the target's number.

    Args:
      frame: RGB.
      boxes_xywh: Corner and size of each target, pixels from 0.
      scores: A score per target.
      states: TRACKED, UNCERTAIN, LOST or FOUND_AGAIN per target.
      number: Number of the frame, which is shown in the corner.
      texts: What is written beside each target instead of its score.
    """
    image = frame.copy()
    ends = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], 1)
    ends = np.clip(np.round(ends), -_FARTHEST_PX, _FARTHEST_PX).astype(int)
    # The codec has a colour for 2 x 2 pixels: that of a single line would fade.
    thick = max(2, round(min(frame.shape[:2]) / 200))
    for (x0, y0, x1, y1), state in zip(ends.tolist(), states, strict=True):
        for inset in range(thick):
            corners = (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset)
            cv2.rectangle(image, *corners, _COLOURS[int(state)], 1)
    plates = [_write(image, str(number), (0, 0, 0, 0), _WHITE, taken=[])]
    for target, (x0, y0, x1, y1) in enumerate(ends.tolist()):
        told = f"{scores[target]:.2f}" if texts is None else texts[target]
        text = f"#{target} " * (len(ends) > 1) + told
        colour = _COLOURS[int(states[target])]
        plates.append(_write(image, text, (x0, y0, x1, y1), colour, taken=plates))
    return image


def _write(
    image: np.ndarray,
    text: str,
    box: Corners,
    colour: tuple[int, int, int],
    *,
    taken: list[Corners],
) -> Corners:
    """Writes text on a black plate beside a box and returns where the plate is.

    It stands above the box, else below it, to its right or left, wherever it covers
    neither the box nor another plate, and always within the frame.

    Args:
      image: RGB, changed.
      text: The text.
      box: Left, top, right and lower edge of the box; the last two lie outside of it.
      colour: RGB of the text.
      taken: Where other plates are.
    """
    height, width, _ = image.shape
    scale = max(_LEAST_SCALE, min(height, width) / 600)
    thick = max(1, round(2 * scale))
    (wide, high), under = cv2.getTextSize(text, _FONT, scale, thick)
    wide, high = wide + 4, high + under + 2
    x0, y0, x1, y1 = box
    plates = []
    for left, top in ((x0, y0 - high), (x0, y1), (x1, y0), (x0 - wide, y0)):
        left = max(0, min(left, width - wide))
        top = max(0, min(top, height - high))
        plates.append((left, top, left + wide, top + high))
    free = (
        plate for plate in plates if not any(_meet(plate, x) for x in [box, *taken])
    )
    left, top, right, bottom = plate = next(free, plates[0])
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), _BLACK, -1)
    baseline = (left + 2, bottom - under - 1)
    cv2.putText(image, text, baseline, _FONT, scale, colour, thick, cv2.LINE_AA)
    return plate


def _meet(one: Corners, other: Corners) -> bool:
    """Returns whether two rectangles have a pixel in common."""
    apart = one[2] <= other[0] or other[2] <= one[0]
    return not (apart or one[3] <= other[1] or other[3] <= one[1])
