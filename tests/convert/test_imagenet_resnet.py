"""A classifier's ResNet as the backbone of a tracker."""

import dataclasses
import re

import numpy as np
import pytest

from dst_jax import arch
from dst_jax.convert import resnet_from_pytorch, resnet_spec, with_scaling
from dst_jax.convert.imagenet_resnet import RGB_SCALING
from dst_jax.errors import InputError
from tests.convert import test_pysot as pysot


def classifier(form: str) -> dict[str, np.ndarray]:
    """The tensors of torchvision's ResNet with narrow widths: all projections 1 x 1."""
    tensors = {"fc.weight": np.zeros((10, 4)), "fc.bias": np.zeros(10)}
    for name, array in pysot.backbone(form).items():
        if "downsample.0" in name:
            array = array[:, :, :1, :1]
        tensors[name.removeprefix("backbone.")] = array
    return tensors


@pytest.mark.parametrize("form", ["bottleneck", "basic"])
def test_the_backbone_is_the_classifiers_and_fc_is_left_out(form):
    state, spec = classifier(form), with_scaling(pysot.narrow(form), RGB_SCALING)
    variables, left_over = resnet_from_pytorch(state, spec)
    assert left_over == ("fc.bias", "fc.weight")
    backbone = variables["params"]["backbone"]
    np.testing.assert_array_equal(
        backbone["conv1"]["conv"]["kernel"], state["conv1.weight"].transpose(2, 3, 1, 0)
    )
    projection = backbone["layer2"]["block1"]["projection"]["conv"]["kernel"]
    expected = np.zeros_like(projection)
    expected[1, 1] = state["layer2.0.downsample.0.weight"][:, :, 0, 0].T
    np.testing.assert_array_equal(projection, expected)
    assert projection.shape[:2] == (3, 3)


def test_weights_for_bgr_are_turned_and_keep_plain_values():
    state, spec = classifier("basic"), pysot.narrow("basic")
    variables, _ = resnet_from_pytorch(state, spec)
    np.testing.assert_array_equal(
        variables["params"]["backbone"]["conv1"]["conv"]["kernel"],
        state["conv1.weight"][:, ::-1].transpose(2, 3, 1, 0),
    )


def test_depth_is_read_off_the_blocks():
    shapes = {"layer1.0.conv1.weight": 0}
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            shapes[f"layer{stage}.{block}.conv1.weight"] = 0
    state = {name: np.zeros((1, 1, 1, 1)) for name in shapes}
    assert resnet_spec(state) == arch.named("siamrpnpp-r34")
    state["layer1.0.conv3.weight"] = np.zeros((1, 1, 1, 1))
    assert resnet_spec(state) == arch.named("siamrpnpp-r50")


def test_other_depths_and_other_networks_are_refused():
    with pytest.raises(InputError, match="2, 1, 2, 1 bottleneck blocks"):
        resnet_spec(classifier("bottleneck"))
    with pytest.raises(InputError, match="no ResNet of torchvision"):
        resnet_spec({"features.0.weight": np.zeros(1)})
    with pytest.raises(InputError, match="needs a residual backbone"):
        resnet_from_pytorch(classifier("basic"), arch.named("siamfc-alexnet"))


def test_a_classifier_of_another_depth_names_the_first_tensor_and_both_shapes():
    message = (
        "layer1.0.conv1.weight has shape (2, 4, 1, 1), the architecture wants "
        "(2, 4, 3, 3)"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        resnet_from_pytorch(classifier("bottleneck"), pysot.narrow("basic"))


def test_scaling_changes_the_input_alone():
    spec = arch.named("siamrpnpp-r18")
    scaled = with_scaling(spec, RGB_SCALING)
    assert scaled.input.std == (0.229, 0.224, 0.225)
    assert dataclasses.replace(scaled, input=spec.input) == spec
