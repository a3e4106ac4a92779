"""SiamDW in PyTorch, written from its description, with public names of tensors.

It reads BGR images of 0-255, [b, 3, h, w]. Running variances are those of the batch
itself (biased), as in Flax; the region head has two logits for each anchor.
"""

from tests.pysot_twin import Norm, conv, nn, state_dict, torch

__all__ = ["SIZES", "Twin", "make_twin", "state_dict", "torch"]
F = nn.functional

# Width of the stem, inner widths, blocks, and width of a region head, 0 for none.
SIZES = {
    "siamdw": (64, (64, 128), (3, 4), 0),
    "siamdw-l": (35, (33, 62), (3, 4), 0),
    "siamdw-s": (16, (19, 39), (3, 4), 0),
    "siamdw-rpn": (64, (64, 128), (3, 4), 512),
    "mini-siamdw": (24, (16, 32), (2, 3), 0),
    "tiny-siamdw": (4, (2, 3), (1, 2), 0),
    # Narrow ones of the public depth.
    "narrow": (4, (2, 3), (3, 4), 0),
    "narrow-rpn": (4, (2, 3), (3, 4), 5),
}
EXPANSION = 4
ANCHORS = 5


class Block(nn.Module):
    """A bottleneck that loses a cell at each side; `last` leaves its ReLU out."""

    def __init__(self, inputs, inner, *, last=False):
        super().__init__()
        outputs = EXPANSION * inner
        self.conv1, self.bn1 = conv(inputs, inner, 1), Norm(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, padding=1), Norm(inner)
        self.conv3, self.bn3 = conv(inner, outputs, 1), Norm(outputs)
        self.downsample = None
        if inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1), Norm(outputs))
        self.last = last

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y = y + (x if self.downsample is None else self.downsample(x))
        return trimmed(y if self.last else F.relu(y), 1)


class Backbone(nn.Module):
    """A padded stem and two stages, whose second one pools behind its first block."""

    def __init__(self, stem, inner, blocks):
        super().__init__()
        self.conv1, self.bn1 = conv(3, stem, 7, stride=2, padding=3), Norm(stem)
        stages, inputs = [], stem
        for number, (width, count) in enumerate(zip(inner, blocks, strict=True)):
            stage = []
            for index in range(count):
                last = number == 1 and index == count - 1
                stage.append(Block(inputs, width, last=last))
                inputs = EXPANSION * width
                if number == 1 and index == 0:
                    stage.append(nn.MaxPool2d(2, 2))
            stages.append(nn.Sequential(*stage))
        self.layer1, self.layer2 = stages

    def forward(self, x):
        """Features of every stage, the stem's before its pooling."""
        found = {"conv1": trimmed(F.relu(self.bn1(self.conv1(x))), 2)}
        found["layer1"] = self.layer1(F.max_pool2d(found["conv1"], 2, 2))
        found["layer2"] = self.layer2(found["layer1"])
        return found


class Region(nn.Module):
    """The up-channel head, with all parts of its weights."""

    def __init__(self, inputs, width):
        super().__init__()
        self.width = width
        self.template_cls = nn.Conv2d(inputs, 2 * ANCHORS * width, 3)
        self.template_reg = nn.Conv2d(inputs, 4 * ANCHORS * width, 3)
        self.search_cls = nn.Conv2d(inputs, width, 3)
        self.search_reg = nn.Conv2d(inputs, width, 3)
        self.adjust = nn.Conv2d(4 * ANCHORS, 4 * ANCHORS, 1)

    def forward(self, z, x):
        """Logits and offsets, [b, c, h, w], anchors fastest in c."""
        logits = self.correlated(self.template_cls(z), self.search_cls(x))
        offsets = self.correlated(self.template_reg(z), self.search_reg(x))
        return {"cls": logits, "loc": self.adjust(offsets)}

    def correlated(self, kernels, maps):
        side = kernels.shape[-1]
        answers = [
            F.conv2d(one[None], kernel.reshape(-1, self.width, side, side))
            for one, kernel in zip(maps, kernels, strict=True)
        ]
        return torch.cat(answers)


class Twin(nn.Module):
    """SiamDW with either head."""

    def __init__(self, name):
        super().__init__()
        stem, inner, blocks, width = SIZES[name]
        self.features = nn.Module()
        self.features.features = Backbone(stem, inner, blocks)
        if width:
            self.connect_model = Region(EXPANSION * inner[-1], width)
        self.anchors = ANCHORS if width else 0

    def forward(self, template, search):
        """Stages of both images, and the answer."""
        seen, shown = (self.features.features(x) for x in (template, search))
        found = {f"template/{name}": x for name, x in seen.items()}
        found |= {f"search/{name}": x for name, x in shown.items()}
        z, x = seen["layer2"], shown["layer2"]
        if self.anchors:
            return found | self.connect_model(z, x)
        pairs = zip(x, z, strict=True)
        answers = [F.conv2d(one[None], kernel[None]) for one, kernel in pairs]
        return found | {"response": 0.1 * torch.cat(answers)}


def trimmed(x, cells):
    """A map without `cells` at each side."""
    return x[:, :, cells:-cells, cells:-cells]


def make_twin(name, template, search, *, seed=0):
    """A twin with random weights whose statistics nearly fit two images.

    Args:
      name: One of SIZES.
      template: BGR images, [b, 3, h, w].
      search: The same.
      seed: Number from which the weights follow.
    """
    torch.manual_seed(seed)
    network = Twin(name)
    norms = [one for one in network.modules() if isinstance(one, Norm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
            norm.momentum = 1.0
        network.train()(template, search)
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean.mul_(torch.empty_like(norm.running_mean).uniform_(0.8, 1))
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.2))
    return network.eval()
