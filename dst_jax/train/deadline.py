"""Ends long work in time, so that a scheduler need not kill it."""

import time

# Durations are assumed until they are measured.
ASSUMED_S, SPARE_S = 10.0, 2.0


class TimeUp(KeyboardInterrupt):
    """Says that the time limit ended the work after all of it was saved.

    Attributes:
      exit_code: The code with which the process ends: that of "try again" in sysexits.
    """

    exit_code = 75

    def __init__(self, where: str):
        super().__init__(f"the time limit ends the run {where}, which is saved")


class Deadline:
    """The time by which work must have ended, and how long its parts take.

    Args:
      seconds: Seconds from now until then.
    """

    def __init__(self, seconds: float):
        self._at = time.monotonic() + seconds
        self._took: dict[str, float] = {}

    def took(self, part: str, seconds: float) -> None:
        """Notes how long a part took, such as "step" or "checkpoint"."""
        self._took[part] = seconds

    def is_near(self, *parts: str) -> bool:
        """Returns whether too little time is left for `parts`, with a margin.

        A part that never took place yet counts as some seconds, or as long as the
        longest one: its first time may compile a program.

        Args:
          parts: What will be done before the next question; the longest counts twice.
        """
        unknown = max([ASSUMED_S, *self._took.values()])
        seconds = [self._took.get(part, unknown) for part in parts]
        need = sum(seconds) + max(seconds, default=0.0) + SPARE_S
        return self.left() < need

    def left(self) -> float:
        """Returns the seconds that are left, negative if none are."""
        return self._at - time.monotonic()
