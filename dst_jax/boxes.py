"""Boxes, in continuous pixel coordinates.

A pixel (i, j) covers [j, j + 1) x [i, i + 1), so a box of width w spans exactly w.
Inside the library a box is (cx, cy, w, h); files hold (x, y, w, h). Every function
takes arrays of NumPy or of JAX and returns arrays of the same library.
"""

from typing import Any

from dst_jax.typing import Array, Boxes, Float

# No side of a frame is longer: 8K video is what is tracked at most, and a decoded frame
# takes 0.2 GB at most (0.5 GB with 16 bits and an alpha channel).
MAX_FRAME_SIDE_PX = 7680


def _namespace(array: Array) -> Any:
    return array.__array_namespace__()


def cxcywh_to_xyxy(boxes: Boxes) -> Boxes:
    """Returns corner boxes (x0, y0, x1, y1) from centre boxes (cx, cy, w, h)."""
    xp = _namespace(boxes)
    centre, half = boxes[..., :2], 0.5 * boxes[..., 2:]
    return xp.concatenate([centre - half, centre + half], axis=-1)


def xywh_to_cxcywh(boxes: Boxes) -> Boxes:
    """Returns centre boxes (cx, cy, w, h) from corner-and-size boxes (x, y, w, h)."""
    xp = _namespace(boxes)
    corner, size = boxes[..., :2], boxes[..., 2:]
    return xp.concatenate([corner + 0.5 * size, size], axis=-1)


def cxcywh_to_xywh(boxes: Boxes) -> Boxes:
    """Returns corner-and-size boxes (x, y, w, h) from centre boxes (cx, cy, w, h)."""
    xp = _namespace(boxes)
    centre, size = boxes[..., :2], boxes[..., 2:]
    return xp.concatenate([centre - 0.5 * size, size], axis=-1)


def iou(boxes_a: Boxes, boxes_b: Boxes) -> Float[Array, "*batch"]:
    """Returns the intersection over union of each pair of centre boxes.

    An empty box (zero or negative side) overlaps nothing: its IoU is 0.

    Args:
      boxes_a: Centre boxes (cx, cy, w, h), any leading axes.
      boxes_b: Centre boxes of a shape that broadcasts with `boxes_a`.

    Returns:
      Values in [0, 1], of the broadcast leading shape.
    """
    xp = _namespace(boxes_a)
    a, b = cxcywh_to_xyxy(boxes_a), cxcywh_to_xyxy(boxes_b)
    low = xp.maximum(a[..., :2], b[..., :2])
    high = xp.minimum(a[..., 2:], b[..., 2:])
    inter = xp.prod(xp.maximum(high - low, 0.0), axis=-1)
    area_a = xp.prod(xp.maximum(boxes_a[..., 2:], 0.0), axis=-1)
    area_b = xp.prod(xp.maximum(boxes_b[..., 2:], 0.0), axis=-1)
    union = area_a + area_b - inter
    return xp.where(union > 0.0, inter / xp.where(union > 0.0, union, 1.0), 0.0)
