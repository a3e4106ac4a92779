"""OneStream: two ways to eliminate, two to run blocks, what is drawn and remembered."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.arch import AreaCrop, CentreHeadSpec, InputSpec, TokenBackboneSpec
from dst_jax.errors import InputError
from dst_jax.models import (
    ModelConfig,
    Moment,
    build,
    forward,
    init_variables,
    remember,
    respond,
    share_kept,
)
from dst_jax.search.config import SearchConfig
from dst_jax.search.space import describe
from dst_jax.workflows.kernel_table import layers_of

# 16 template and 64 search tokens, of which 45 and 32 stay.
CE = arch.TrackerSpec(
    TokenBackboneSpec(24, 4, 3, patch=4, eliminate=((1, 0.7), (2, 0.7))),
    CentreHeadSpec(8),
    InputSpec(16, 32, 32, scale=1 / 255, mean=(0.5, 0.4, 0.3), area=AreaCrop(2.0, 5.0)),
)
WHOLE = dataclasses.replace(CE, backbone=dataclasses.replace(CE.backbone, eliminate=()))
LATE, EARLY = 100.0, 20.0


def images(batch=3):
    rng = np.random.default_rng(0)
    return [
        rng.uniform(0, 255, (batch, side, side, 3)).astype(np.float32)
        for side in (CE.input.template_px, CE.input.search_px)
    ]


def variables_of(spec, dtype=jnp.float32):
    """Weights that are large enough for tokens to differ."""
    fresh = init_variables(jax.random.key(0), spec, param_dtype=dtype)
    return jax.tree.map(lambda x: 4.0 * x if x.ndim == 2 else x, fresh)


def moment(epoch, batch=3, key=0, first=0):
    number = jnp.arange(first, first + batch)
    return Moment(jax.random.key(key), number, jnp.float32(epoch))


def without_drops(spec):
    backbone = dataclasses.replace(spec.backbone, drop_path=0.0)
    return dataclasses.replace(spec, backbone=backbone)


@functools.partial(jax.jit, static_argnums=0)
def trained(module, variables, template, search, when):
    """The output of training, with statistics of inference in the head."""
    return module.apply(variables, template, search, train=True, moment=when)


def frozen_head(spec, **options):
    """A module whose head normalises as in inference, in training too."""
    return build(spec, frozen=("head",), **options)


@functools.partial(jax.jit, static_argnums=0)
def seen(module, variables, template, search):
    return forward(module, variables, template, search)


def assert_same(found, expected, tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for got, aim in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert got.dtype == aim.dtype
        scale = max(np.abs(aim).max(), 1.0)
        np.testing.assert_allclose(got, aim, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)]
)
def test_marked_tokens_count_for_as_little_as_those_that_were_taken_out(
    dtype, tolerance
):
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("standard"):
        kind = jnp.dtype(dtype)
        spec = without_drops(CE)
        module = frozen_head(spec, dtype=kind, param_dtype=kind)
        variables = variables_of(spec, kind)
        pair = [image.astype(kind) for image in images()]
        gathered = seen(module, variables, *pair)
        marked = trained(module, variables, *pair, moment(LATE))
        assert_same(marked, gathered, tolerance)
        # 64 cells become ceil(.7 * 64) = 45 and ceil(.7 * 45) = 32.
        for name, count in (("k1", 64), ("k2", 45), ("k3", 32), ("norm", 32)):
            there = np.any(np.asarray(marked.taps[f"search/{name}"]) != 0.0, axis=-1)
            assert there.sum(axis=(1, 2)).tolist() == [count] * 3, name


def test_no_token_goes_before_the_epoch_at_which_elimination_begins():
    spec, variables = without_drops(CE), variables_of(CE)
    module = frozen_head(spec)
    early = trained(module, variables, *images(), moment(EARLY))
    whole = seen(build(without_drops(WHOLE)), variables, *images())
    assert_same(early, whole, 1e-6)
    # Half-way the share is .85: ceil(.85 * 64) = 55 and ceil(.85 * 55) = 47.
    half = trained(module, variables, *images(), moment(60.0))
    there = np.any(np.asarray(half.taps["search/norm"]) != 0.0, axis=-1)
    assert there.sum(axis=(1, 2)).tolist() == [47] * 3


def test_the_tokens_that_stay_are_those_the_middle_of_the_template_attends_to():
    spec, variables = without_drops(CE), variables_of(CE)
    output = seen(build(spec), variables, *images())
    taps = {name: np.asarray(x, np.float64) for name, x in output.taps.items()}
    # Grids of 4 x 4 cells have their middle in row 1, column 1.
    query = taps["template/q1"][:, 1, 1].reshape(3, 3, 8)
    keys = [taps[f"{role}/k1"].reshape(3, -1, 3, 8) for role in ("template", "search")]
    logits = np.einsum("bhc,bnhc->bhn", query, np.concatenate(keys, axis=1)) / 8**0.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    scores = shares.mean(axis=1)[:, 16:]
    for example, score in enumerate(scores):
        there = np.any(taps["search/k2"][example] != 0.0, axis=-1).ravel()
        assert set(np.flatnonzero(there)) == set(np.argsort(score)[-45:])


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 1.0), (20, 1.0), (40, 0.956066), (60, 0.85), (100, 0.7)]
)
def test_the_share_that_is_kept_falls_along_a_cosine(epoch, share):
    found = share_kept(jnp.float32(epoch), 0.7, start=20.0, over=80.0)
    # .7 + .3 (1 + cos(pi / 4)) / 2 = .956066 at a quarter of the way.
    np.testing.assert_allclose(found, share, atol=1e-6)


def test_a_share_that_falls_over_no_epoch_falls_at_once():
    when = jnp.array([4.0, 5.0, 6.0])
    found = jax.vmap(lambda e: share_kept(e, 0.5, start=5.0, over=0.0))(when)
    np.testing.assert_allclose(found, [1.0, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("spec", [CE, WHOLE], ids=["eliminating", "all"])
def test_blocks_in_a_loop_compute_what_blocks_one_by_one_do(spec, train):
    variables = variables_of(spec)
    plain, looped = (
        frozen_head(spec, config=ModelConfig(scan_blocks=scan), taps=("q3",))
        for scan in (False, True)
    )

    def output(module):
        if train:
            return trained(module, variables, *images(), moment(LATE))
        return seen(module, variables, *images())

    found = output(looped)
    assert_same(found, output(plain), 1e-6)
    assert set(found.taps) == {
        f"{role}/{name}" for role in ("template", "search") for name in ("q3", "norm")
    }


def test_a_loop_has_the_gradients_of_blocks_one_by_one():
    variables = variables_of(WHOLE)

    def slopes(scan):
        config = ModelConfig(scan_blocks=scan)
        module = frozen_head(WHOLE, config=config, taps=())

        @jax.jit
        @jax.grad
        def slope(params):
            own = {**variables, "params": params}
            when = moment(LATE)
            found = module.apply(own, *images(), train=True, moment=when)
            return jnp.sin(found.answer.response).sum()

        return slope(variables["params"])

    assert_same(slopes(True), slopes(False), 1e-5)


def scans(module, variables):
    text = str(jax.make_jaxpr(lambda v: forward(module, v, *images()))(variables))
    return text.count(" scan[")


def test_blocks_that_are_tapped_or_eliminate_stay_out_of_the_loop():
    whole, ce = variables_of(WHOLE), variables_of(CE)
    config = ModelConfig(scan_blocks=True)
    # Blocks 0 to 3 in one loop; 0 to 1 and nothing after 2; 0 alone before 1 and 2.
    assert scans(build(WHOLE, config=config, taps=()), whole) == 1
    assert scans(build(WHOLE, config=config, taps=("k1",)), whole) == 1
    assert scans(build(WHOLE, config=config), whole) == 0
    assert scans(build(CE, config=config, taps=()), ce) == 0


def test_what_is_dropped_follows_from_the_number_of_an_example_alone():
    backbone = dataclasses.replace(WHOLE.backbone, drop_path=0.6)
    spec = dataclasses.replace(WHOLE, backbone=backbone)
    module, variables = frozen_head(spec), variables_of(spec)
    template, search = (np.repeat(image[:1], 6, axis=0) for image in images())
    every = trained(module, variables, template, search, moment(0.0, 6))
    last = trained(module, variables, template[3:], search[3:], moment(0.0, 3, first=3))
    scores = np.asarray(every.answer.response)
    np.testing.assert_allclose(last.answer.response, scores[3:], atol=1e-5)
    # Equal images with other numbers, or another key, are dropped otherwise.
    assert len(np.unique(scores[:, 0, 0].round(4))) >= 3
    other = trained(module, variables, template, search, moment(0.0, 6, key=1))
    assert np.abs(other.answer.response - scores).max() > 1e-3


def test_dropped_halves_are_rare_at_first_and_scaled_up_where_they_stay():
    spec = dataclasses.replace(WHOLE.backbone, drop_path=0.5, depth=3)
    module = build(dataclasses.replace(WHOLE, backbone=spec), frozen=("block2",))
    variables = init_variables(jax.random.key(0), module.spec)

    def paths(uniform):
        return module.bind(variables).backbone.paths(uniform)

    # The rates are 0, 1/4 and 1/2, but the last block is frozen.
    uniform = jnp.broadcast_to(jnp.array([0.0, 0.2, 0.3])[:, None, None], (3, 3, 2))
    found = paths(uniform)
    assert found.shape == (3, 2, 3)
    np.testing.assert_allclose(found[0], 1.0)
    np.testing.assert_allclose(found[1, 0], [0.0, 0.0, 4 / 3])
    np.testing.assert_allclose(found[2], 1.0)


def test_one_template_serves_all_search_images():
    module, variables = build(CE), variables_of(CE)
    template, search = images()
    memory = remember(module, variables, template[:1])
    assert memory.shape == (1, 16, 24)
    alone = respond(module, variables, memory, search)
    repeated = np.repeat(template[:1], 3, axis=0)
    assert_same(alone, seen(module, variables, repeated, search).answer, 1e-5)


def test_a_half_precise_network_gives_answers_and_taps_in_float32():
    variables = variables_of(CE)
    module = build(CE, config=ModelConfig(precision="bfloat16"))
    assert module.dtype == jnp.bfloat16
    # JAX's own attention mixes the two types.
    with jax.numpy_dtype_promotion("standard"):
        half, full = (seen(m, variables, *images()) for m in (module, build(WHOLE)))
    assert {x.dtype for x in jax.tree.leaves(half)} == {np.dtype("float32")}
    # bfloat16 has 8 bits: about half a per cent.
    early = np.asarray(full.taps["search/k0"])
    error = np.abs(half.taps["search/k0"] - early).max() / np.abs(early).max()
    assert 1e-4 < error < 2e-2


def test_sizes_and_scores_have_their_ranges_and_offsets_have_none():
    variables = variables_of(CE)
    read = variables["params"]["head"]
    for name, value in (("size", 50.0), ("offset", 50.0)):
        read[name]["read"]["bias"] = np.full(2, value, np.float32)
    answer = seen(build(CE), variables, *images()).answer
    np.testing.assert_allclose(answer.offsets[..., 2:], 0.9999, rtol=1e-6)
    assert answer.offsets[..., :2].min() > 10.0


def test_first_weights_have_the_spread_of_the_public_ones():
    params = init_variables(jax.random.key(0), arch.named("mini-ostrack-64"))["params"]
    block = params["backbone"]["block2"]
    for kernel in (block["qkv"]["kernel"], block["fc2"]["kernel"]):
        assert abs(kernel.std() - 0.02) < 5e-4
    positions = params["backbone"]["positions"]["search"]
    assert positions.shape == (64, 96) and abs(positions.std() - 0.02) < 5e-4
    np.testing.assert_array_equal(block["norm1"]["scale"], 1.0)
    np.testing.assert_array_equal(block["qkv"]["bias"], 0.0)
    # Xavier: uniform up to sqrt(6 / (9 * (96 + 32))).
    kernel = params["head"]["score"]["conv1"]["conv"]["kernel"]
    bound = math.sqrt(6 / (9 * (96 + 32)))
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert abs(kernel.std() - bound / 3**0.5) < 0.01 * bound


def test_settings_of_transformers_are_checked():
    with pytest.raises(InputError, match=r"keep_fall_epochs=-1\.0: must be finite"):
        ModelConfig(keep_fall_epochs=-1.0)
    with pytest.raises(InputError, match=r"'cudnn': needs precision=\"bfloat16\"\."):
        ModelConfig(attention="cudnn")


def test_the_settings_choose_how_attention_is_computed():
    assert build(WHOLE, config=ModelConfig()).attention is None
    assert build(WHOLE, config=ModelConfig(attention="xla")).attention == "xla"
    half = ModelConfig(attention="cudnn", precision="bfloat16")
    assert build(WHOLE, config=half).attention == "cudnn"


def test_frozen_parts_get_no_gradient_and_the_others_do():
    variables = variables_of(WHOLE)
    frozen = ("patch", "positions/template", "block1/fc1", "head")
    module = build(WHOLE, frozen=frozen)

    @jax.jit
    @jax.grad
    def slope(params):
        own = {**variables, "params": params}
        output = module.apply(own, *images(), train=True, moment=moment(0.0))
        return jnp.sin(output.answer.response).sum()

    found = slope(variables["params"])
    backbone = found["backbone"]
    zero = backbone["patch"], backbone["block1"]["fc1"], found["head"]
    for leaf in jax.tree.leaves((*zero, backbone["positions"]["template"])):
        np.testing.assert_array_equal(leaf, 0.0)
    learnt = backbone["positions"]["search"], backbone["block1"]["fc2"]["kernel"]
    for leaf in (*learnt, backbone["block0"]["qkv"]["kernel"]):
        assert np.abs(leaf).max() > 0.0


def test_parts_that_are_not_there_are_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"layer1.* names no part .* block0, block1"):
        build(WHOLE, frozen=("layer1",))


@pytest.mark.parametrize(
    "call",
    [
        lambda: list(layers_of(CE)),
        lambda: describe(CE, SearchConfig()),
    ],
    ids=["kernels", "search"],
)
def test_what_does_not_know_transformers_says_so_in_one_line(call):
    with pytest.raises(InputError, match=r"OSTrack|transformer") as said:
        call()
    assert "\n" not in str(said.value)
