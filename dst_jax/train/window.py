"""Averages the metrics of steps for a report, across an interruption too."""

import math
import time
from collections.abc import Mapping
from typing import Any

import jax

from dst_jax.train.snapshot import OpenWindow
from dst_jax.train.step import SKIPPED, StepMetrics

# So many steps wait at most to be averaged, whatever `log_every` is.
MOST_WAITING = 1000
NOTHING = OpenWindow()


class Window:
    """Averages metrics over the steps since the last report.

    Metrics stay on the device until they are averaged or there are many.

    Args:
      batch: Number of pairs in a step.
      before: Sums over steps that an earlier process took since its last report.

    Attributes:
      unsound: The first metric that is not finite, such as "loss is nan", and how many
        steps were averaged after its own; None while all are finite.
    """

    def __init__(self, batch: int, *, before: OpenWindow = NOTHING):
        self._batch = batch
        self.unsound: tuple[str, int] | None = None
        self._begin(before)

    def _begin(self, before: OpenWindow) -> None:
        self._steps, self._sums = before.steps, dict(before.sums)
        self._metrics: list[StepMetrics] = []
        self._timed = 0  # steps of this process, whose duration is known
        self._waited = 0.0
        self._began = time.perf_counter()

    def add(self, metrics: StepMetrics, waited: float) -> None:
        """Adds the metrics of a step and the seconds that it waited for its batch."""
        self._metrics.append(metrics)
        self._timed += 1
        self._waited += waited
        if len(self._metrics) == MOST_WAITING:
            self._add_up()

    def pause(self, seconds: float) -> None:
        """Leaves seconds of validation or saving out of the rates."""
        self._began += seconds

    def open(self) -> OpenWindow:
        """Returns the sums so far, without which a resumed run would report less."""
        self._add_up()
        return OpenWindow(self._steps, dict(self._sums))

    def close(self) -> dict[str, float]:
        """Returns averages and rates, and begins a new window."""
        self._add_up()
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        values = self._means()
        values |= shares(values)
        values["steps"] = self._steps
        values["pairs_per_s"] = self._timed * self._batch / elapsed
        values["data_wait_share"] = self._waited / elapsed
        values["data_wait_s"] = self._waited / self._timed  # per step
        self._begin(NOTHING)
        return values

    def _means(self) -> dict[str, float]:
        """Returns the means over the steps that were not skipped, and those's share."""
        sums = dict(self._sums)
        skipped = sums.pop(SKIPPED, None)
        counted = self._steps - (skipped or 0.0)
        means = {key: total / counted for key, total in sums.items()}
        return means if skipped is None else {**means, SKIPPED: skipped / self._steps}

    def _add_up(self) -> None:
        """Moves the metrics that wait into the sums.

        The order of additions is that of the steps, however often this is called: so
        sums do not depend on where a run was interrupted.
        """
        for row in jax.device_get(self._metrics):
            values = {key: float(value) for key, value in named(row).items()}
            for key, value in values.items():
                self._sums[key] = self._sums.get(key, 0.0) + value
            self._judge(values)
        self._steps += len(self._metrics)
        self._metrics = []

    def _judge(self, values: Mapping[str, float]) -> None:
        """Keeps the first metric that is not finite, and how long ago it was."""
        bad = [key for key, value in values.items() if not math.isfinite(value)]
        if self.unsound:
            what, after = self.unsound
            self.unsound = what, after + 1
        elif bad:
            self.unsound = f"{bad[0]} is {values[bad[0]]}", 0


def named(metrics: StepMetrics) -> dict[str, Any]:
    """Returns metrics by flat names: "loss", "loss/STUDENT/TERM", "gt/NAME", ...

    A skipped step has no other value.

    Args:
      metrics: Metrics of one step.
    """
    if metrics.globals.get(SKIPPED):
        return {SKIPPED: metrics.globals[SKIPPED]}
    return (
        {"loss": metrics.loss}
        | {f"loss/{name}": value for name, value in metrics.terms.items()}
        | dict(metrics.globals)
        | {f"gradient_norm/{n}": value for n, value in metrics.gradient_norm.items()}
    )


def shares(values: Mapping[str, float]) -> dict[str, float]:
    """Returns how much of each student's loss each of several terms is.

    Args:
      values: Averages by flat names, "loss/STUDENT/TERM" among them.

    Returns:
      "share/STUDENT/TERM", which add up to 1 for a student; nothing for students of
      one term, and of a loss that is not positive.

    Example:
      >>> shares({"loss": 4.0, "loss/dull/gt": 3.0, "loss/dull/pair": 1.0})
      {'share/dull/gt': 0.75, 'share/dull/pair': 0.25}
    """
    terms: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        if name.startswith("loss/"):
            student, _, term = name.removeprefix("loss/").partition("/")
            terms.setdefault(student, {})[term] = value
    return {
        f"share/{student}/{term}": value / sum(own.values())
        for student, own in terms.items()
        if len(own) > 1 and 0.0 < sum(own.values()) < math.inf
        for term, value in own.items()
    }
