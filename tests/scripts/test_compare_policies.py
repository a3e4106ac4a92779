"""REINFORCE beside random search: settings, uniform widths, tables, resumption."""

import dataclasses
import types

import numpy as np
import pytest

from dst_jax.arch import TrackerSpec, named, tracker_cost
from dst_jax.errors import InputError
from dst_jax.search import Trial
from tests import networks

PANELS = ("reward", "accuracy", "compression")


@pytest.fixture(scope="module")
def scripts(script):
    names = ("compare_policies", "policy_report")
    return types.SimpleNamespace(**{n: script(n) for n in names})


def trial(number, *, reward, spec: TrackerSpec | None = networks.TEACHER):
    problem = None if spec else "none"
    step, candidate = divmod(number, 2)
    scores = (0.5, 0.75) if spec else (0.0, 0.0)
    return Trial(step, candidate, (), spec, problem, *scores, reward, 0.0)


def judged(reward):
    return {
        "widths": [4, 6],
        "kernels": [3, 1],
        "parameters": 1234,
        "search_macs": 5_600_000,
        "accuracy": [0.25, 0.75],
        "compression": [0.5, 0.5],
        "reward": [reward, reward],
    }


def result(first, last):
    numbers = {
        "reward": [[first, first]] * 4 + [[last, last]] * 4,
        "accuracy": [[0.5, None]] * 8,
        "compression": [[0.75, None]] * 8,
    }
    return {"REINFORCE": numbers, "random": numbers}


def test_both_searches_differ_in_what_proposes_alone(scripts):
    make = scripts.compare_policies.experiment_of
    learning, chance = (
        make(7, "got10k:x", sampler=sampler) for sampler in ("policy", "uniform")
    )
    assert chance.search.sampler == "uniform" and chance.seed == 7
    same = dataclasses.replace(chance.search, sampler="policy")
    assert dataclasses.replace(chance, search=same) == learning


def test_candidates_train_as_those_of_the_recorded_figures_did(scripts):
    experiment = scripts.compare_policies.experiment_of(0, "got10k:x")
    optim, search = experiment.optim, experiment.search
    rates = optim.learning_rate, experiment.policy.learning_rate
    assert (*rates, optim.momentum, optim.clip_norm) == (0.03, 0.02, 0.9, 5.0)
    sizes = search.steps, search.candidates, search.pairs, search.train_steps
    assert (*sizes, search.validation_pairs) == (50, 4, 96, 6, 128)
    assert experiment.labels.radius_px == 8.0 and search.size == "parameters"


def test_found_networks_are_judged_by_other_pairs_and_longer(scripts):
    script = scripts.compare_policies
    seeds = [script.judge_of(s, "got10k:x", n).seed for s in (0, 1) for n in range(3)]
    assert len(set(seeds)) == 6 and not set(seeds) & set(range(1000))
    search = script.experiment_of(0, "got10k:x").search
    longer = script.judge_of(0, "got10k:x", 0).search
    assert longer.train_steps == 4 * search.train_steps
    assert longer.validation_pairs == search.validation_pairs


def test_a_uniform_width_is_the_nearest_in_size(scripts):
    parent, half = named("mini"), named("mini-half")
    find = scripts.compare_policies.uniform_width
    assert find(parent, 15_288, "parameters") == half
    assert find(parent, 14_563_356, "macs") == half
    target = 6_000
    found = tracker_cost(find(parent, target, "parameters")).parameters
    assert abs(found - target) < 800
    widths = find(parent, target, "parameters").backbone.widths
    np.testing.assert_allclose(np.array(widths) / parent.backbone.widths, 0.3, atol=0.1)


def test_numbers_of_trials_are_ordered_by_step_and_have_gaps(scripts):
    trials = [
        trial(0, reward=0.1),
        trial(1, reward=0.2),
        trial(2, reward=-1.0, spec=None),
        trial(3, reward=0.4),
    ]
    assert scripts.compare_policies.numbers_of(trials, 2) == {
        "reward": [[0.1, 0.2], [-1.0, 0.4]],
        "accuracy": [[0.5, 0.5], [None, 0.5]],
        "compression": [[0.75, 0.75], [None, 0.75]],
    }


def test_the_last_steps_network_is_that_of_its_highest_reward(scripts):
    find = scripts.compare_policies.best_of_last_step
    dull = networks.STUDENTS["dull"]
    before = [trial(0, reward=0.9), trial(1, reward=0.8)]
    last = [trial(2, reward=0.3), trial(3, reward=0.4, spec=dull)]
    assert find([*before, *last]) == dull
    none = [trial(n, reward=-1.0, spec=None) for n in (2, 3)]
    assert find([*before, *none]) is None


def test_means_of_steps_leave_gaps_out(scripts):
    report = scripts.policy_report
    means = report.step_means([[1.0, None], [None, None], [2.0, 4.0]])
    np.testing.assert_array_equal(means, [1.0, np.nan, 3.0])
    np.testing.assert_allclose(report.smoothed(means, 2), [1.0, 1.0, 3.0])
    np.testing.assert_allclose(
        report.smoothed(np.array([4.0, 2.0, 6.0, 1.0]), 3), [4.0, 3.0, 4.0, 3.0]
    )


def test_quarters_are_the_first_and_last_of_the_steps(scripts):
    values = [[1.0], [2.0], [9.0], [9.0], [9.0], [9.0], [3.0], [5.0]]
    assert scripts.policy_report.quarters(values) == (1.5, 4.0)


def test_tables_have_a_row_for_every_search_and_network(scripts):
    report = scripts.policy_report
    both = {1: {**result(0.5, 0.75), "judged": {"random": judged(0.625)}}}
    both[0] = {"REINFORCE": result(0.25, 0.25)["REINFORCE"]}
    assert report.search_table(both).splitlines()[2:] == [
        "| 0 | REINFORCE | 0.250 | 0.250, 0.250 | 0.250 |",
        "| 1 | REINFORCE | 0.625 | 0.500, 0.750 | 0.750 |",
        "| 1 | random | 0.625 | 0.500, 0.750 | 0.750 |",
    ]
    assert report.judged_table(both).splitlines()[2:] == [
        "| 1 | random | 4, 6; 3, 1 | 1,234 | 5.60 | 0.500 | 0.625 |"
    ]


def test_differences_are_between_samplers_of_a_seed(scripts):
    report = scripts.policy_report
    found = {}
    for seed, last in ((0, 0.75), (1, 0.5)):
        learning, chance = (result(0.25, end)["random"] for end in (last, 0.25))
        again = {"REINFORCE": 0.5, "random": 0.75}
        again |= {"REINFORCE, last step": last, "uniform width": 0.25}
        found[seed] = {"REINFORCE": learning, "random": chance}
        found[seed]["judged"] = {name: judged(r) for name, r in again.items()}
    found[2] = {"REINFORCE": learning}
    # Of the interval: for two values it reaches 12.706 times half their distance.
    assert report.difference_table(found).splitlines()[2:] == [
        "| REINFORCE - random, mean reward | +0.188 | -0.607 to +0.982 | 2 of 2 "
        "| +0.250, +0.125 |",
        "| REINFORCE - random, last quarter | +0.375 | -1.213 to +1.963 | 2 of 2 "
        "| +0.500, +0.250 |",
        "| REINFORCE - random, last quarter less first | +0.375 | -1.213 to +1.963 "
        "| 2 of 2 | +0.500, +0.250 |",
        "| REINFORCE - random, best reward | +0.375 | -1.213 to +1.963 | 2 of 2 "
        "| +0.500, +0.250 |",
        "| REINFORCE - random, trained anew | -0.250 | -0.250 to -0.250 | 0 of 2 "
        "| -0.250, -0.250 |",
        "| REINFORCE - uniform width, trained anew | +0.250 | +0.250 to +0.250 "
        "| 2 of 2 | +0.250, +0.250 |",
        "| REINFORCE, last step - random, trained anew | -0.125 | -1.713 to +1.463 "
        "| 0 of 2 | +0.000, -0.250 |",
        "| REINFORCE, last step - uniform width, trained anew | +0.375 "
        "| -1.213 to +1.963 | 2 of 2 | +0.500, +0.250 |",
    ]


def test_the_plot_has_a_line_for_each_sampler_and_a_band_over_seeds(scripts):
    found = {seed: result(0.5, last) for seed, last in ((0, 0.6), (1, 0.8))}
    even = {**judged(0.95), "as candidate": dict.fromkeys(PANELS, 0.55)}
    found[0]["judged"] = {scripts.policy_report.UNIFORM_WIDTH: even}
    figure = scripts.policy_report.policies_plot(found)
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles == ["Reward R, eq. 6", "Accuracy, eq. 7", "Compression C"]
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert list(lines) == ["REINFORCE", "random", "uniform width"]
    curve = np.asarray(lines["REINFORCE"].get_ydata())
    assert curve[0] == 0.5
    # The last 5 steps: one of the first half, four of the second.
    np.testing.assert_allclose(curve[-1], (0.5 + 4 * 0.7) / 5)
    assert set(np.asarray(lines["uniform width"].get_ydata())) == {0.55}
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [0.5, (0.5 + 4 * 0.8) / 5])


def test_a_result_of_another_setting_is_refused(scripts, tmp_path):
    script = scripts.compare_policies
    assert script.read_result(tmp_path, 0) == {}
    script.write_result(tmp_path, 0, {"judged": {}})
    assert script.read_result(tmp_path, 0)["judged"] == {}
    with pytest.raises(InputError, match="another setting"):
        script.read_result(tmp_path, 1)


def test_a_report_of_nothing_is_refused(scripts, tmp_path):
    with pytest.raises(InputError, match="no search of these seeds"):
        scripts.compare_policies.run_seeds(tmp_path, [0, 1], only_report=True)
