"""A masked candidate is the reduced network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dst_jax.arch import (
    Chain,
    ConvSpec,
    PoolSpec,
    named,
    scale_widths,
)
from dst_jax.distill import make_objective
from dst_jax.errors import InputError
from dst_jax.models import build, forward_train, init_variables, variable_shapes
from dst_jax.search import (
    ImpossibleError,
    SearchConfig,
    describe,
    expand,
    make_mask,
    shrink,
)
from dst_jax.train import Constants, Crops, init_state, make_optimizer, make_train_step
from tests import networks, objectives
from tests.search import reference
from tests.train import setting

pytestmark = pytest.mark.optax

PARENT = networks.TEACHER
CONFIG = SearchConfig(min_width=2)


def with_region_head(form):
    """The tiny tracker with groups and that head; 5 x 5 cells of 3 anchors."""
    parent = networks.REGION_TEACHER
    head = dataclasses.replace(parent.head, form=form, features=8)
    return dataclasses.replace(parent, head=head)


REGIONS = {form: with_region_head(form) for form in ("up_channel", "depthwise")}
NOKD = objectives.row(setting.CONFIG, "NOKD")


def extract(variables, child, parent):
    """The child's variables out of its parent's shapes, by where `expand` puts them."""
    places = jax.tree.map(
        lambda like: np.arange(1, like.size + 1).reshape(like.shape),
        {name: variable_shapes(child)[name] for name in variables},
    )

    def take(place, put, leaf):
        own = np.empty(place.size, np.asarray(leaf).dtype)
        own[put[put > 0] - 1] = np.asarray(leaf)[put > 0]
        return own.reshape(place.shape)

    return jax.tree.map(take, places, expand(places, child, parent), dict(variables))


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


TRAINED = {
    "correlation": (PARENT, jnp.float64),
    "single precision": (PARENT, jnp.float32),
    "up_channel": (REGIONS["up_channel"], jnp.float64),
    "depthwise": (REGIONS["depthwise"], jnp.float64),
}


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("up_channel", 0),
        # Every network is compiled by itself.
        pytest.param("correlation", 0, marks=pytest.mark.slow),
        pytest.param("single precision", 1, marks=pytest.mark.slow),
        pytest.param("depthwise", 0, marks=pytest.mark.slow),
        *(pytest.param(name, 2, marks=pytest.mark.slow) for name in TRAINED),
    ],
)
def test_masked_and_reduced_networks_learn_the_same(name, seed):
    parent, dtype = TRAINED[name]
    tolerance = 1e-8 if dtype == jnp.float64 else 5e-5
    with jax.enable_x64(dtype == jnp.float64):
        child = random_child(seed, parent)
        first = init_variables(jax.random.key(seed), child, param_dtype=dtype)
        objective = make_objective(None, {"candidate": child}, NOKD, dtype=dtype)
        exact = jax.jit(make_step(objective, dtype))
        want, small = train(exact, child, first, Constants(), dtype)
        mask = make_mask(child, parent)
        whole = expand(first, child, parent)
        objective = make_objective(None, {"candidate": parent}, NOKD, dtype=dtype)
        masked = jax.jit(make_step(objective, dtype))
        constants = Constants(masks={"candidate": mask})
        got, large = train(masked, parent, whole, constants, dtype)
    np.testing.assert_allclose(got, want, rtol=tolerance)
    small, large = (
        {"params": s.params["candidate"], "batch_stats": s.batch_stats["candidate"]}
        for s in jax.device_get((small, large))
    )
    differs = setting.relative_difference
    assert differs(first["params"], small["params"]) > 1e2 * tolerance
    # What was learnt is the child's, and nothing beside it.
    assert differs(extract(large, child, parent), small) < 100 * tolerance
    outside = jax.tree.map(
        lambda value, keep: np.abs(value * (1 - keep)).max(), large["params"], mask
    )
    assert max(jax.tree.leaves(outside)) == 0


def parent_of(groups, padding):
    """A parent whose stages split and read in different numbers of groups."""
    layers = (
        ConvSpec(24, 5, stride=2, padding=padding, pool=PoolSpec()),
        ConvSpec(24, 4, groups=groups[0], padding=padding),
        ConvSpec(12, 3, groups=groups[1], batch_norm=False, activation="none"),
    )
    return dataclasses.replace(PARENT, backbone=Chain(layers))


PARENTS = {
    "groups 4 and 3": parent_of((4, 3), 0),
    "groups 2 and 4, padded": parent_of((2, 4), 1),
    "no groups, padded": parent_of((1, 1), 3),
    **REGIONS,
}


@functools.cache
def forward_of(parent):
    """One compiled program for every child of a parent."""
    module = build(parent, dtype=jnp.float64, param_dtype=jnp.float64)

    def run(variables, template, search):
        output, _ = forward_train(module, variables, template, search)
        last = f"conv{len(parent.backbone.layers)}"
        answer = (*output.answer, None)[:2]
        return output.taps[f"search/{last}"], *answer

    return jax.jit(run)


@functools.cache
def weights_of(parent):
    """Any numbers, everywhere, and images."""
    rng = np.random.default_rng(0)
    shapes = variable_shapes(parent, param_dtype=jnp.float64)
    variables = jax.tree.map(lambda leaf: rng.normal(0.5, 1, leaf.shape), shapes)
    images = (rng.uniform(0, 255, (2, side, side, 3)) for side in (31, 47))
    return variables, *images


@pytest.mark.parametrize("name", PARENTS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_child_computes_in_its_parents_shape_what_it_does_in_its_own(name, data):
    # With batch statistics, at weights that might be anything: a function that is
    # the same everywhere has the same gradient too.
    parent = PARENTS[name]
    row = st.lists(st.integers(1, 10), min_size=5, max_size=5)
    rows = len(describe(parent, CONFIG).rows)
    actions = data.draw(st.lists(row, min_size=rows, max_size=rows))
    try:
        child = shrink(parent, actions, CONFIG)
    except ImpossibleError:
        reject()
    with jax.enable_x64(True):
        variables, template, search = weights_of(parent)
        own = extract(variables, child, parent)
        whole = expand(own, child, parent)
        ones = expand(jax.tree.map(np.ones_like, own), child, parent)
        found = jax.device_get(forward_of(parent)(whole, template, search))
    want = reference.respond(child, own["params"], template, search)
    last = ones["params"]["backbone"][f"conv{len(child.backbone.layers)}"]
    kept = last["conv"]["bias"] == 1
    assert not np.any(found[0][..., ~kept])
    for ours, theirs in zip((found[0][..., kept], *found[1:]), want, strict=True):
        if theirs is None:
            assert ours is None
            continue
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize(
    "name", ["siamfc-alexnet", "mini", "mini-siamrpn", "siamrpn-depthwise"]
)
def test_expanding_and_reducing_is_the_identity(name):
    parent = named(name)
    for seed in range(2):
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
    region = REGIONS["up_channel"]
    other = dataclasses.replace(region.head, features=2, scales=(8,))
    with pytest.raises(InputError, match="with fewer features; keep the parent's"):
        make_mask(dataclasses.replace(region, head=other), region)
    with pytest.raises(InputError, match="the head has 9 channels"):
        wider = dataclasses.replace(region.head, features=9)
        make_mask(dataclasses.replace(region, head=wider), region)
    with pytest.raises(InputError, match="5 stages cannot lie in one of 3"):
        make_mask(named("mini"), PARENT)
