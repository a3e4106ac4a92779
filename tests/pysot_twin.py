"""SiamRPN++ in PyTorch, written from its description, with pysot's names of tensors.

It reads BGR images of 0-255, [b, 3, h, w]. Two things differ from public code: the
template's map is cut by its role rather than by its size, and running variances are
those of the batch itself (biased), as in Flax.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network is restated in PyTorch")
nn, F = torch.nn, torch.nn.functional

# form, blocks, width of the stem, inner widths, width of the heads, of the adjustment,
# and anchors.
SIZES = {
    "siamrpnpp-r50": ("bottleneck", (3, 4, 6, 3), 64, (64, 128, 256, 512), 256, 256, 5),
    "siamrpnpp-r18": ("basic", (2, 2, 2, 2), 64, (64, 128, 256, 512), 256, 256, 5),
    "siamrpnpp-big": (
        *("bottleneck", (3, 4, 6, 3), 64, (64, 128, 256, 512)),
        *(1024, 256, 5),
    ),
    "mini-siamrpnpp-big": ("bottleneck", (1, 1, 1, 1), 16, (8, 12, 16, 24), 96, 24, 3),
    "mini-siamrpnpp-r50": ("bottleneck", (1, 1, 1, 1), 16, (8, 12, 16, 24), 24, 24, 3),
    "mini-siamrpnpp-r18": ("basic", (1, 1, 1, 1), 16, (8, 12, 16, 24), 24, 24, 3),
    "tiny-siamrpnpp": ("bottleneck", (1, 1, 1, 1), 4, (2, 2, 3, 3), 6, 4, 3),
}
LEVELS = (2, 3, 4)
TEMPLATE_CELLS = 7


class Norm(nn.BatchNorm2d):
    """Batch normalisation whose running variance is the batch's own."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var, self.momentum)
        return F.batch_norm(x, None, None, self.weight, self.bias, True, eps=self.eps)


def conv(inputs, outputs, kernel, **geometry):
    return nn.Conv2d(inputs, outputs, kernel, bias=False, **geometry)


class Block(nn.Module):
    """A residual block: the stage's first one steps or has half of the dilation."""

    def __init__(self, inputs, inner, form, *, stride=1, dilation=1, first=False):
        super().__init__()
        self.form = form
        outputs = inner * (4 if form == "bottleneck" else 1)
        rest = {"dilation": dilation, "padding": dilation}
        here = dict(rest)
        if first and stride == 2:
            here = {"stride": 2, "padding": 0}
        elif first and dilation > 1:
            here = {"dilation": dilation // 2, "padding": dilation // 2}
        if form == "bottleneck":
            self.conv1, self.bn1 = conv(inputs, inner, 1), Norm(inner)
            self.conv2, self.bn2 = conv(inner, inner, 3, **here), Norm(inner)
            self.conv3, self.bn3 = conv(inner, outputs, 1), Norm(outputs)
        else:
            self.conv1, self.bn1 = conv(inputs, inner, 3, **here), Norm(inner)
            self.conv2, self.bn2 = conv(inner, outputs, 3, **rest), Norm(outputs)
        self.downsample = None
        if first and (stride > 1 or dilation > 1):
            self.downsample = nn.Sequential(
                conv(inputs, outputs, 3, **here), Norm(outputs)
            )
        elif first and inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1), Norm(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.form == "bottleneck":
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Backbone(nn.Module):
    """A stem without padding, a padded pool, and four stages."""

    def __init__(self, form, blocks, stem, inner):
        super().__init__()
        self.conv1, self.bn1 = conv(3, stem, 7, stride=2), Norm(stem)
        inputs, steps = stem, ({}, {"stride": 2}, {"dilation": 2}, {"dilation": 4})
        for number, (width, count, how) in enumerate(
            zip(inner, blocks, steps, strict=True), start=1
        ):
            stage = []
            for index in range(count):
                kept = how if index == 0 else {"dilation": how.get("dilation", 1)}
                stage.append(Block(inputs, width, form, first=index == 0, **kept))
                inputs = width * (4 if form == "bottleneck" else 1)
            setattr(self, f"layer{number}", nn.Sequential(*stage))

    def forward(self, x):
        """Features of every stage, the stem's before its pooling."""
        found = {"conv1": F.relu(self.bn1(self.conv1(x)))}
        x = F.max_pool2d(found["conv1"], 3, 2, padding=1)
        for number in range(1, 5):
            x = found[f"layer{number}"] = getattr(self, f"layer{number}")(x)
        return found


class Adjust(nn.Module):
    """The adjustment of one level."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.downsample = nn.Sequential(conv(inputs, outputs, 1), Norm(outputs))

    def forward(self, x):
        return self.downsample(x)


class Branch(nn.Module):
    """The depth-wise correlation of one branch, and its read-out."""

    def __init__(self, inputs, width, outputs):
        super().__init__()

        def read():
            return nn.Sequential(conv(inputs, width, 3), Norm(width), nn.ReLU())

        self.conv_kernel, self.conv_search = read(), read()
        self.head = nn.Sequential(
            conv(width, width, 1), Norm(width), nn.ReLU(), nn.Conv2d(width, outputs, 1)
        )

    def forward(self, template, search):
        kernel, search = self.conv_kernel(template), self.conv_search(search)
        batch, width = kernel.shape[:2]
        found = F.conv2d(
            search.reshape(1, batch * width, *search.shape[2:]),
            kernel.reshape(batch * width, 1, *kernel.shape[2:]),
            groups=batch * width,
        )
        return self.head(found.reshape(batch, width, *found.shape[2:]))


class Twin(nn.Module):
    """SiamRPN++; `weighted` fuses its levels by learned vectors."""

    def __init__(self, name, *, weighted=True):
        super().__init__()
        form, blocks, stem, inner, width, adjust, anchors = SIZES[name]
        self.anchors, self.weighted = anchors, weighted
        self.backbone = Backbone(form, blocks, stem, inner)
        self.neck, self.rpn_head = nn.Module(), nn.Module()
        for level in LEVELS:
            inputs = inner[level - 1] * (4 if form == "bottleneck" else 1)
            setattr(self.neck, f"downsample{level}", Adjust(inputs, adjust))
            rpn = nn.Module()
            rpn.cls = Branch(adjust, width, 2 * anchors)
            rpn.loc = Branch(adjust, width, 4 * anchors)
            setattr(self.rpn_head, f"rpn{level}", rpn)
        if weighted:
            self.rpn_head.cls_weight = nn.Parameter(torch.ones(len(LEVELS)))
            self.rpn_head.loc_weight = nn.Parameter(torch.ones(len(LEVELS)))

    def forward(self, template, search):
        """Stages of both images, adjusted maps, and fused logits and offsets.

        Returns:
          Maps by name, [b, c, h, w]; "cls" and "loc" have the anchors fastest in c.
        """
        seen, shown = self.backbone(template), self.backbone(search)
        found = {f"template/{name}": x for name, x in seen.items()}
        found |= {f"search/{name}": x for name, x in shown.items()}
        for level in LEVELS:
            adjust = getattr(self.neck, f"downsample{level}")
            for role in ("template", "search"):
                found[f"{role}/adjusted{level}"] = adjust(found[f"{role}/layer{level}"])
        for branch in ("cls", "loc"):
            answers = []
            for level in LEVELS:
                rpn = getattr(self.rpn_head, f"rpn{level}")
                cut = middle(found[f"template/adjusted{level}"])
                shown = found[f"search/adjusted{level}"]
                answers.append(getattr(rpn, branch)(cut, shown))
            shares = torch.full((len(LEVELS),), 1 / len(LEVELS))
            if self.weighted:
                shares = getattr(self.rpn_head, f"{branch}_weight").softmax(0)
            parts = zip(shares, answers, strict=True)
            found[branch] = sum(share * answer for share, answer in parts)
        return found


def middle(x):
    """The middle cells of a template's map, columns 4 to 10 of 15."""
    edge = (x.shape[-1] - TEMPLATE_CELLS) // 2
    inside = slice(edge, edge + TEMPLATE_CELLS)
    return x[:, :, inside, inside]


def make_twin(name, template, search, *, seed=0, weighted=True):
    """A twin with random weights whose statistics nearly fit two images.

    Args:
      name: One of SIZES.
      template: BGR images, [b, 3, h, w].
      search: The same.
      seed: Number from which the weights follow.
      weighted: Whether the levels are fused by learned vectors.
    """
    torch.manual_seed(seed)
    network = Twin(name, weighted=weighted)
    norms = [one for one in network.modules() if isinstance(one, Norm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
            norm.momentum = 1.0
        if weighted:
            network.rpn_head.cls_weight.uniform_(-1.0, 1.0)
            network.rpn_head.loc_weight.uniform_(-1.0, 1.0)
        network.train()(template, search)
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean.mul_(torch.empty_like(norm.running_mean).uniform_(0.8, 1))
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.2))
    return network.eval()


def state_dict(network):
    """The state dict as NumPy arrays, by pysot's names."""
    return {name: t.detach().numpy().copy() for name, t in network.state_dict().items()}


def make_mover(name, template, searches):
    """A twin that was not trained and whose boxes yet move.

    The logit of a target is the correlation of random features, the same of template
    and search image, normalised over some search images; offsets are small and random.

    Args:
      name: One of SIZES.
      template: A crop, RGB, [h, w, 3].
      searches: Search crops, RGB, [b, h, w, 3].
    """
    images = [planes(np.stack([template] * len(searches))), planes(searches)]
    network = make_twin(name, *images)
    with torch.no_grad():
        for level in LEVELS:
            rpn = getattr(network.rpn_head, f"rpn{level}")
            read = rpn.cls.conv_kernel.state_dict()
            rpn.cls.conv_search.load_state_dict(read)
            mix, norm, _, out = rpn.cls.head
            mix.weight.fill_(1.0 / mix.weight.shape[1])
            norm.weight.fill_(1.0)
            norm.bias.zero_()
            norm.momentum = 1.0
            out.bias.zero_()
            out.weight.zero_()
            # Anchors are fastest: the classes are background, then target.
            out.weight[network.anchors :] = 2.0 / out.weight.shape[1]
            rpn.loc.head[3].weight.mul_(0.02)
            rpn.loc.head[3].bias.mul_(0.02)
        network.train()(*images)
        for module in network.modules():
            if isinstance(module, Norm):
                module.momentum = 0.1
    return network.eval()


def planes(images):
    """RGB images [b, h, w, 3] as the twin reads them, BGR [b, 3, h, w]."""
    turned = np.asarray(images, np.float32)[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(turned))


def ask(network, template, search):
    """Logits (2, k, n, n) and offsets (4, k, n, n) of two uint8 crops, RGB."""
    with torch.no_grad():
        found = network(planes(template[None]), planes(search[None]))
    grid = network.anchors, *found["cls"].shape[-2:]
    logits, offsets = (found[part][0].numpy() for part in ("cls", "loc"))
    return logits.reshape(2, *grid), offsets.reshape(4, *grid)
