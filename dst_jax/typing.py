"""Array aliases and the axis letters that every signature uses.

b batch, t time, k student, h w c image or feature map, i j template map,
u v response map, d features, 4 a box, p patch side in pixels.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Array: TypeAlias = jax.Array | np.ndarray
Boxes: TypeAlias = Float[Array, "*batch 4"]
Image: TypeAlias = UInt8[Array, "h w 3"]
Scalar: TypeAlias = Float[Array, ""]
Params: TypeAlias = Mapping[str, Any]
Mark: TypeAlias = Literal["absent", "covered"]
# The numbers of a line of VOT's files: x,y,w,h of a rectangle, x and y of three or more
# corners, or a code alone: 0 no region, 1 a start, 2 a failure.
Region: TypeAlias = tuple[float, ...]

__all__ = [
    "Array",
    "Bool",
    "Boxes",
    "Float",
    "Image",
    "Int",
    "Mark",
    "Params",
    "Region",
    "Scalar",
    "UInt8",
]
