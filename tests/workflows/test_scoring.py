"""Scores: of one network whoever is beside it, by a program that is compiled once."""

import dataclasses

import jax
import numpy as np
import pytest

from dst_jax.data.pipeline import DataConfig
from dst_jax.experiment import Experiment
from dst_jax.models import init_variables
from dst_jax.ops.augment import AugmentConfig
from dst_jax.search import SearchConfig, describe, shrink
from dst_jax.train import OptimConfig
from dst_jax.workflows.scoring import Exam, make_accuracy, make_score
from tests import networks, objectives
from tests.train import setting

pytestmark = pytest.mark.optax

PARENT = networks.TEACHER
SEARCH = SearchConfig(candidates=3, min_width=2, pairs=4, epochs=1.0, batch=2)
EXPERIMENT = Experiment(
    students={"teacher": PARENT},
    data=DataConfig(sources=("none:",)),
    **objectives.TINY._asdict(),
    optim=OptimConfig(learning_rate=1e-2),
    search=SEARCH,
)


def make_exam(parent=PARENT, **changes):
    experiment = dataclasses.replace(EXPERIMENT, **changes)
    held_out = []
    for number in (8, 9):
        batch = setting.make_batch(number)
        centre = 0.5 * batch["search_patch"].shape[1]
        box = np.tile(np.float32([centre, centre, 12, 16]), (4, 1))
        held_out.append({**batch, "search_box": box, "template_box": box})
    return Exam(experiment, parent, setting.make_batch(0), held_out)


def children(count, parent=PARENT):
    rng = np.random.default_rng(1)
    rows = len(describe(parent, SEARCH).rows)
    drawn = rng.integers(1, 10, (count, rows, 5)).tolist()
    return [shrink(parent, actions, SEARCH) for actions in drawn]


@pytest.fixture(scope="module")
def score():
    with jax.numpy_dtype_promotion("standard"):
        yield make_score(make_exam())


def test_a_score_does_not_depend_on_who_is_beside(score):
    # Five networks in four places, one for each device: two rounds.
    specs = children(5)
    together = score(specs)
    assert all(0 < accuracy <= 1 for accuracy in together)
    assert len(set(together)) > 1
    np.testing.assert_allclose(score(specs[::-1]), together[::-1], atol=1e-6)
    np.testing.assert_allclose(score(specs[4:]), together[4:], atol=1e-6)


def test_all_candidates_run_in_one_program_compiled_once(score):
    score(children(1))
    compiled = []

    def listen(event, duration_secs, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    score(children(8)[5:])
    assert compiled == []


def test_a_divergence_has_no_accuracy():
    optim = dataclasses.replace(
        EXPERIMENT.optim, learning_rate=1e30, final_learning_rate=1e30
    )
    found = make_score(make_exam(optim=optim))(children(2))
    assert np.isnan(found).all()


def test_accuracy_is_the_mean_overlap_of_proposals_around_the_target():
    # All cells propose, so that the response does not matter: 5 x 5 of stride 4 px.
    exam = make_exam()
    accuracy = make_accuracy(PARENT, exam.validation, proposals=25)
    found = accuracy(init_variables(jax.random.key(0), PARENT))
    want = []
    for dx, dy in np.ndindex(5, 5):
        inter = max(12 - 4 * abs(dx - 2), 0) * max(16 - 4 * abs(dy - 2), 0)
        want.append(inter / (2 * 12 * 16 - inter))
    assert found == pytest.approx(np.mean(want), rel=1e-5)


@pytest.mark.slow
def test_networks_with_a_region_head_score_the_same_masked_and_exact():
    parent = networks.REGION_TEACHER
    specs = children(5, parent)
    # Fresh heads lose their boxes at the other tests' rate; a few need not overlap.
    kinds = {"optim": OptimConfig(learning_rate=1e-4, clip_norm=1.0)}
    every = dataclasses.replace(SEARCH, proposals=75)
    masked = make_score(make_exam(parent, search=every, **kinds))
    together = masked(specs)
    assert all(0 < accuracy <= 1 for accuracy in together)
    np.testing.assert_allclose(masked(specs[::-1]), together[::-1], atol=1e-6)
    search = dataclasses.replace(every, mode="exact")
    exact = make_score(make_exam(parent, search=search, **kinds))(specs[:1])
    np.testing.assert_allclose(exact, together[:1], atol=1e-4)


def test_regions_are_scored_where_the_target_is_seen():
    # No offsets and all anchors: 5 x 5 x 3, 4 px apart, around a crop of 47 px.
    parent = networks.REGION_TEACHER
    variables = init_variables(jax.random.key(0), parent)
    adjust = variables["params"]["head"]["regress_adjust"]
    adjust["kernel"] = np.zeros_like(adjust["kernel"])
    batch = setting.make_batch(3, sides=(31, 47))
    box = np.float32([[27.5, 21.5, 18, 13]])
    batch["search_box"] = np.tile(box, (4, 1))
    found = make_accuracy(parent, [batch], proposals=75)(variables)
    want = []
    # Sides of 16 px^2 at ratios .5, 1 and 2 in whole pixels, times 4.
    for width, height in ((20, 8), (16, 16), (8, 16)):
        for row, column in np.ndindex(5, 5):
            x, y = 23.5 + 4 * (column - 2), 23.5 + 4 * (row - 2)
            low = max(x - width / 2, 18.5), max(y - height / 2, 15)
            high = min(x + width / 2, 36.5), min(y + height / 2, 28)
            inter = max(high[0] - low[0], 0) * max(high[1] - low[1], 0)
            want.append(inter / (width * height + 18 * 13 - inter))
    assert found == pytest.approx(np.mean(want), rel=1e-5)
    # A crop that is moved shows the target elsewhere.
    windows = AugmentConfig(stretch=0.0, search_shift_px=4.0)
    wide = setting.make_batch(3, sides=(31, 55))
    wide["search_box"] = batch["search_box"] + np.float32([4, 4, 0, 0])
    accuracy = make_accuracy(parent, [wide], proposals=75, windows=windows)
    assert accuracy(variables) != pytest.approx(found, rel=1e-3)


def test_masked_pairs_do_not_count():
    exam = make_exam()
    first, second = exam.validation
    spoilt = {**second, "mask": np.zeros(4, np.float32)}
    spoilt["search_box"] = spoilt["search_box"] + np.float32(1000)
    variables = init_variables(jax.random.key(0), PARENT)
    whole = make_accuracy(PARENT, [first, spoilt], proposals=3)(variables)
    assert whole == pytest.approx(
        make_accuracy(PARENT, [first], proposals=3)(variables)
    )
