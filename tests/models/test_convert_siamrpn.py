"""DaSiamRPN's network, restated in PyTorch from its layer table."""

import dataclasses

import numpy as np
import pytest

from dst_jax import arch
from dst_jax.errors import InputError
from dst_jax.models import build, forward
from dst_jax.models.convert import siamrpn_from_pytorch

torch = pytest.importorskip("torch")

WIDTHS, FEATURES, ANCHORS = (4, 6, 8, 8, 6), 5, 5


def small_spec():
    spec = arch.with_widths(arch.named("siamrpn"), WIDTHS)
    head = dataclasses.replace(spec.head, features=FEATURES)
    return dataclasses.replace(spec, head=head)


class Network(torch.nn.Module):
    """The table of PAPER: conv, norm, pool, ReLU twice; two more; conv and norm."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        a, b, c, d, e = WIDTHS
        self.featureExtract = nn.Sequential(
            nn.Conv2d(3, a, 11, stride=2),
            nn.BatchNorm2d(a),
            nn.MaxPool2d(3, 2),
            nn.ReLU(),
            nn.Conv2d(a, b, 5),
            nn.BatchNorm2d(b),
            nn.MaxPool2d(3, 2),
            nn.ReLU(),
            nn.Conv2d(b, c, 3),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.Conv2d(c, d, 3),
            nn.BatchNorm2d(d),
            nn.ReLU(),
            nn.Conv2d(d, e, 3),
            nn.BatchNorm2d(e),
        )
        self.conv_r1 = nn.Conv2d(e, FEATURES * 4 * ANCHORS, 3)
        self.conv_r2 = nn.Conv2d(e, FEATURES, 3)
        self.conv_cls1 = nn.Conv2d(e, FEATURES * 2 * ANCHORS, 3)
        self.conv_cls2 = nn.Conv2d(e, FEATURES, 3)
        self.regress_adjust = nn.Conv2d(4 * ANCHORS, 4 * ANCHORS, 1)

    def forward(self, template, search):
        z, x = self.featureExtract(template), self.featureExtract(search)
        side = z.shape[-1] - 2
        kernels = [
            conv(z).view(n * ANCHORS, FEATURES, side, side)
            for conv, n in ((self.conv_r1, 4), (self.conv_cls1, 2))
        ]
        conv2d = torch.nn.functional.conv2d
        offsets = self.regress_adjust(conv2d(self.conv_r2(x), kernels[0]))
        return conv2d(self.conv_cls2(x), kernels[1]), offsets


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = Network().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return net


def state_dict(network, prefix=""):
    return {prefix + name: t.numpy() for name, t in network.state_dict().items()}


def test_the_converted_network_answers_as_pytorch_does(network):
    spec = small_spec()
    variables, left_over = siamrpn_from_pytorch(state_dict(network, "module."), spec)
    assert left_over == ()
    rng = np.random.default_rng(0)
    template = rng.integers(0, 256, (1, 127, 127, 3)).astype(np.float32)
    search = rng.integers(0, 256, (1, 271, 271, 3)).astype(np.float32)
    output = forward(build(spec), variables, template, search)
    # Theirs sees BGR, channels first.
    images = [
        torch.tensor(x[..., ::-1].copy()).permute(0, 3, 1, 2)
        for x in (template, search)
    ]
    with torch.inference_mode():
        logits, offsets = network(*images)
    want = logits.numpy().reshape(2, ANCHORS, 19, 19).transpose(2, 3, 1, 0)
    scale = np.abs(want).max()
    np.testing.assert_allclose(output.response[0], want, rtol=0, atol=1e-4 * scale)
    want = offsets.numpy().reshape(4, ANCHORS, 19, 19).transpose(2, 3, 1, 0)
    scale = np.abs(want).max()
    np.testing.assert_allclose(output.offsets[0], want, rtol=0, atol=1e-4 * scale)


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
