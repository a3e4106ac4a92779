"""Candidates side by side learn as each does alone."""

import jax
import numpy as np
import pytest

from dst_jax.distill import make_objective
from dst_jax.errors import InputError
from dst_jax.train import Constants, Crops, make_optimizer, make_train_step
from dst_jax.train.candidates import over_candidates, places_for
from tests import objectives
from tests.train import setting

pytestmark = pytest.mark.optax

SPEC = setting.STUDENTS["dull"]
NOTHING = Constants()


@pytest.fixture(scope="module")
def step():
    objective = make_objective(
        None, {"candidate": SPEC}, objectives.row(setting.CONFIG, "NOKD")
    )
    return make_train_step(
        objective,
        make_optimizer(setting.OPTIM, total_steps=100),
        Crops(SPEC.input, setting.AUGMENT, seed=5),
        steps_per_epoch=10,
    )


def first_states():
    states = []
    for number in range(4):
        state = setting.fresh_state({"candidate": SPEC})
        factor = np.float32(1.0 + 0.25 * number)
        params = jax.tree.map(lambda leaf, f=factor: leaf * f, state.params)
        states.append(state._replace(params=params))
    return states


def run(step, states):
    for number in range(3):
        states, metrics = step(states, NOTHING, setting.make_batch(number))
    return states, metrics


@pytest.mark.parametrize(
    ("batching", "devices"),
    [("unrolled", 2), pytest.param("vmapped", 1, marks=pytest.mark.slow)],
)
def test_candidates_learn_as_each_does_alone(step, batching, devices):
    alone = jax.jit(step)
    want = [run(alone, state) for state in first_states()]
    local = jax.local_devices()[:devices]
    together = over_candidates(step, batching=batching, devices=local)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *first_states())
    states, metrics = run(together, stacked)
    assert len(states.step.sharding.device_set) == devices
    for number, (state, own) in enumerate(want):
        got = jax.tree.map(lambda leaf, n=number: leaf[n], states)
        assert setting.relative_difference(got.params, state.params) < 2e-5
        np.testing.assert_allclose(metrics.loss[number], own.loss, rtol=1e-5)
    assert len(set(np.asarray(metrics.loss).tolist())) == 4


def test_places_divide_over_the_devices():
    assert [places_for(3, devices=d) for d in (1, 2, 3, 4)] == [3, 4, 3, 4]
    with pytest.raises(InputError, match="at least 1"):
        places_for(0, devices=1)
