"""A pack stores the pixels of a patch as JPEG or as they are."""

from typing import Literal

import cv2
import numpy as np

from dst_jax.typing import UInt8

PatchEncoding = Literal["jpeg", "raw"]
# Our own patches have no EXIF orientation.
_AS_IT_IS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def encode_patch(
    patch: UInt8[np.ndarray, "p p 3"], encoding: PatchEncoding, *, quality: int
) -> bytes | UInt8[np.ndarray, "p p 3"]:
    """Returns an RGB patch as TFDS takes it: the bytes of a JPEG, or the pixels.

    Args:
      patch: Pixels of the patch.
      encoding: "jpeg", or "raw" for rows of pixels.
      quality: Quality of a JPEG, 1 to 100.
    """
    if encoding == "raw":
        return patch
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    bgr = cv2.cvtColor(patch, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, options)[1].tobytes()


def decode_patch(
    encoded: bytes, encoding: PatchEncoding, *, side: int
) -> UInt8[np.ndarray, "p p 3"] | None:
    """Returns the RGB pixels of a patch, or None if the bytes are no such patch.

    Args:
      encoded: Bytes that the record holds.
      encoding: Encoding of the bytes.
      side: Side of the patch, pixels.
    """
    flat = np.frombuffer(encoded, np.uint8)
    if encoding == "raw":
        return flat.reshape(side, side, 3) if flat.size == 3 * side * side else None
    try:
        whole = cv2.imdecode(flat, _AS_IT_IS)
    except cv2.error:  # as for no bytes at all
        return None
    return whole if whole is not None and whole.shape == (side, side, 3) else None
