"""What a mapped step does with trees that come again, and by what it computes."""

import jax
import numpy as np
import pytest

from dst_jax.ops.kernels import OPTIONS, Kernels, kernels
from dst_jax.train import AXIS_NAME, Constants
from dst_jax.train.parallel import data_parallel, placing_once

pytestmark = pytest.mark.optax


def test_a_tree_is_placed_anew_only_when_another_one_came_between():
    seen = []

    def place(tree):
        seen.append(tree)
        return len(seen)

    place_once, one, other = placing_once(place), {"a": 1}, {"a": 1}
    calls = [place_once(tree) for tree in (one, one, other, other, one)]
    # Equal is not enough: the two trees may be changed apart.
    assert calls == [1, 1, 2, 2, 3]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the kinds are a CPU's")
@pytest.mark.parametrize("form", ["pmap", "shard_map"])
def test_a_step_is_traced_for_the_kernels_that_it_is_given(form):
    seen = []

    def step(state, constants, batch):
        seen.append(kernels())
        return state + 1, jax.lax.psum(batch["x"].sum(), AXIS_NAME)

    given = Kernels("eigen", tuple(OPTIONS["eigen"].items()))
    run = data_parallel(step, form=form, kernels=given)
    batch = {"x": np.ones(2 * jax.local_device_count(), np.float32)}
    state, total = run(np.float32(1.0), Constants({}), batch)
    assert (float(state), float(total)) == (2.0, len(batch["x"]))
    assert set(seen) == {given}
