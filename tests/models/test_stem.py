"""A stem of convolutions against PyTorch's, and what it shares with a patch's."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import build, forward_train, init_variables, remember
from tests.networks import one_stream

torch = pytest.importorskip("torch", reason="the stem is restated in PyTorch")
F = torch.nn.functional

PLAIN = one_stream(16)
SPEC = arch.with_conv_stem(PLAIN)
PX = {"template": 8, "search": 16}


def test_scores_begin_at_the_prior():
    spec = arch.with_prior(PLAIN, 0.1)
    fresh = init_variables(jax.random.key(0), spec)["params"]["head"]
    # The logarithm of the odds .1 : .9.
    np.testing.assert_allclose(fresh["score"]["read"]["bias"], [-2.1972246], rtol=1e-6)
    for name in ("offset", "size"):
        assert not np.any(fresh[name]["read"]["bias"])
    half = init_variables(jax.random.key(0), PLAIN)["params"]["head"]
    assert not np.any(half["score"]["read"]["bias"])


def drawn(spec):
    """Variables whose every number is drawn: biases, scales and statistics too."""
    rng = np.random.default_rng(0)
    fresh = init_variables(jax.random.key(0), spec)
    found = jax.tree.map(lambda x: rng.normal(0.3, 0.5, x.shape), fresh["params"])
    stats = jax.tree.map(lambda x: rng.uniform(0.5, 2, x.shape), fresh["batch_stats"])
    both = {"params": found, "batch_stats": stats}
    return jax.tree.map(lambda x: x.astype(np.float32), both)


def pictures(batch=2):
    rng = np.random.default_rng(1)
    return {
        role: rng.uniform(0, 255, (batch, px, px, 3)).astype(np.float32)
        for role, px in PX.items()
    }


def planes(images):
    """Images as PyTorch reads them, with the mean and the deviation of the spec."""
    mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]
    deviation = torch.tensor([0.2, 0.3, 0.25])[:, None, None]
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return (x / 255 - mean) / deviation


def convolved(values, x):
    kernel = torch.from_numpy(values["conv"]["kernel"]).permute(3, 2, 0, 1)
    return F.conv2d(x, kernel, stride=2, padding=1)


def normalised(values, x, mean, variance):
    scale, bias = (torch.from_numpy(values["norm"][name]) for name in ("scale", "bias"))
    return F.batch_norm(x, mean, variance, scale, bias, eps=1e-5)


def test_a_stem_of_convolutions_gives_the_tokens_of_its_restatement():
    variables, images = drawn(SPEC), pictures()["template"]
    backbone = variables["params"]["backbone"]
    patch, x = backbone["patch"], planes(images)
    for stage in ("conv1", "conv2"):
        stats = variables["batch_stats"]["backbone"]["patch"][stage]["norm"]
        known = (torch.from_numpy(stats[name]) for name in ("mean", "var"))
        x = normalised(patch[stage], convolved(patch[stage], x), *known).relu()
    last = jax.tree.map(torch.from_numpy, patch["last"])
    x = F.conv2d(x, last["kernel"].T[:, :, None, None], last["bias"])
    aim = x.flatten(2).transpose(1, 2).numpy() + backbone["positions"]["template"]
    found = np.asarray(remember(build(SPEC), variables, jnp.asarray(images)))
    # Four cells of 4 x 4 px in a template of 8 px.
    assert found.shape == aim.shape == (2, 4, 12)
    assert np.abs(found - aim).max() <= 1e-4 * np.abs(aim).max()


def test_training_normalises_both_images_by_their_common_statistics():
    variables, images = drawn(SPEC), pictures()
    patch = variables["params"]["backbone"]["patch"]
    own = variables["batch_stats"]["backbone"]["patch"]
    pair = jax.tree.map(jnp.asarray, (images["template"], images["search"]))
    _, after = jax.jit(forward_train, static_argnums=0)(build(SPEC), variables, *pair)
    maps = [planes(x) for x in images.values()]
    for stage in ("conv1", "conv2"):
        maps = [convolved(patch[stage], x) for x in maps]
        cells = torch.cat([x.transpose(0, 1).flatten(1) for x in maps], dim=1)
        mean, variance = cells.mean(1), cells.var(1, unbiased=False)
        found = after["backbone"]["patch"][stage]["norm"]
        for name, value in (("mean", mean), ("var", variance)):
            # A tenth of the batch's comes in at each step.
            aim = 0.9 * own[stage]["norm"][name] + 0.1 * value.numpy()
            np.testing.assert_allclose(found[name], aim, rtol=1e-4, atol=1e-5)
        maps = [normalised(patch[stage], x, mean, variance).relu() for x in maps]


def test_both_stems_leave_all_other_variables_alike():
    conv, plain = (
        init_variables(jax.random.key(0), spec)["params"] for spec in (SPEC, PLAIN)
    )
    assert set(conv["backbone"].pop("patch")) == {"conv1", "conv2", "last"}
    assert jax.tree.map(np.shape, plain["backbone"].pop("patch")) == {
        "kernel": (48, 12),
        "bias": (12,),
    }
    assert jax.tree.map(np.shape, conv) == jax.tree.map(np.shape, plain)


@pytest.mark.parametrize("patch", [2, 4])
def test_the_counted_numbers_are_those_of_the_network(patch):
    backbone = dataclasses.replace(SPEC.backbone, patch=patch)
    spec = dataclasses.replace(SPEC, backbone=backbone)
    variables, cost = init_variables(jax.random.key(0), spec), arch.tracker_cost(spec)
    for kind, count in (("params", cost.parameters), ("batch_stats", cost.statistics)):
        leaves = jax.tree.leaves(variables[kind])
        assert count == sum(math.prod(leaf.shape) for leaf in leaves)


def test_a_frozen_stem_keeps_its_statistics_and_gets_no_gradient():
    variables = drawn(SPEC)
    module = build(SPEC, frozen=("patch",))
    pair = jax.tree.map(jnp.asarray, tuple(pictures(1).values()))

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def slope(params):
        own = {**variables, "params": params}
        output, after = forward_train(module, own, *pair)
        return jnp.sin(output.answer.response).sum(), after

    found, after = slope(variables["params"])
    for leaf in jax.tree.leaves(found["backbone"]["patch"]):
        np.testing.assert_array_equal(leaf, 0.0)
    assert np.abs(found["backbone"]["block0"]["qkv"]["kernel"]).max() > 0.0
    jax.tree.map(
        np.testing.assert_array_equal,
        after["backbone"]["patch"],
        variables["batch_stats"]["backbone"]["patch"],
    )
