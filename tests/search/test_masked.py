"""A masked candidate is the reduced network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import BackboneSpec, ConvSpec, PoolSpec, named, scale_widths
from dst_jax.distill import make_objective, with_row
from dst_jax.errors import InputError
from dst_jax.models import build, embed, init_variables, variable_shapes
from dst_jax.search import (
    SearchConfig,
    describe,
    expand,
    extract,
    make_mask,
    make_masked_objective,
    shrink,
)
from dst_jax.train import Crops, init_state, make_optimizer, make_train_step
from tests import networks
from tests.train import setting

pytestmark = pytest.mark.optax

PARENT = networks.TEACHER
CONFIG = SearchConfig(min_width=2)
NOKD = with_row(setting.CONFIG, "NOKD")


def random_child(seed, parent=PARENT):
    rows = len(describe(parent, CONFIG).rows)
    drawn = np.random.default_rng(seed).integers(1, 11, (rows, 5)).tolist()
    return shrink(parent, drawn, CONFIG)


def make_step(objective, dtype):
    return make_train_step(
        objective,
        make_optimizer(setting.OPTIM, total_steps=100),
        Crops(PARENT.input, setting.AUGMENT, seed=5, dtype=dtype),
        steps_per_epoch=10,
    )


def train(step, spec, variables, constants, dtype, steps=20):
    tx = make_optimizer(setting.OPTIM, total_steps=100)
    start = {"candidate": variables}
    state = init_state(
        jax.random.key(0), {"candidate": spec}, tx, start=start, param_dtype=dtype
    )
    losses = []
    for number in range(steps):
        state, metrics = step(state, constants, setting.make_batch(number))
        losses.append(float(metrics.loss))
    return np.array(losses), state


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float64, 1e-8), (jnp.float32, 5e-5)]
)
def test_masked_and_reduced_networks_learn_the_same(dtype, tolerance):
    with jax.enable_x64(dtype == jnp.float64):
        masked = jax.jit(
            make_step(make_masked_objective(PARENT, NOKD, dtype=dtype), dtype)
        )
        for seed in range(2):
            child = random_child(seed)
            first = init_variables(jax.random.key(seed), child, param_dtype=dtype)
            objective = make_objective(None, {"candidate": child}, NOKD, dtype=dtype)
            exact = jax.jit(make_step(objective, dtype))
            want, small = train(exact, child, first, {}, dtype)
            mask = make_mask(child, PARENT)
            whole = expand(first, child, PARENT)
            got, large = train(masked, PARENT, whole, mask, dtype)
            np.testing.assert_allclose(got, want, rtol=tolerance)
            learning = setting.relative_difference(
                first["params"], jax.device_get(small.params["candidate"])
            )
            assert learning > 1e2 * tolerance
            # What was learnt is the child's, and nothing beside it.
            learnt = extract({"params": large.params["candidate"]}, child, PARENT)
            difference = setting.relative_difference(
                learnt["params"], jax.device_get(small.params["candidate"])
            )
            assert difference < 100 * tolerance
            outside = jax.tree.map(
                lambda value, keep: np.abs(value * (1 - keep)).max(),
                jax.device_get(large.params["candidate"]),
                mask,
            )
            assert max(jax.tree.leaves(outside)) == 0


def parent_of(groups, padding):
    """A parent whose stages split and read in different numbers of groups."""
    layers = (
        ConvSpec(24, 5, stride=2, padding=padding, pool=PoolSpec()),
        ConvSpec(24, 4, groups=groups[0], padding=padding),
        ConvSpec(12, 3, groups=groups[1], batch_norm=False, activation="none"),
    )
    return dataclasses.replace(PARENT, backbone=BackboneSpec(layers))


@pytest.mark.parametrize(("groups", "padding"), [((4, 3), 0), ((2, 4), 1), ((1, 1), 3)])
def test_any_child_computes_in_its_parents_shape_what_it_does_in_its_own(
    groups, padding
):
    parent = parent_of(groups, padding)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 47, 47, 3))
    for seed in range(3):
        child = random_child(seed, parent)
        with jax.enable_x64(True):
            wide = {"dtype": jnp.float64, "param_dtype": jnp.float64}
            key = jax.random.key(seed)
            variables = init_variables(key, child, param_dtype=jnp.float64)
            whole = expand(variables, child, parent)
            found = [
                embed(build(spec, **wide), values, images)["conv3"]
                for spec, values in ((child, variables), (parent, whole))
            ]
        mask = make_mask(child, parent)["backbone"]["conv3"]["conv"]["bias"]
        small, large = (np.asarray(features) for features in found)
        np.testing.assert_allclose(large[..., mask == 1], small, rtol=1e-10, atol=1e-9)
        assert np.all(large[..., mask == 0] == 0)


@pytest.mark.parametrize("name", ["siamfc-alexnet", "mini"])
def test_expanding_and_reducing_is_the_identity(name):
    parent = named(name)
    for seed in range(4):
        child = random_child(seed, parent)
        variables = init_variables(jax.random.key(seed), child)
        whole = expand(variables, child, parent)
        same = jax.tree.map(
            lambda leaf, like: leaf.shape == like.shape, whole, variable_shapes(parent)
        )
        assert all(jax.tree.leaves(same))
        jax.tree.map(
            np.testing.assert_array_equal, extract(whole, child, parent), variables
        )
        kept = sum(
            int(leaf.sum()) for leaf in jax.tree.leaves(make_mask(child, parent))
        )
        assert kept == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_first_weights_have_the_reduced_networks_deviation():
    # By fan-out of the child, kernel side squared times its channels.
    parent = named("siamfc-alexnet")
    child = scale_widths(parent, 0.5)
    whole = expand(init_variables(jax.random.key(0), child), child, parent)
    kernel = whole["params"]["backbone"]["conv3"]["conv"]["kernel"]
    drawn = kernel[kernel != 0]
    assert drawn.size == 3 * 3 * 128 * 192
    np.testing.assert_allclose(drawn.std(), np.sqrt(2 / (9 * 192)), rtol=0.01)


def test_networks_that_do_not_lie_within_are_refused():
    with pytest.raises(InputError, match="conv1 has 24 channels"):
        make_mask(named("mini"), scale_widths(named("mini"), 0.5))
    with pytest.raises(InputError, match="5 stages cannot lie in one of 3"):
        make_mask(named("mini"), PARENT)
