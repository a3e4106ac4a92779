"""A tracker for the VOT toolkit's protocol `python`, which calls it in a process.

The toolkit is not imported: it brings an OpenCV of its own and belongs into another
environment, into which this package is installed too. `scripts/check_vot.sh` does so.

Example:
  In the workspace's `trackers.ini`::

    [student]
    label = student
    protocol = python
    command = dst_jax.adapters.vot:VotTracker
    arg_bundle = /home/me/student.bundle
    convert = rectangle
    timeout = 300

  The first frame compiles, which the toolkit's own time limit of 30 s may cut short.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dst_jax.bundle import load
from dst_jax.data.frames import read_frame
from dst_jax.errors import InputError

# (x, y, width, height), which the toolkit takes for a rectangle.
Rectangle: TypeAlias = tuple[float, float, float, float]


class VotTracker:
    """Follows the target of one sequence after the other, for the VOT toolkit.

    Attributes:
      multiobject: Whether several targets are taken at once.
      session: The session that follows.
    """

    multiobject = False

    def __init__(self, bundle: str | os.PathLike[str]):
        """Loads a bundle.

        Args:
          bundle: Its folder.

        Raises:
          InputError: If it is no bundle.
        """
        self.session = load(bundle)

    def init(
        self, frame: Any, new: tuple[Any, Mapping[str, Any]], properties: Any
    ) -> tuple[Rectangle, dict[str, float]]:
        """Takes the first frame of a sequence and the target in it.

        Args:
          frame: Name of an image file, or images by channel.
          new: Region (x, y, w, h) in pixels, or the corners of a polygon, of which the
            box around it is taken; and properties, which are not read.
          properties: They are not read.

        Returns:
          The same region and no properties.

        Raises:
          InputError: If the region is something else.
        """
        box = _rectangle(new[0])
        self.session.init(_image(frame), box)
        return box, {}

    def update(
        self, frame: Any, new: Any, properties: Any
    ) -> tuple[Rectangle, dict[str, float]]:
        """Returns region and confidence in the next frame.

        Args:
          frame: Name of an image file, or images by channel.
          new: It is not read.
          properties: They are not read.
        """
        result = self.session.update(_image(frame))
        x, y, w, h = result.box.tolist()
        return (x, y, w, h), {"confidence": result.score}


def _image(frame: Any) -> np.ndarray:
    return (
        np.asarray(frame["color"]) if isinstance(frame, Mapping) else read_frame(frame)
    )


def _rectangle(region: Sequence[Any]) -> Rectangle:
    if isinstance(region, tuple) and len(region) == 4:
        x, y, w, h = (float(value) for value in region)
        return x, y, w, h
    points = np.asarray(region, np.float64)
    if points.shape[1:] != (2,) or len(points) < 3:
        raise InputError(
            "a region that is neither a rectangle nor a polygon was given; set "
            "`convert = rectangle` in trackers.ini."
        )
    (x, y), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x, y, right - x, bottom - y
