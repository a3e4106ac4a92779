"""Keeps account of a video that is being tracked: frames, boxes, silent answers."""

import pathlib
from collections.abc import Sequence

import numpy as np

from dst_jax.boxes import cxcywh_to_xywh
from dst_jax.errors import InputError
from dst_jax.track.targets import Followed
from dst_jax.workflows.track_output import Rows, lines


class Account:
    """Makes rows of the parts of a video and counts them.

    Args:
      given_xywh: Corner and size of each target in the first frame, as the user gave
        them, which is how they are written.
      keep: Whether all rows are kept, of which a live video may have any number.

    Attributes:
      count: Number of frames so far.
    """

    def __init__(self, given_xywh: Sequence[Sequence[float]], *, keep: bool):
        self.count = 0
        self._given = np.asarray(given_xywh, np.float64)
        self._kept: list[Rows] | None = [] if keep else None
        self._silent = self._first_silent = 0

    def rows(self, part: Followed) -> Rows:
        """Returns the boxes of the next frames."""
        boxes = np.array(cxcywh_to_xywh(part.boxes.astype(np.float64)))
        if self.count == 0:
            boxes[0] = self._given
        rows = Rows(self.count, boxes, part.scores, part.states, part.probabilities)
        silent = np.argwhere(part.scores == 0.0)
        if len(silent) and not self._silent:
            self._first_silent = self.count + int(silent[0, 0])
        self._silent += len(silent)
        self.count += len(boxes)
        if self._kept is not None:
            self._kept.append(rows)
        return rows

    def kept_text(self) -> str | None:
        """Returns all boxes so far as a file would have them; None if not kept."""
        if self._kept is None:
            return None
        return "".join(lines(rows, self.printed_as) for rows in self._kept)

    @property
    def printed_as(self) -> str:
        """Returns the suffix of the file like which boxes are printed."""
        return ".txt" if len(self._given) == 1 else ".csv"

    def silence(self, tracker: pathlib.Path) -> str | None:
        """Returns a line on frames for which the network had no finite answer, if any.

        There the box stayed, with a score of 0 that no finite answer has.

        Args:
          tracker: What the line calls the network.

        Raises:
          InputError: If it had none at all.
        """
        if not self._silent:
            return None
        targets = len(self._given)
        line = (
            f"{tracker}: its answers are not finite for {self._silent} of "
            f"{self.count * targets} {'frames' if targets == 1 else 'boxes'}, from "
            f"frame {self._first_silent} on; the box stayed there."
        )
        if self._silent == (self.count - 1) * targets:
            raise InputError(
                f"{line} Its weights are damaged; convert or train it again."
            )
        return line
