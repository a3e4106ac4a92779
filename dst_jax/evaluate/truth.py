"""What a data set says of a target, frame by frame, for protocols to read."""

import dataclasses

import numpy as np

from dst_jax.typing import Bool, Float, Mark


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """The annotation of one sequence.

    Attributes:
      boxes: Boxes (cx, cy, w, h) as the files state them, also where the target is
        marked absent; NaN where they state none.
      absent: Frames in which the target is marked absent; None for none.
      covered: Frames in which it is marked as wholly covered; None for none.
      size: (height, width) of the frames in pixels; None if unknown.
      origin: Coordinate of the first pixel in the data set's files; `boxes` count
        from 0.
    """

    boxes: Float[np.ndarray, "t 4"]
    absent: Bool[np.ndarray, " t"] | None = None
    covered: Bool[np.ndarray, " t"] | None = None
    size: tuple[int, int] | None = None
    origin: int = 0

    def marked(self, marks: tuple[Mark, ...]) -> Bool[np.ndarray, " t"]:
        """Returns the frames that have one of some marks."""
        found = np.zeros(len(self.boxes), bool)
        for mark in marks:
            frames = self.absent if mark == "absent" else self.covered
            if frames is not None:
                found |= frames
        return found
