"""The SiamFC module: shapes, weight sharing, and what a correlation must do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import (
    ModelConfig,
    build,
    forward,
    forward_train,
    init_variables,
    remember,
    respond,
    variable_shapes,
)
from tests import networks

SPEC = arch.named("tiny")


@pytest.fixture(scope="module")
def variables():
    return init_variables(jax.random.key(1), SPEC)


def images(key, batch, pixels):
    return jax.random.uniform(key, (batch, pixels, pixels, 3), maxval=255.0)


@pytest.mark.parametrize("name", ["tiny", "mini-half", "mini-dull"])
def test_every_map_has_the_size_that_the_spec_predicts(name, keys):
    spec = arch.named(name)
    module = build(spec)
    pixels = spec.input.template_px, spec.input.train_search_px
    template, search = (images(next(keys), 2, p) for p in pixels)
    output = jax.eval_shape(
        lambda v, t, s: forward(module, v, t, s),
        variable_shapes(spec),
        template,
        search,
    )
    side = spec.response_side(pixels[1])
    assert output.answer.response.shape == (2, side, side)
    for image, px in zip(("template", "search"), pixels, strict=True):
        for shape in spec.maps(px):
            expected = (2, shape.side, shape.side, shape.features)
            assert output.taps[f"{image}/{shape.name}"].shape == expected


def test_jit_changes_nothing(variables, keys):
    module = build(SPEC)
    template, search = images(next(keys), 1, 79), images(next(keys), 1, 111)
    eager = forward(module, variables, template, search).answer.response
    jitted = jax.jit(lambda v, t, s: forward(module, v, t, s).answer.response)
    np.testing.assert_allclose(
        jitted(variables, template, search), eager, rtol=1e-4, atol=1e-5
    )


def test_template_and_search_share_one_backbone(variables, keys):
    module = build(SPEC)
    image = images(next(keys), 1, 79)
    assert set(variables["params"]) == {"backbone"}
    taps = forward(module, variables, image, image).taps
    assert len(taps) == 2 * len(SPEC.backbone.layers)
    for index in range(1, len(SPEC.backbone.layers) + 1):
        seen, shown = taps[f"template/conv{index}"], taps[f"search/conv{index}"]
        np.testing.assert_allclose(seen, shown, rtol=1e-5)


def test_one_template_serves_a_batch_of_search_images(variables, keys):
    module = build(SPEC)
    memory = remember(module, variables, images(next(keys), 1, 79))
    search = images(next(keys), 3, 111)
    together = respond(module, variables, memory, search).response
    for i in range(3):
        alone = respond(module, variables, memory, search[i : i + 1]).response
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-4, atol=1e-6)


def test_a_shift_by_the_stride_moves_the_response_by_one_cell(variables, keys):
    module = build(SPEC)
    stride = SPEC.backbone.total_stride
    wide = images(next(keys), 1, 111 + stride)
    template = images(next(keys), 1, 79)
    here = forward(module, variables, template, wide[:, :111, :111]).answer.response
    there = forward(
        module, variables, template, wide[:, stride : 111 + stride, :111]
    ).answer.response
    np.testing.assert_allclose(there[:, :-1], here[:, 1:], rtol=1e-3, atol=1e-4)


def test_input_is_scaled_and_normalised_by_the_spec(variables, keys):
    import dataclasses

    convention = dataclasses.replace(
        SPEC.input, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)
    )
    other = build(dataclasses.replace(SPEC, input=convention))
    image = images(next(keys), 1, 79)
    mean, std = jnp.array(convention.mean), jnp.array(convention.std)
    by_hand = (image / 255 - mean[None, None, None]) / std[None, None, None]
    expected = networks.features(build(SPEC), variables, by_hand)["conv5"]
    got = networks.features(other, variables, image)["conv5"]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_training_updates_statistics_by_template_then_search(variables, keys):
    module = build(SPEC)
    template, search = images(next(keys), 2, 79), images(next(keys), 2, 111)
    _, stats = forward_train(module, variables, template, search)
    # By hand: running <- m running + (1 - m) batch mean, twice, on conv1's output.
    kernel = variables["params"]["backbone"]["conv1"]["conv"]["kernel"]
    mean = jnp.zeros(4)
    for image in (template, search):
        maps = jax.lax.conv_general_dilated(
            image, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        keep = SPEC.backbone.norm_momentum
        mean = keep * mean + (1 - keep) * maps.mean((0, 1, 2))
    got = stats["backbone"]["conv1"]["norm"]["mean"]
    np.testing.assert_allclose(got, mean, rtol=1e-4)


def test_inference_leaves_statistics_alone_and_uses_them(variables, keys):
    module = build(SPEC)
    image = images(next(keys), 1, 79)
    shifted = jax.tree.map(lambda x: x + 1.0, variables["batch_stats"])
    moved = {**variables, "batch_stats": shifted}
    assert not np.allclose(
        networks.features(module, variables, image)["conv1"],
        networks.features(module, moved, image)["conv1"],
    )


def test_fresh_weights_follow_from_the_key_and_have_kaimings_spread():
    spec = arch.named("siamfc-alexnet")
    one, two = (init_variables(jax.random.key(k), spec) for k in (0, 1))
    again = init_variables(jax.random.key(0), spec)
    kernels = [
        v["params"]["backbone"]["conv3"]["conv"]["kernel"] for v in (one, two, again)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[2])
    assert not np.array_equal(kernels[0], kernels[1])
    # fan-out of conv3: 3 * 3 * 384.
    np.testing.assert_allclose(kernels[0].std(), (2 / (9 * 384)) ** 0.5, rtol=0.01)
    norm = one["batch_stats"]["backbone"]["conv1"]["norm"]
    assert norm["var"].min() == 1.0
    assert norm["mean"].max() == 0.0


def test_a_normalised_pair_trains_as_it_is_inferred():
    spec = networks.REGION_TEACHER
    variables = init_variables(jax.random.key(0), spec)
    rng = np.random.default_rng(0)
    template = rng.uniform(0, 255, (3, 31, 31, 3)).astype(np.float32)
    search = rng.uniform(90, 120, (3, 47, 47, 3)).astype(np.float32)

    @functools.partial(jax.jit, static_argnames="pair")
    def both(variables, template, search, pair):
        module = build(spec, config=ModelConfig("pair" if pair else "image"))
        trained, stats = forward_train(module, variables, template, search)
        # What one update adds is the batch's share, a tenth; two add .19.
        kept = 0.9 if pair else 0.81
        seen = jax.tree.map(
            lambda new, old: (new - kept * old) / (1 - kept),
            stats,
            variables["batch_stats"],
        )
        judged = {"params": variables["params"], "batch_stats": seen}
        plain = forward(module, judged, template, search)
        return trained.answer.response, plain.answer.response

    trained, inferred = both(variables, template, search, pair=True)
    np.testing.assert_allclose(trained, inferred, rtol=1e-3, atol=1e-3)
    trained, inferred = both(variables, template, search, pair=False)
    assert np.abs(trained - inferred).max() > 0.1 * np.abs(trained).max()


@pytest.mark.parametrize("name", ["mini-siamrpn-dull", "mini-siamrpn-half"])
def test_a_fresh_region_head_answers_with_unit_logits_and_boxes_near_anchors(name):
    spec = arch.named(name)
    variables = init_variables(jax.random.key(0), spec)
    rng = np.random.default_rng(0)
    template = rng.uniform(0, 255, (2, 79, 79, 3)).astype(np.float32)
    search = rng.uniform(0, 255, (2, 143, 143, 3)).astype(np.float32)
    module = build(spec, config=ModelConfig("pair"))
    output, _ = jax.jit(lambda *a: forward_train(module, *a))(
        variables, template, search
    )
    assert 0.3 < float(output.answer.response.std()) < 3.0
    assert 0.03 < float(output.answer.offsets.std()) < 0.3
