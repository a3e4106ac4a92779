"""Frozen parts compute as in inference, stand still, and cost no gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from dst_jax.arch import named, with_bias
from dst_jax.errors import InputError
from dst_jax.models import (
    build,
    check_parts,
    forward,
    forward_train,
    init_variables,
    lies_in,
)
from tests import networks
from tests.models.programs import convolutions

SPEC = networks.LEVELS


def images(pixels, *, batch, seed):
    shape = (batch, pixels, pixels, 3)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return init_variables(jax.random.key(0), SPEC)


def step(frozen, *, batch=2):
    """A function from variables to loss, new statistics, and gradients."""
    module = build(SPEC, frozen=frozen)
    template, search = (images(px, batch=batch, seed=px) for px in (31, 47))

    def loss(params, stats):
        both = {"params": params, "batch_stats": stats}
        output, stats = forward_train(module, both, template, search)
        logits, offsets = output.answer
        return jnp.sin(logits).sum() + jnp.square(offsets).sum(), stats

    graded = jax.value_and_grad(loss, has_aux=True)
    return lambda v: graded(v["params"], v["batch_stats"])


def leaves(tree):
    """Arrays by path, "backbone/conv1/..."."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(e.key for e in path): np.asarray(leaf) for path, leaf in found}


@pytest.mark.parametrize(
    "frozen",
    [("conv1", "layer1"), ("backbone", "head/layer2/adjust", "head/cls_weight")],
    ids=["stages", "paths"],
)
def test_frozen_parts_stand_still_and_all_others_learn(frozen, variables):
    (_, stats), slopes = jax.jit(step(frozen))(variables)
    before, after = leaves(variables["batch_stats"]), leaves(stats)
    assert set(before) == set(after)
    starts = {
        "conv1": "backbone/conv1/",
        "layer1": "backbone/layer1/",
        "backbone": "backbone/",
        "head/layer2/adjust": "head/layer2/adjust/",
        "head/cls_weight": "head/cls_weight",
    }
    held = tuple(starts[part] for part in frozen)
    for name, old in before.items():
        assert np.array_equal(old, after[name]) == name.startswith(held), name
    for name, slope in leaves(slopes).items():
        assert np.any(slope) != name.startswith(held), name
    assert any(name.startswith(held) for name in before)


def test_a_wholly_frozen_network_trains_as_it_is_inferred(variables):
    module = build(SPEC, frozen=("backbone", "head"))
    crops = [images(px, batch=2, seed=px) for px in (31, 47)]
    trained = jax.jit(lambda v: forward_train(module, v, *crops)[0].answer)(variables)
    inferred = jax.jit(lambda v: forward(build(SPEC), v, *crops).answer)(variables)
    for got, aim in zip(trained, inferred, strict=True):
        np.testing.assert_allclose(got, aim, rtol=1e-5, atol=1e-5)


def test_no_gradient_is_computed_for_a_frozen_backbone(variables):
    def count(frozen):
        program = jax.make_jaxpr(step(frozen, batch=1))(variables)
        return len(list(convolutions(program.jaxpr)))

    # Both images pass the stem, a bottleneck and a basic block with projections; each
    # level has 2 adjustments, and in both branches 2 readings, 1 mix and 1 read-out.
    backbone, head = 2 * (1 + 4 + 3), 2 * (2 + 2 * 4)
    # Backward, each has one for its input and one for its kernel, but images and the
    # maps of frozen stages need none.
    assert count(()) == 3 * (backbone + head) - 2
    assert count(("backbone",)) == backbone + 3 * head - 2 * 2
    # The first convolution and the projection of layer2 read a frozen map, of which the
    # heads on layer1 need no gradient either.
    frozen = 2 * (1 + 4)
    expected = frozen + 3 * (backbone - frozen + head) - 2 * 2 - 2
    assert count(("conv1", "layer1")) == expected


def test_a_part_that_is_none_is_named():
    message = (
        r"frozen: 'layer3' names no part of the network; there are backbone, conv1, "
        r"layer1, layer2, head, and what lies in these, such as backbone/conv1/conv\."
    )
    with pytest.raises(InputError, match=message):
        build(SPEC, frozen=("conv1", "layer3"))
    check_parts(SPEC, ["layer2/block1/projection", "head/r_weight"], owner="parts")
    with pytest.raises(InputError, match="parts: 'head/layer' names no part"):
        check_parts(SPEC, ["head/layer"], owner="parts")


@pytest.mark.parametrize(
    ("path", "part", "inside"),
    [
        ("backbone/layer1/block1", "layer1", True),
        ("backbone/layer1/block1", "backbone/layer1", True),
        ("backbone/layer1/block1", "backbone", True),
        ("backbone/layer10/block1", "layer1", False),
        ("head/layer1/adjust", "layer1", False),
        ("head/layer1/adjust", "head/layer1", True),
        ("backbone", "backbone/layer1", False),
    ],
)
def test_a_part_is_a_prefix_of_whole_words(path, part, inside):
    assert lies_in(tuple(path.split("/")), part) == inside


@pytest.mark.parametrize(
    "leaf", ["conv1/conv/kernel", "conv1/norm/scale", "conv1/norm/bias", "head/bias"]
)
def test_a_single_parameter_is_frozen_alone(leaf):
    spec = with_bias(named("tiny"))
    variables = init_variables(jax.random.key(0), spec)
    rng = np.random.default_rng(0)
    images = [rng.uniform(0, 255, (2, n, n, 3)).astype(np.float32) for n in (79, 111)]

    def loss(params):
        given = {**variables, "params": params}
        output, _ = forward_train(build(spec, frozen=(leaf,)), given, *images)
        return jnp.sum(jnp.sin(output.answer.response))

    gradient = flatten_dict(jax.jit(jax.grad(loss))(variables["params"]), sep="/")
    still = [path for path, values in gradient.items() if not np.any(values)]
    whole = leaf if leaf.startswith("head") else f"backbone/{leaf}"
    # A bias before a normalisation has no gradient but rounding.
    assert [path for path in still if not path.endswith("conv/bias")] == [whole]


def test_modules_are_equal_if_they_freeze_the_same():
    make = functools.partial(build, SPEC)
    assert make(frozen=("conv1",)) == make(frozen=("conv1",)) != make()
    assert hash(make(frozen=("conv1",))) == hash(make(frozen=("conv1",)))
