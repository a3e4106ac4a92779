"""Ends long work in time, so that a scheduler need not kill it."""

import time

# Assumed until they are measured; what else is unknown may take as long as anything.
ASSUMED_S = {"step": 1.0, "checkpoint": 5.0}
SPARE_S = 8.0  # for the beginning and the end of the process
FADES = 0.9  # how much of a longer duration before still counts


class TimeUp(KeyboardInterrupt):
    """Says that the time limit ended the work, of which nothing is lost.

    Args:
      where: Where the work stands, such as "at step 5 of 8".

    Attributes:
      exit_code: The code with which the process ends: that of "try again" in sysexits.
    """

    exit_code = 75

    def __init__(self, where: str):
        super().__init__(f"the time limit ends the run {where}")


class Deadline:
    """The time by which work must have ended, and how long its parts take.

    Args:
      seconds: Seconds from now until then.
    """

    def __init__(self, seconds: float):
        self._at = time.monotonic() + seconds
        self._took: dict[str, float] = {}
        self._last = time.monotonic()

    def took(self, part: str, seconds: float) -> None:
        """Notes how long a part took, such as "step" or "checkpoint"."""
        self._took[part] = max(seconds, FADES * self._took.get(part, 0.0))

    def took_again(self, part: str, seconds: float) -> None:
        """Notes the same, but the first time apart, which compiles a program."""
        first = f"first {part}"
        self.took(part if first in self._took else first, seconds)

    def passed(self, part: str) -> None:
        """Notes that a part ended that began when the one before it ended."""
        now = time.monotonic()
        self.took(part, now - self._last)
        self._last = now

    def is_near(self, *parts: str) -> bool:
        """Returns whether too little time is left for `parts`, with a margin.

        Args:
          parts: What will be done before the next question; the longest counts twice.
        """
        known = {**ASSUMED_S, **self._took}
        # The first time may compile a program, as the longest part yet probably did.
        seconds = [known.get(part, max(known.values())) for part in parts]
        need = sum(seconds) + max(seconds, default=0.0) + SPARE_S
        return self.left() < need

    def left(self) -> float:
        """Returns the seconds that are left, negative if none are."""
        return self._at - time.monotonic()
