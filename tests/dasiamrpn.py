"""DaSiamRPN's network, restated in PyTorch from its layer table."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network is restated in PyTorch")
nn = torch.nn

ANCHORS = 5


class Network(nn.Module):
    """Conv, norm, pool, ReLU twice; two more without pool; conv and norm. BGR images.

    Args:
      widths: Channels of the five convolutions.
      features: Channels that are correlated.
    """

    def __init__(self, widths, features):
        super().__init__()
        self.features = features
        a, b, c, d, e = widths
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
        self.conv_r1 = nn.Conv2d(e, features * 4 * ANCHORS, 3)
        self.conv_r2 = nn.Conv2d(e, features, 3)
        self.conv_cls1 = nn.Conv2d(e, features * 2 * ANCHORS, 3)
        self.conv_cls2 = nn.Conv2d(e, features, 3)
        self.regress_adjust = nn.Conv2d(4 * ANCHORS, 4 * ANCHORS, 1)

    def forward(self, template, search):
        z, x = self.featureExtract(template), self.featureExtract(search)
        side = z.shape[-1] - 2
        kernels = [
            conv(z).view(n * ANCHORS, self.features, side, side)
            for conv, n in ((self.conv_r1, 4), (self.conv_cls1, 2))
        ]
        conv2d = nn.functional.conv2d
        offsets = self.regress_adjust(conv2d(self.conv_r2(x), kernels[0]))
        return conv2d(self.conv_cls2(x), kernels[1]), offsets


def ask(network, template, search):
    """Logits (2, k, n, n) and offsets (4, k, n, n) for two RGB crops [h, w, 3]."""
    images = [
        torch.tensor(np.asarray(x, np.float32)[..., ::-1].copy()).permute(2, 0, 1)[None]
        for x in (template, search)
    ]
    with torch.inference_mode():
        logits, offsets = (answer[0].numpy() for answer in network(*images))
    side = logits.shape[-1]
    return (
        logits.reshape(2, ANCHORS, side, side),
        offsets.reshape(4, ANCHORS, side, side),
    )


def state_dict(network, *, prefix=""):
    return {prefix + name: t.numpy() for name, t in network.state_dict().items()}


def tracking_network(crops, *, widths, features):
    """A network that was not trained and yet follows a target.

    Its kernels are random, normalised over the `crops` [b, h, w, 3]; the logit of a
    target is the correlation of features, and offsets are small and random.
    """
    torch.manual_seed(0)
    network = Network(widths, features)
    images = torch.tensor(crops[..., ::-1].astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean over all that it sees
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        network.train().featureExtract(images)
        identity = torch.zeros(features, widths[-1], 3, 3)
        identity[range(features), range(features), 1, 1] = 1.0
        network.conv_cls2.weight.copy_(identity)
        network.conv_cls2.bias.zero_()
        # Per cell of the template's kernel, so that a match is worth about 6.
        share = 6.0 / (features * 4 * 4)
        none = torch.zeros_like(identity)
        kernels = [none] * ANCHORS + [share * identity] * ANCHORS
        network.conv_cls1.weight.copy_(torch.cat(kernels))
        network.conv_cls1.bias.zero_()
        network.conv_r1.weight.mul_(0.01)
        network.regress_adjust.weight.mul_(0.1)
    return network.eval()
