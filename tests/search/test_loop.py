"""The loop around policy and scoring, and its ledger."""

import dataclasses

import pytest

from dst_jax.arch import spec_id
from dst_jax.errors import InputError
from dst_jax.search import (
    PolicyConfig,
    SearchConfig,
    best_trial,
    check_rewards,
    run_search,
    shrink,
)
from tests import networks

pytestmark = pytest.mark.optax

PARENT = networks.TEACHER
CONFIG = SearchConfig(steps=6, candidates=3, min_width=2, attributes=("features",))
POLICY = PolicyConfig(hidden=4, learning_rate=0.3)


class Scorer:
    """Scores by width, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, specs):
        self.asked.append([spec_id(spec) for spec in specs])
        return [0.01 * sum(spec.backbone.widths) for spec in specs]


def search(score, *, past=(), config=CONFIG, **rest):
    return run_search(
        PARENT, 0.4, score, config=config, policy=POLICY, seed=3, past=past, **rest
    )


def test_every_trial_is_scored_once_and_rewarded_by_equation_6():
    score = Scorer()
    trials = search(score)
    assert [(t.step, t.candidate) for t in trials] == [
        (step, candidate) for step in range(6) for candidate in range(3)
    ]
    asked = [name for names in score.asked for name in names]
    built = {spec_id(t.spec) for t in trials if t.spec is not None}
    assert sorted(asked) == sorted(built)
    assert len(asked) < len(trials), "the toy space has duplicates"
    for trial in trials:
        if trial.spec is None:
            assert (trial.reward, trial.problem) == (
                -1.0,
                "a network not smaller than the teacher.",
            )
            continue
        assert trial.spec == shrink(PARENT, trial.actions, CONFIG)
        accuracy = 0.01 * sum(trial.spec.backbone.widths)
        saved = trial.compression
        assert trial.accuracy == pytest.approx(accuracy)
        assert trial.reward == pytest.approx(saved * (2 - saved) * accuracy / 0.4)
    assert best_trial(trials).reward == max(t.reward for t in trials)


def test_rewards_may_count_multiply_adds():
    config = dataclasses.replace(CONFIG, size="macs", steps=2)
    trials = [t for t in search(Scorer(), config=config) if t.spec is not None]
    assert trials
    for trial in trials:
        # Search maps of 31, 13, 13 and 9 cells a side; the second stage has two groups.
        first, second, third = trial.spec.backbone.widths
        macs = 961 * 27 * first + 169 * second * (9 * first // 2 + third) + 2025 * third
        saved = 1 - macs / 212_448
        assert trial.compression == pytest.approx(saved)
        gain = saved * (2 - saved) * trial.accuracy / 0.4
        assert trial.reward == pytest.approx(gain)
    with pytest.raises(InputError, match="step 0 is not what this search"):
        search(Scorer(), past=search(Scorer(), config=config))


def test_a_candidate_above_the_largest_share_is_impossible_and_not_trained():
    # "tiny" teachers have 6, 8 and 6 channels; half of them leaves some room.
    everyone = search(Scorer())
    limit = sorted(1 - t.compression for t in everyone if t.spec)[3]
    score = Scorer()
    trials = search(score, config=dataclasses.replace(CONFIG, largest=limit))
    built = [t for t in trials if t.spec is not None]
    assert built and all(1 - t.compression <= limit + 1e-9 for t in built)
    refused = [t for t in trials if t.problem and "largest=" in t.problem]
    assert refused and all(t.reward == -1.0 for t in refused)
    assert len({name for asked in score.asked for name in asked}) <= len(built)


def test_a_finished_search_goes_on_when_it_is_given_more_steps():
    whole = search(Scorer())
    shorter = search(Scorer(), config=dataclasses.replace(CONFIG, steps=4))
    longer = search(Scorer(), past=shorter)
    assert longer[:12] == shorter
    strip = [dataclasses.replace(t, seconds=0.0) for t in longer]
    assert strip == [dataclasses.replace(t, seconds=0.0) for t in whole]


def test_the_policy_learns_from_the_rewards():
    other = search(lambda specs: [0.2] * len(specs))
    first = search(Scorer())
    actions = [[t.actions for t in trials] for trials in (first, other)]
    assert actions[0][:3] == actions[1][:3], "the first step precedes all learning"
    assert actions[0] != actions[1]


def test_a_ledger_of_another_search_is_refused():
    trials = search(Scorer())
    swapped = [dataclasses.replace(trials[1], candidate=0), *trials[:2]]
    with pytest.raises(InputError, match="step 0 is not what this search"):
        search(Scorer(), past=swapped)


def test_a_ledger_whose_numbers_were_changed_is_refused():
    trials = search(Scorer())
    for change in ({"reward": 9.0}, {"compression": 0.5}, {"spec": PARENT}):
        first = dataclasses.replace(trials[0], **change)
        with pytest.raises(InputError, match="step 0 is not what this search"):
            search(Scorer(), past=[first, *trials[1:3]])


def test_an_edit_from_which_all_numbers_follow_changes_what_the_policy_proposes():
    trials = search(Scorer())
    saved = trials[0].compression
    better = {"accuracy": 9.0, "reward": saved * (2.0 - saved) * 9.0 / 0.4}
    edited = [dataclasses.replace(trials[0], **better), *trials[1:]]
    check_rewards(PARENT, 0.4, edited, CONFIG)
    with pytest.raises(InputError, match=r"step [1-5] is not what this search"):
        search(Scorer(), past=edited)


def test_an_empty_space_is_refused_before_any_scoring():
    score = Scorer()
    for change in ({"attributes": ("padding",)}, {"min_width": 400}):
        empty = dataclasses.replace(CONFIG, **change)
        with pytest.raises(InputError, match="the search space is empty"):
            search(score, config=empty)
    assert score.asked == []


def test_training_that_diverges_counts_for_nothing():
    trials = search(lambda specs: [float("nan")] * len(specs))
    assert {t.problem for t in trials if t.spec is not None} == {"training diverged"}
    assert {t.reward for t in trials if t.spec is not None} == {0.0}
    with pytest.raises(InputError, match="no candidate could be built and trained"):
        best_trial(trials)


def test_rewards_are_checked_without_the_policy():
    trials = search(Scorer())
    check_rewards(PARENT, 0.4, trials, CONFIG)
    ragged = trials[0].actions[:-1]
    wrong = ((0,) * 5, *trials[0].actions[1:])
    changes = ({"reward": 4.9}, {"accuracy": 0.9}, {"actions": ragged})
    for change in (*changes, {"actions": wrong}, {"problem": "none"}, {"candidate": 7}):
        first = dataclasses.replace(trials[0], **change)
        with pytest.raises(InputError, match="step 0 is not what this search"):
            check_rewards(PARENT, 0.4, [first, *trials[1:]], CONFIG)
