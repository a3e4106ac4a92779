"""The search samples actions, scores the networks they make and updates the policy."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from dst_jax.arch import TrackerSpec, spec_id
from dst_jax.errors import InputError
from dst_jax.search.config import SearchConfig
from dst_jax.search.policy import PolicyConfig, init_policy, sample, update
from dst_jax.search.reward import IMPOSSIBLE, compression, reward
from dst_jax.search.space import (
    ACTIONS,
    Actions,
    ImpossibleError,
    check_space,
    describe,
    shrink,
)

DIVERGED = "training diverged"

# Returns the accuracies of networks, in order; NaN for one whose training diverged.
Score: TypeAlias = Callable[[Sequence[TrackerSpec]], Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One candidate of the search and its score.

    Attributes:
      step: Number of the policy's update to which the candidate belongs, from 0.
      candidate: Number of the candidate within the step, from 0.
      actions: Actions in tenths, one line of five per primitive layer.
      spec: The network, or None if the actions lead to none.
      problem: Reason why there is no network, or "training diverged"; None otherwise.
      accuracy: Accuracy of eq. 7 as a mean; 0 where there is none.
      compression: C of eq. 6; 0 where there is no network.
      reward: Reward of eq. 6, which is 0 after a divergence; -1 where there is no
        network.
      seconds: Share of the time that scoring took; 0 for a network scored before.
    """

    step: int
    candidate: int
    actions: tuple[tuple[int, ...], ...]
    spec: TrackerSpec | None
    problem: str | None
    accuracy: float
    compression: float
    reward: float
    seconds: float


def run_search(
    parent: TrackerSpec,
    teacher_accuracy: float,
    score: Score,
    *,
    config: SearchConfig,
    policy: PolicyConfig,
    seed: int,
    past: Sequence[Trial] = (),
    report: Callable[[Sequence[Trial]], None] = lambda trials: None,
) -> list[Trial]:
    """Runs the search, or goes on after the whole steps of `past`.

    The policy's state is a function of the seed and of the rewards so far, so that a
    search is resumed by repeating its updates, not its trainings.

    Args:
      parent: The teacher's architecture.
      teacher_accuracy: acc_t of eq. 6.
      score: Function that trains networks and returns their accuracies.
      config: The space and the number of steps.
      policy: Settings of the policy and its optimizer.
      seed: Seed of the policy's weights and samples.
      past: Trials of an earlier call, in whole steps.
      report: Function that is called with the trials of each new step.

    Returns:
      All trials, in order.

    Raises:
      InputError: If the space is empty, or `past` is not what this search would have
        tried.
    """
    check_space(parent, config)
    description = describe(parent, config)
    rows = np.asarray(description.rows, np.float32)
    free = np.asarray(description.free)
    first, stream = jax.random.split(jax.random.key(seed))
    state = init_policy(first, policy)
    known: dict[str, float] = {}
    trials: list[Trial] = []
    for step in range(config.steps):
        key = jax.random.fold_in(stream, step)
        if config.sampler == "uniform":
            indices = _uniform(key, free, config.candidates)
        else:
            rollouts = sample(
                key, state.params, rows, free, policy, rollouts=config.candidates
            )
            indices = np.asarray(rollouts.actions)
        chosen = np.asarray(ACTIONS)[indices].tolist()
        earlier = past[len(trials) : len(trials) + config.candidates]
        if earlier:
            found = _replay(parent, teacher_accuracy, earlier, chosen, step, config)
        else:
            found = _try(parent, teacher_accuracy, score, chosen, step, known, config)
            report(found)
        known |= {
            spec_id(t.spec): t.accuracy if t.problem is None else float("nan")
            for t in found
            if t.spec is not None
        }
        trials += found
        if config.sampler == "policy":
            rewards = np.asarray([t.reward for t in found], np.float32)
            state, _ = update(state, rows, free, indices, rewards, policy)
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Returns the trial of highest reward, the earliest of equals.

    Raises:
      InputError: If every candidate was impossible or diverged.
    """
    possible = [t for t in trials if t.spec is not None and t.problem is None]
    if not possible:
        raise InputError(
            "no candidate could be built and trained; lower OptimConfig.learning_rate "
            "if they diverged, or change the space (SearchConfig)."
        )
    return max(possible, key=lambda t: t.reward)


def check_rewards(
    parent: TrackerSpec,
    teacher_accuracy: float,
    trials: Sequence[Trial],
    config: SearchConfig,
) -> None:
    """Checks that networks and rewards of trials follow from actions and accuracies.

    Unlike `run_search` with these trials as its past it does not ask the policy, whose
    updates differ between platforms.

    Args:
      parent: The teacher's architecture.
      teacher_accuracy: acc_t of eq. 6.
      trials: Trials in whole steps.
      config: The space.

    Raises:
      InputError: If a trial does not follow.
    """
    widths = [len(row) for row in describe(parent, config).rows]
    for trial in trials:
        known = {tenth for row in trial.actions for tenth in row} <= set(ACTIONS)
        if not known or [len(row) for row in trial.actions] != widths:
            raise _stranger(trial.step)
    for first in range(0, len(trials), config.candidates):
        found = trials[first : first + config.candidates]
        chosen = [[list(row) for row in trial.actions] for trial in found]
        step = first // config.candidates
        _replay(parent, teacher_accuracy, found, chosen, step, config)


def _uniform(key: Any, free: np.ndarray, candidates: int) -> np.ndarray:
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    drawn = rng.integers(len(ACTIONS), size=(candidates, *free.shape))
    return np.where(free, drawn, len(ACTIONS) - 1).astype(np.int32)


def _replay(
    parent: TrackerSpec,
    teacher_accuracy: float,
    earlier: Sequence[Trial],
    chosen: Sequence[Actions],
    step: int,
    config: SearchConfig,
) -> list[Trial]:
    """Checks all that is cheap to redo of a ledger's step, and returns its trials."""
    fits = True
    for number, (trial, actions) in enumerate(zip(earlier, chosen, strict=True)):
        spec, _ = _build(parent, actions, config)
        gain, saved = IMPOSSIBLE, 0.0
        if spec is not None:
            saved = compression(spec, parent, size=config.size)
            gain = reward(trial.accuracy, teacher_accuracy, saved)
        same = [list(row) for row in trial.actions] == actions and trial.spec == spec
        near = np.allclose((trial.compression, trial.reward), (saved, gain), atol=1e-6)
        same &= (trial.step, trial.candidate) == (step, number)
        known = (None, DIVERGED)
        same &= trial.problem in known if spec else trial.problem is not None
        fits = fits and same and bool(near)
    if not fits:
        raise _stranger(step)
    return list(earlier)


def _stranger(step: int) -> InputError:
    return InputError(
        f"the ledger's step {step} is not what this search would have tried; "
        "it was made by another version or platform, or edited: use another folder."
    )


def _try(
    parent: TrackerSpec,
    teacher_accuracy: float,
    score: Score,
    chosen: Sequence[Actions],
    step: int,
    known: dict[str, float],
    config: SearchConfig,
) -> list[Trial]:
    """Builds, scores and rewards the candidates of one step."""
    built = [_build(parent, actions, config) for actions in chosen]
    fresh = {spec_id(spec): spec for spec, _ in built if spec is not None}
    fresh = {name: spec for name, spec in fresh.items() if name not in known}
    began = time.perf_counter()
    scored = dict(zip(fresh, score(list(fresh.values())), strict=True)) if fresh else {}
    share = (time.perf_counter() - began) / max(len(fresh), 1)
    trials = []
    for number, (actions, (spec, problem)) in enumerate(
        zip(chosen, built, strict=True)
    ):
        values = (0.0, 0.0, IMPOSSIBLE, 0.0)
        if spec is not None:
            name = spec_id(spec)
            accuracy = float((known | scored)[name])
            saved = compression(spec, parent, size=config.size)
            if np.isnan(accuracy):
                accuracy, problem = 0.0, DIVERGED
            # The first of equal candidates gets the time of all.
            seconds = share if fresh.pop(name, None) else 0.0
            gain = reward(accuracy, teacher_accuracy, saved)
            values = (accuracy, saved, gain, seconds)
        lines = tuple(tuple(row) for row in actions)
        trials.append(Trial(step, number, lines, spec, problem, *values))
    return trials


def _build(
    parent: TrackerSpec, actions: Actions, config: SearchConfig
) -> tuple[TrackerSpec | None, str | None]:
    """Returns the network, or None and the reason why there is none."""
    try:
        return shrink(parent, actions, config), None
    except ImpossibleError as error:
        return None, str(error)
