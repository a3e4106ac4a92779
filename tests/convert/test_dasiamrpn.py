"""DaSiamRPN's weights as ours, against the network in PyTorch."""

import dataclasses

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.convert import siamrpn_from_pytorch, siamrpn_spec
from dst_jax.errors import InputError
from dst_jax.models import build, forward
from tests import dasiamrpn
from tests.dasiamrpn import state_dict, torch

WIDTHS, FEATURES = (4, 6, 8, 8, 6), 5


def small_spec():
    spec = arch.with_widths(arch.named("siamrpn"), WIDTHS)
    head = dataclasses.replace(spec.head, features=FEATURES)
    return dataclasses.replace(spec, head=head)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = dasiamrpn.Network(WIDTHS, FEATURES).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return net


def test_the_converted_network_answers_as_pytorch_does(network):
    spec = small_spec()
    state = state_dict(network, prefix="module.")
    variables, left_over = siamrpn_from_pytorch(state, spec)
    assert left_over == ()
    rng = np.random.default_rng(0)
    template = rng.integers(0, 256, (1, 127, 127, 3)).astype(np.float32)
    search = rng.integers(0, 256, (1, 271, 271, 3)).astype(np.float32)
    ask = jax.jit(lambda *images: forward(build(spec), variables, *images).answer)
    answer = ask(template, search)
    logits, offsets = dasiamrpn.ask(network, template[0], search[0])
    assert logits.shape == (2, 5, 19, 19)
    for found, want in ((answer.response, logits), (answer.offsets, offsets)):
        scale = np.abs(want).max()
        want = want.transpose(2, 3, 1, 0)
        np.testing.assert_allclose(found[0], want, rtol=0, atol=1e-4 * scale)


def test_the_architecture_is_recognised_by_its_shapes(network):
    assert siamrpn_spec(state_dict(network, prefix="module.")) == small_spec()
    layers = ((0, 3, 96, 11), (4, 96, 256, 5), (8, 256, 384, 3))
    layers += ((11, 384, 384, 3), (14, 384, 256, 3))
    for width, name in ((1, "siamrpn"), (2, "siamrpn-big")):
        shapes = {
            f"featureExtract.{n}.weight": (
                width * out,
                below * (width if n else 1),
                k,
                k,
            )
            for n, below, out, k in layers
        }
        shapes["conv_cls1.weight"] = (width * 256 * 10, width * 256, 3, 3)
        shapes["conv_cls2.weight"] = (width * 256, width * 256, 3, 3)
        # Only their shapes are read: no memory is taken.
        state = {n: np.broadcast_to(np.float32(0), s) for n, s in shapes.items()}
        assert siamrpn_spec(state) == arch.named(name)


def test_what_is_no_dasiamrpn_is_not_recognised(network):
    state = state_dict(network)
    extra = np.zeros(1, np.float32)
    with pytest.raises(InputError, match="not a network of DaSiamRPN"):
        siamrpn_spec({"a": extra})
    with pytest.raises(InputError, match=r"conv_cls2\.weight is missing"):
        siamrpn_spec({n: v for n, v in state.items() if n != "conv_cls2.weight"})
    state["conv_cls1.weight"] = state["conv_cls1.weight"][:-FEATURES]
    with pytest.raises(InputError, match="has 45 outputs; 5 anchors"):
        siamrpn_spec(state)


def test_what_is_missing_or_left_over_is_named(network):
    state = state_dict(network)
    extra = np.zeros(1, np.float32)
    _, left_over = siamrpn_from_pytorch(state | {"other.weight": extra}, small_spec())
    assert left_over == ("other.weight",)
    del state["conv_cls2.bias"]
    with pytest.raises(InputError, match=r"conv_cls2\.bias is missing"):
        siamrpn_from_pytorch(state, small_spec())
    with pytest.raises(InputError, match=r"conv1\.0\.weight has shape"):
        siamrpn_from_pytorch(state_dict(network), arch.named("siamrpn"))
    with pytest.raises(InputError, match="not a network of DaSiamRPN"):
        siamrpn_from_pytorch({"a": extra}, small_spec())
    with pytest.raises(InputError, match="up-channel head"):
        siamrpn_from_pytorch(state, arch.named("siamfc-alexnet"))
