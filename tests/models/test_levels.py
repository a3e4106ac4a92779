"""Heads on several levels: what is remembered, and how answers are fused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import (
    build,
    forward,
    forward_train,
    init_variables,
    remember,
    respond,
    variable_shapes,
)
from tests import networks
from tests.arch.test_residual import COUNTED, SIDES
from tests.models.programs import multiply_adds

SPEC = networks.LEVELS


def with_head(spec, **changes):
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, **changes))


def images(*, batch, pixels, seed):
    shape = (batch, pixels, pixels, 3)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    fresh = init_variables(jax.random.key(0), SPEC)
    rng = np.random.default_rng(7)
    # Biases and statistics that are not 0 and 1 alone.
    return jax.tree.map(
        lambda leaf: (leaf + rng.uniform(0, 0.3, leaf.shape)).astype(leaf.dtype), fresh
    )


def answer(spec, variables):
    template = images(batch=2, pixels=31, seed=1)
    search = images(batch=2, pixels=47, seed=2)
    run = jax.jit(lambda v: forward(build(spec), v, template, search).answer)
    return jax.tree.map(np.asarray, run(variables))


def one_level(variables, level):
    """The answer of a network that has the head of one level alone."""
    spec = with_head(SPEC, levels=(level,), fusion="mean")
    params = {
        "backbone": variables["params"]["backbone"],
        "head": variables["params"]["head"][level],
    }
    stats = {
        "backbone": variables["batch_stats"]["backbone"],
        "head": variables["batch_stats"]["head"][level],
    }
    return answer(spec, {"params": params, "batch_stats": stats})


@pytest.fixture(scope="module")
def alone(variables):
    """Answers of each level: logits [2, b, u, v, k, 2] and offsets."""
    answers = [one_level(variables, level) for level in SPEC.levels]
    return [np.stack(maps) for maps in zip(*answers, strict=True)]


def test_the_memory_names_level_and_branch(variables):
    template = images(batch=3, pixels=31, seed=0)
    memory = jax.eval_shape(lambda v: remember(build(SPEC), v, template), variables)
    names = {"layer1.cls", "layer1.r", "layer2.cls", "layer2.r"}
    assert set(memory) == names
    # 8 cells, of which the middle 4 are read by a kernel of 3.
    assert {kernel.shape for kernel in memory.values()} == {(3, 2, 2, 8)}


def test_one_template_serves_a_batch_of_search_images(variables):
    template = images(batch=1, pixels=31, seed=0)
    search = images(batch=2, pixels=47, seed=1)

    @jax.jit
    def both(v):
        module = build(SPEC)
        memory = remember(module, v, template)
        twice = jnp.concatenate([template, template])
        whole = forward(module, v, twice, search).answer
        return respond(module, v, memory, search), whole

    found, expected = both(variables)
    for got, aim in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, aim, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fusion", ["mean", "learned"])
def test_the_fused_answer_is_the_weighted_sum_of_the_levels(fusion, variables, alone):
    head = dict(variables["params"]["head"])
    shares = np.full((2, 2), 0.5)
    if fusion == "learned":
        # softmax(log 3, log 1) = 3/4, 1/4 for logits, and 1/5, 4/5 for offsets.
        head["cls_weight"] = np.log(np.array([3.0, 1.0], np.float32))
        head["r_weight"] = np.log(np.array([1.0, 4.0], np.float32))
        shares = np.array([[0.75, 0.25], [0.2, 0.8]])
    else:
        del head["cls_weight"], head["r_weight"]
    params = {**variables["params"], "head": head}
    found = answer(with_head(SPEC, fusion=fusion), {**variables, "params": params})
    for got, share, levels in zip(found, shares, alone, strict=True):
        aim = np.tensordot(share, levels, axes=1)
        assert got.shape == (2, 9, 9, 2, got.shape[-1])
        np.testing.assert_allclose(got, aim, rtol=1e-4, atol=1e-5)
        assert np.abs(levels[0] - levels[1]).max() > 0.1


def test_levels_are_weighted_equally_at_first():
    fresh = init_variables(jax.random.key(3), SPEC)["params"]["head"]
    np.testing.assert_array_equal(fresh["cls_weight"], [1.0, 1.0])
    np.testing.assert_array_equal(fresh["r_weight"], [1.0, 1.0])


def test_a_fresh_head_answers_with_unit_logits_and_boxes_near_anchors():
    spec = with_head(SPEC, features=64, adjust=16)
    fresh = init_variables(jax.random.key(0), spec)
    template = images(batch=2, pixels=31, seed=1)
    search = images(batch=2, pixels=47, seed=2)
    run = jax.jit(lambda v: forward_train(build(spec), v, template, search)[0].answer)
    logits, offsets = run(fresh)
    assert 0.3 < float(logits.std()) < 3.0
    assert 0.03 < float(offsets.std()) < 0.3


def counted(name):
    """A network of the table; two of them are traced in every run."""
    quick = name in ("siamrpnpp-r50", "siamrpnpp-r18")
    return pytest.param(name, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("name", [counted(name) for name in COUNTED])
def test_the_program_has_the_multiply_adds_and_sides_of_the_table(name):
    spec = arch.named(name)
    module, shapes = build(spec), variable_shapes(spec)
    template, search = (
        jax.ShapeDtypeStruct((1, side, side, 3), np.float32) for side in SIDES
    )
    seen, memory = jax.make_jaxpr(
        lambda v, z: remember(module, v, z), return_shape=True
    )(shapes, template)
    shown = jax.make_jaxpr(lambda v, m, x: respond(module, v, m, x))(
        shapes, memory, search
    )
    # Correlations are left out, because they may be computed in several ways.
    correlations = 24_000_000 * spec.head.features // 256
    found = multiply_adds(seen.jaxpr), multiply_adds(shown.jaxpr) + correlations
    assert found == COUNTED[name][-2:]
    both = jax.eval_shape(
        lambda v, z, x: forward(module, v, z, x), shapes, template, search
    )
    for role, (stem, _, *stages) in zip(
        ("template", "search"), SIDES.values(), strict=True
    ):
        taps = {n: t.shape[1:3] for n, t in both.taps.items() if n.startswith(role)}
        assert list(taps.values()) == [(side, side) for side in (stem, *stages)]
    assert both.answer.response.shape == (1, 25, 25, 5, 2)
    assert both.answer.offsets.shape == (1, 25, 25, 5, 4)


def test_one_level_without_adjustment_has_the_names_of_a_head_without_levels():
    plain = arch.named("siamrpn-depthwise")
    levelled = with_head(plain, levels=("conv5",))
    assert variable_shapes(levelled) == variable_shapes(plain)
