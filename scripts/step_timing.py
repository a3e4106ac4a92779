"""What benchmarks share: a batch of noise, a step with a clock, turns."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np


def noise_batch(sides: Mapping[str, int], count: int) -> dict[str, np.ndarray]:
    """Patches of noise, with a target in the middle of each.

    Args:
      sides: Side of a patch by role, "template" and "search", in pixels.
      count: Number of pairs.
    """
    rng, batch = np.random.default_rng(0), dict[str, np.ndarray]()
    for role, side in sides.items():
        shape = (count, side, side, 3)
        batch[f"{role}_patch"] = rng.integers(0, 256, shape, dtype=np.uint8)
        batch[f"{role}_fill_rgb"] = np.zeros((count, 3), np.float32)
        box = np.array([side / 2, side / 2, side / 5, side / 5], np.float32)
        batch[f"{role}_box"] = np.tile(box, (count, 1))
    flags = {"mask": np.ones(count, np.float32), "is_negative": np.zeros(count, bool)}
    return {**batch, **flags, "index": np.arange(count, dtype=np.int32)}


def in_turn(names: Iterable[str], rounds: int) -> Iterator[str]:
    """Yields all names in every round, each time beginning with the next one.

    Args:
      names: The sides of a benchmark.
      rounds: Number of rounds.
    """
    order = list(names)
    for _ in range(rounds):
        yield from order
        order = [*order[1:], *order[:1]]


def timed_step(
    step: Any,
    state: Any,
    constants: Any,
    batch: Mapping[str, np.ndarray],
    *,
    steps: int = 1,
) -> Callable[[], float]:
    """Returns a function that takes one step after another, and returns their seconds.

    Args:
      step: A compiled training step.
      state: The state before the first step.
      constants: Constants of the step.
      batch: The batch of every step.
      steps: Number of steps of a call, which waits for the last one alone, as a run
        does; the seconds are those of one step.
    """

    def run() -> float:
        nonlocal state
        began, metrics = time.perf_counter(), None
        for _ in range(steps):
            state, metrics = step(state, constants, batch)
        jax.block_until_ready((state, metrics))
        return (time.perf_counter() - began) / steps

    return run
