"""Weights of pysot's SiamRPN++ as ours, by a layer table written out by hand."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.convert import siamrpnpp_from_pytorch, siamrpnpp_spec
from dst_jax.errors import InputError
from dst_jax.models import build, forward

STEM, INNER, HEAD, ADJUST = 4, (2, 3, 4, 5), 6, 7
BLOCKS = {"bottleneck": (2, 1, 2, 1), "basic": (1, 2, 1, 1)}


def norm(name, channels):
    fields = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    tensors = {
        f"{name}.{field}": np.full(channels, value, np.float32)
        for field, value in fields.items()
    }
    return tensors | {f"{name}.num_batches_tracked": np.array(9)}


def conv(name, outputs, inputs, side):
    rng = np.random.default_rng(len(name))
    shape = (outputs, inputs, side, side)
    return {f"{name}.weight": rng.standard_normal(shape).astype(np.float32)}


def backbone(form):
    """The tensors of pysot's ResNet with our narrow widths."""
    tensors = conv("backbone.conv1", STEM, 3, 7) | norm("backbone.bn1", STEM)
    below = STEM
    for stage, (inner, blocks) in enumerate(zip(INNER, BLOCKS[form], strict=True), 1):
        wide = inner * (4 if form == "bottleneck" else 1)
        for block in range(blocks):
            stem = f"backbone.layer{stage}.{block}"
            shapes = [(inner, below, 1), (inner, inner, 3), (wide, inner, 1)]
            if form == "basic":
                shapes = [(inner, below, 3), (inner, inner, 3)]
            for number, (outputs, inputs, side) in enumerate(shapes, 1):
                tensors |= conv(f"{stem}.conv{number}", outputs, inputs, side)
                tensors |= norm(f"{stem}.bn{number}", outputs)
            if block == 0 and (stage > 1 or below != wide):
                side = 1 if stage == 1 else 3
                tensors |= conv(f"{stem}.downsample.0", wide, below, side)
                tensors |= norm(f"{stem}.downsample.1", wide)
            below = wide
    return tensors


def heads(form, *, learned=True):
    tensors = {}
    for level in (2, 3, 4):
        wide = INNER[level - 1] * (4 if form == "bottleneck" else 1)
        stem = f"neck.downsample{level}.downsample"
        tensors |= conv(f"{stem}.0", ADJUST, wide, 1) | norm(f"{stem}.1", ADJUST)
        for branch, outputs in (("cls", 10), ("loc", 20)):
            stem = f"rpn_head.rpn{level}.{branch}"
            for part in ("conv_kernel", "conv_search"):
                tensors |= conv(f"{stem}.{part}.0", HEAD, ADJUST, 3)
                tensors |= norm(f"{stem}.{part}.1", HEAD)
            tensors |= conv(f"{stem}.head.0", HEAD, HEAD, 1)
            tensors |= norm(f"{stem}.head.1", HEAD)
            tensors |= conv(f"{stem}.head.3", outputs, HEAD, 1)
            tensors[f"{stem}.head.3.bias"] = np.arange(outputs, dtype=np.float32)
    if learned:
        for branch in ("cls", "loc"):
            tensors[f"rpn_head.{branch}_weight"] = np.arange(3, dtype=np.float32)
    return tensors


def state_dict(form="bottleneck", **options):
    both = backbone(form) | heads(form, **options)
    return {f"module.{name}": array for name, array in both.items()}


def narrow(form):
    base = arch.named("siamrpnpp-r50" if form == "bottleneck" else "siamrpnpp-r18")
    stem, *stages = base.backbone.layers
    layers = [dataclasses.replace(stem, features=STEM)]
    for stage, inner, blocks in zip(stages, INNER, BLOCKS[form], strict=True):
        wide = inner * (4 if form == "bottleneck" else 1)
        layers.append(
            dataclasses.replace(stage, features=wide, inner=inner, blocks=blocks)
        )
    chain = dataclasses.replace(base.backbone, layers=tuple(layers))
    assert isinstance(base.head, arch.RegionHeadSpec)
    head = dataclasses.replace(base.head, features=HEAD, adjust=ADJUST)
    return dataclasses.replace(base, backbone=chain, head=head)


@pytest.mark.parametrize("form", ["bottleneck", "basic"])
def test_every_tensor_finds_its_place(form):
    state, spec = state_dict(form), narrow(form)
    assert siamrpnpp_spec(state) == spec
    variables, left_over = siamrpnpp_from_pytorch(state, spec)
    assert left_over == ()
    params = variables["params"]
    first = state["module.backbone.conv1.weight"]
    np.testing.assert_array_equal(
        params["backbone"]["conv1"]["conv"]["kernel"],
        first[:, ::-1].transpose(2, 3, 1, 0),
    )
    inner = state["module.backbone.layer3.0.downsample.0.weight"]
    np.testing.assert_array_equal(
        params["backbone"]["layer3"]["block1"]["projection"]["conv"]["kernel"],
        inner.transpose(2, 3, 1, 0),
    )
    read = params["head"]["layer4"]["r_read"]
    np.testing.assert_array_equal(read["bias"], np.arange(20))
    np.testing.assert_array_equal(params["head"]["cls_weight"], np.arange(3))
    search = variables["batch_stats"]["head"]["layer2"]["cls_search"]["norm"]
    np.testing.assert_array_equal(search["var"], np.ones(HEAD))


def test_heads_without_weights_take_the_mean():
    head = siamrpnpp_spec(state_dict(learned=False)).head
    assert isinstance(head, arch.RegionHeadSpec) and head.fusion == "mean"


def test_the_tensors_that_stand_nowhere_are_named():
    state = state_dict() | {"mask_head.weight": np.zeros(1)}
    _, left_over = siamrpnpp_from_pytorch(state, narrow("bottleneck"))
    assert left_over == ("mask_head.weight",)


def without(state, part):
    return {name: array for name, array in state.items() if part not in name}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        # Its two AlexNets, of which the first is that of the published weights.
        ({"backbone.features.0.weight": np.zeros(1)}, "variant on AlexNet"),
        ({"backbone.layer1.0.weight": np.zeros((1, 1, 1, 1))}, "variant on AlexNet"),
        ({"backbone.features.0.0.weight": np.zeros(1)}, "variant on MobileNet"),
        ({"backbone.layer0.0.weight": np.zeros(1)}, "variant on MobileNet"),
        ({"featureExtract.0.weight": np.zeros(1)}, "not a SiamRPN++ of pysot"),
        (without(state_dict(), "rpn3"), "rpn_head.rpn3.cls.head.3.weight is missing"),
    ],
)
def test_other_networks_are_refused(state, message):
    with pytest.raises(InputError, match=message.replace("+", r"\+")):
        siamrpnpp_spec(state)


def test_weights_of_another_depth_name_the_first_tensor_and_both_shapes():
    state, other = state_dict("bottleneck"), narrow("basic")
    message = (
        "backbone.layer1.0.conv1.weight has shape (2, 4, 1, 1), the architecture wants "
        "(2, 4, 3, 3)"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        siamrpnpp_from_pytorch(state, other)


def test_a_head_without_levels_is_refused():
    with pytest.raises(InputError, match="heads on several levels"):
        siamrpnpp_from_pytorch(state_dict(), arch.named("siamrpn"))


def test_the_converted_network_answers_as_pytorch_does():
    spec, rng = arch.named("tiny-siamrpnpp"), np.random.default_rng(1)
    sides = spec.input.template_px, spec.input.search_px
    images = [rng.integers(0, 256, (1, n, n, 3)).astype(np.float32) for n in sides]
    twin = pytest.importorskip("tests.pysot_twin")
    reversed_ = [
        twin.torch.from_numpy(x[..., ::-1].transpose(0, 3, 1, 2).copy()) for x in images
    ]
    network = twin.make_twin("tiny-siamrpnpp", *reversed_)
    with twin.torch.inference_mode():
        expected = network(*reversed_)
    variables, left_over = siamrpnpp_from_pytorch(twin.state_dict(network), spec)
    assert left_over == ()
    ask = jax.jit(lambda *pair: forward(build(spec), variables, *pair).answer)
    answer = ask(*images)
    for found, name in ((answer.response, "cls"), (answer.offsets, "loc")):
        want = expected[name].numpy().transpose(0, 2, 3, 1)
        want = want.reshape(*want.shape[:3], -1, spec.head.anchors)
        want = want.transpose(0, 1, 2, 4, 3)
        scale = np.abs(want).max()
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-4 * scale)
