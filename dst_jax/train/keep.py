"""Says which checkpoints of a run stay when a newer one is written."""

from collections.abc import Mapping
from typing import NamedTuple


class Keep(NamedTuple):
    """Which checkpoints of a run stay.

    Attributes:
      last: So many of the newest.
      every: Those of steps that are multiples of it; 0 for none.
      best: Whether for each student that with its lowest validation loss stays.
    """

    last: int = 2
    every: int = 0
    best: bool = False

    def chosen(self, losses: Mapping[int, Mapping[str, float]]) -> set[int]:
        """Returns the steps of the checkpoints that stay.

        Args:
          losses: Validation losses by student, for each step of which there is a
            checkpoint; nothing for steps without a validation.

        Example:
          >>> losses = {2: {"dull": 0.4}, 4: {"dull": 0.7}, 6: {}, 8: {"dull": 0.5}}
          >>> sorted(Keep(last=1, best=True).chosen(losses))
          [2, 8]
          >>> sorted(Keep(last=1, every=4).chosen(losses))
          [4, 8]
        """
        steps = sorted(losses)
        kept = set(steps[-self.last :])
        if self.every:
            kept |= {step for step in steps if step % self.every == 0}
        if self.best:
            for name in {name for own in losses.values() for name in own}:
                # Of equal ones the first, whose weights the run keeps as the best.
                measured = [step for step in steps if name in losses[step]]
                kept.add(min(measured, key=lambda step: losses[step][name]))
        return kept

    def most(self, total_steps: int, students: int) -> int:
        """Returns how many checkpoints there are at most, one in the making included.

        Args:
          total_steps: Number of steps of the run.
          students: Number of its students.
        """
        for_good = total_steps // self.every if self.every else 0
        return self.last + 1 + for_good + (students if self.best else 0)


NEWEST_TWO = Keep()
