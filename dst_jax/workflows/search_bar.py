"""Shows how far a search is, and what it waits for."""

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import Progress

from dst_jax.search import SearchConfig, Trial, mean_reward
from dst_jax.workflows.progress import PAUSE_S, Status, reported_steps, speaking


class SearchBar:
    """A bar for the steps of the policy, and one for training within a step.

    Args:
      progress: Display of both bars.
      config: Settings of the search.
      past: Trials of an earlier call.
    """

    def __init__(self, progress: Progress, config: SearchConfig, past: Sequence[Trial]):
        self._progress, self._config = progress, config
        self._rewards = [trial.reward for trial in past]
        self._done, self._trained = len(past) // config.candidates, 0
        best = f"best {max(self._rewards):.3f}" if past else ""
        self._outer = progress.add_task(
            "search", total=config.steps, completed=self._done, numbers=best
        )
        self._status = Status("compiling")
        self._inner = progress.add_task("train", total=None, numbers=self._status)

    def advance(self) -> None:
        """Counts a step of training."""
        self._trained += 1
        # After the last step of some networks they are scored; with a program for each
        # network, the next one is compiled then.
        if self._trained % self._config.train_steps:
            self._status.tell("")
        else:
            exact = self._config.mode == "exact"
            self._status.tell("scoring, compiling" if exact else "scoring")
        self._progress.update(self._inner, completed=self._trained)

    def finish_step(self, trials: Sequence[Trial]) -> str:
        """Counts a step of the policy; returns a line about it."""
        self._rewards.extend(trial.reward for trial in trials)
        self._done, self._trained = self._done + 1, 0
        now = mean_reward([trial.reward for trial in trials])
        numbers = f"reward {now:.3f}  best {max(self._rewards):.3f}"
        self._progress.update(self._outer, completed=self._done, numbers=numbers)
        exact = self._config.mode == "exact"
        self._status.tell("compiling" if exact else "preparing")
        self._progress.reset(self._inner, total=None)
        return f"step {self._done}: {numbers}"

    def __str__(self) -> str:
        now = f"search: step {self._done + 1} of {self._config.steps}"
        return f"{now}, {self._trained} steps of training, {self._status}".rstrip(", ")


@contextlib.contextmanager
def search_bar(
    console: Console,
    config: SearchConfig,
    past: Sequence[Trial],
    *,
    pause_s: float = PAUSE_S,
) -> Iterator[SearchBar]:
    """Shows a search.

    Args:
      console: Console for the bars; without a terminal it gets lines.
      config: Settings of the search.
      past: Trials of an earlier call.
      pause_s: Seconds between two lines about one step.

    Yields:
      The bar, which is told of every step.
    """
    with reported_steps(console) as progress:
        bar = SearchBar(progress, config, past)
        with speaking(console, bar, pause_s=pause_s):
            yield bar
