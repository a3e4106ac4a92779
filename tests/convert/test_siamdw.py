"""Weights of SiamDW as ours, held against the twin that bears the public names."""

import functools

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.convert import (
    siamdw_backbone_from_pytorch,
    siamdw_backbone_spec,
    siamdw_from_pytorch,
    siamdw_spec,
)
from dst_jax.errors import InputError
from tests import siamdw_twin
from tests.models.test_siamdw_twin import carried

torch = siamdw_twin.torch
STEM = "features.features.conv1.weight"


@functools.cache
def tensors(name):
    torch.manual_seed(0)
    return siamdw_twin.state_dict(siamdw_twin.Twin(name))


def state_dict(name, *, prefix="module."):
    return {prefix + key: array for key, array in tensors(name).items()}


def head_of(spec):
    assert isinstance(spec.head, arch.RegionHeadSpec)
    return spec.head


@pytest.mark.parametrize("name", ["narrow", "narrow-rpn"])
def test_every_tensor_finds_its_place_and_nothing_is_left(name):
    state = state_dict(name)
    spec = siamdw_spec(state)
    # The twin's own table of places is another one.
    expected = carried(tensors(name))
    variables, left_over = siamdw_from_pytorch(state, spec)
    assert left_over == ()
    assert jax.tree.structure(variables) == jax.tree.structure(expected)
    for got, aim in zip(*map(jax.tree.leaves, (variables, expected)), strict=True):
        np.testing.assert_array_equal(got, aim)


def test_widths_blocks_and_head_are_read_off_the_tensors():
    spec = siamdw_spec(state_dict("narrow-rpn"))
    assert spec.backbone.widths == (4, 8, 12)
    assert [layer.depth for layer in spec.backbone.layers] == [1, 9, 12]
    assert head_of(spec).features == 5
    assert siamdw_spec(state_dict("narrow")).head == arch.CorrelationHeadSpec(scale=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["siamdw", "siamdw-rpn"])
def test_the_public_sizes_are_the_zoos(name):
    assert siamdw_spec(state_dict(name)) == arch.named(name)


@pytest.mark.parametrize("prefix", ["features.features.", "features.", ""])
def test_a_classifier_gives_its_backbone_alone(prefix):
    own = {
        k.removeprefix("features.features."): v for k, v in tensors("narrow").items()
    }
    state = {prefix + key: array for key, array in own.items()}
    state |= {"fc.weight": np.zeros((10, 12)), "fc.bias": np.zeros(10)}
    spec = siamdw_backbone_spec(state)
    variables, left_over = siamdw_backbone_from_pytorch(state, spec)
    assert left_over == ("fc.bias", "fc.weight")
    first = tensors("narrow")[STEM]
    np.testing.assert_array_equal(
        variables["params"]["backbone"]["conv1"]["conv"]["kernel"],
        first[:, ::-1].transpose(2, 3, 1, 0),
    )


def test_a_classifiers_backbone_serves_the_region_head_too():
    state, spec = state_dict("narrow"), siamdw_spec(state_dict("narrow-rpn"))
    variables, left_over = siamdw_backbone_from_pytorch(state, spec)
    assert left_over == ()
    assert variables["params"]["head"]["cls1"]["kernel"].std() > 0


def incep():
    name = "features.features.layer1.0.branch3x3.conv1.weight"
    return {name: np.zeros((1, 1, 1, 1))}


def wide():
    state = dict(tensors("narrow"))
    state["features.features.layer1.0.conv2.weight"] = np.zeros((4, 2, 3, 3))
    return state


def one_output():
    state = dict(tensors("narrow-rpn"))
    state["connect_model.template_cls.weight"] = np.zeros((5 * 5, 12, 3, 3))
    return state


def without(part):
    return {k: v for k, v in tensors("narrow").items() if part not in k}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (incep, "branch3x3, which shows SiamDW's Incep22; only its CIResNet-22 can"),
        (
            lambda: {"features.features.conv0.weight": np.zeros((1, 1, 1, 1))},
            "conv0.weight is there, which shows SiamDW's NeXt22",
        ),
        (wide, "which shows SiamDW's ResNet22W"),
        (one_output, "has 5 class outputs of 5 channels, one for each anchor"),
        (lambda: {**tensors("narrow"), "fc.weight": np.zeros(1)}, "imagenet-siamdw"),
        (lambda: {"x": np.zeros(1)}, "is no network of SiamDW; the file holds x, ..."),
        (lambda: without("layer2.0.conv3"), "layer2.0.conv3.weight is missing"),
    ],
    ids=range(7),
)
def test_other_networks_are_refused_in_words(make, message):
    with pytest.raises(InputError) as error:
        siamdw_spec(make())
    assert message in str(error.value)


def test_a_missing_tensor_is_named_and_another_backbone_is_refused():
    spec = siamdw_spec(tensors("narrow"))
    with pytest.raises(InputError, match=r"layer2\.4\.bn3\.running_var is missing"):
        siamdw_from_pytorch(without("layer2.4.bn3.running_var"), spec)
    with pytest.raises(InputError, match="two residual stages; use siamdw"):
        siamdw_from_pytorch(tensors("narrow"), arch.named("siamrpnpp-r50"))
