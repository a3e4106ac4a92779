"""OSTrack in PyTorch, written from its description, with its public tensor names.

It reads RGB images of 0-255, [b, 3, h, w]. Public code differs in two things: it types
in the middle cell of four template grids, and its running variances are unbiased.
"""

import math

import pytest

torch = pytest.importorskip("torch", reason="the network is restated in PyTorch")
nn, F = torch.nn, torch.nn.functional

# width, depth, heads, side of a patch, width of the head.
SIZES = {
    "ostrack": (768, 12, 12, 16, 256),
    "mini-ostrack": (96, 4, 3, 8, 32),
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOW, HIGH = 1e-4, 1.0 - 1e-4


class Norm2d(nn.BatchNorm2d):
    """Batch normalisation whose running variance is the batch's own."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var, self.momentum)
        return F.batch_norm(x, None, None, self.weight, self.bias, True, eps=self.eps)


class PatchEmbed(nn.Module):
    def __init__(self, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        """The gathered tokens, all shares of attention, and q, k and v."""
        batch, count, width = x.shape
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (
            p.reshape(batch, count, self.heads, -1).transpose(1, 2) for p in parts
        )
        shares = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
        gathered = (shares @ v).transpose(1, 2).reshape(batch, count, width)
        return self.proj(gathered), shares, parts


class Mlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention, then maybe the loss of search tokens, then the two linear layers."""

    def __init__(self, width, heads, keep):
        super().__init__()
        self.keep = keep
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Mlp(width, 4 * width)

    def forward(self, x, cells, count):
        """The tokens, the search cells that are left, and q, k, v of all that came.

        Args:
          x: Tokens, those of the template first.
          cells: Search cells of the other tokens, in any order, [b, m].
          count: Number of tokens of the template.
        """
        added, shares, parts = self.attn(self.norm1(x))
        x = x + added
        if self.keep < 1.0:
            middle = (math.isqrt(count) - 1) // 2
            row = middle * math.isqrt(count) + middle
            scores = shares[:, :, row, count:].mean(1)
            number = math.ceil(self.keep * scores.shape[1])
            best = scores.argsort(dim=1, descending=True)[:, :number]
            cells = cells.gather(1, best)
            wide = best[..., None].expand(-1, -1, x.shape[-1])
            x = torch.cat([x[:, :count], x[:, count:].gather(1, wide)], dim=1)
        return x + self.mlp(self.norm2(x)), cells, parts


class Backbone(nn.Module):
    def __init__(self, name, sides, eliminate):
        super().__init__()
        width, depth, heads, patch, _ = SIZES[name]
        self.patch_embed = PatchEmbed(width, patch)
        for role, side in zip("zx", sides, strict=True):
            positions = nn.Parameter(torch.zeros(1, (side // patch) ** 2, width))
            setattr(self, f"pos_embed_{role}", positions)
        shares = dict(eliminate)
        self.blocks = nn.ModuleList(
            Block(width, heads, shares.get(index, 1.0)) for index in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, template, search):
        """Maps of both images by name, [b, d, h, w]; cells that are gone are zero."""
        z = self.patch_embed(template) + self.pos_embed_z
        x = self.patch_embed(search) + self.pos_embed_x
        count, whole = z.shape[1], x.shape[1]
        tokens = torch.cat([z, x], dim=1)
        cells = torch.arange(whole).expand(len(tokens), -1)
        found = {}
        for index, block in enumerate(self.blocks):
            before = cells
            tokens, cells, parts = block(tokens, cells, count)
            for kind, part in zip("qkv", parts, strict=True):
                self.put(found, f"{kind}{index}", part, before, count, whole)
        self.put(found, "norm", self.norm(tokens), cells, count, whole)
        return found

    @staticmethod
    def put(found, name, tokens, cells, count, whole):
        width = tokens.shape[-1]
        x = tokens.new_zeros(len(tokens), whole, width)
        x = x.scatter(1, cells[..., None].expand(-1, -1, width), tokens[:, count:])
        for role, part in (("template", tokens[:, :count]), ("search", x)):
            side = math.isqrt(part.shape[1])
            shape = (len(part), width, side, side)
            found[f"{role}/{name}"] = part.transpose(1, 2).reshape(shape)


def stage(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), Norm2d(outputs), nn.ReLU()
    )


class Head(nn.Module):
    def __init__(self, width, features):
        super().__init__()
        self.branches = {"ctr": 1, "offset": 2, "size": 2}
        for branch, outputs in self.branches.items():
            below = width
            for index in range(4):
                above = features >> index
                setattr(self, f"conv{index + 1}_{branch}", stage(below, above))
                below = above
            setattr(self, f"conv5_{branch}", nn.Conv2d(below, outputs, 1))

    def forward(self, x):
        """Raw scores [b, 1, f, f], offsets and sizes [b, 2, f, f]."""
        found = {}
        for branch in self.branches:
            y = x
            for index in range(1, 6):
                y = getattr(self, f"conv{index}_{branch}")(y)
            found[branch] = y
        found["size"] = found["size"].sigmoid().clamp(LOW, HIGH)
        return found


class Twin(nn.Module):
    """OSTrack for one search size, whose template is half as large."""

    def __init__(self, name, search_px, *, eliminate=()):
        super().__init__()
        self.backbone = Backbone(name, (search_px // 2, search_px), eliminate)
        self.box_head = Head(SIZES[name][0], SIZES[name][-1])

    def forward(self, template, search):
        """Maps of the backbone, and "ctr", "offset" and "size" of the head."""
        mean, deviation = (
            torch.tensor(values, dtype=search.dtype)[None, :, None, None]
            for values in (MEAN, DEVIATION)
        )
        images = ((image / 255.0 - mean) / deviation for image in (template, search))
        found = self.backbone(*images)
        return found | self.box_head(found["search/norm"])


def best_boxes(found):
    """Boxes (cx, cy, w, h) in shares of the search image, at the best scores."""
    scores = found["ctr"].flatten(1)
    side, best = found["ctr"].shape[-1], scores.argmax(dim=1)
    rows = torch.arange(len(best))
    offset = found["offset"].flatten(2)[rows, :, best]
    size = found["size"].flatten(2)[rows, :, best]
    cell = torch.stack([best % side, best // side], dim=1)
    return torch.cat([(cell + offset) / side, size], dim=1)


def make_twin(name, search_px, *, eliminate=(), seed=0):
    """A twin whose weights are random and large enough for all parts to matter."""
    torch.manual_seed(seed)
    network = Twin(name, search_px, eliminate=eliminate)
    with torch.no_grad():
        for part, tensor in network.state_dict().items():
            if part.endswith("num_batches_tracked"):
                continue
            if part.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.ndim == 1:
                tensor.normal_(0.0, 0.1)
                tensor += 1.0 if is_scale(part) else 0.0
            elif "pos_embed" in part:
                tensor.normal_(0.0, 0.5)
            else:
                fan = tensor[0].numel()
                tensor.normal_(0.0, 1.5 / math.sqrt(fan))
    return network.eval()


def is_scale(part):
    """Whether a vector of the state dict is the scale of a normalisation."""
    norm = ".norm" in part or part.startswith("backbone.norm") or ".1." in part
    return norm and part.endswith("weight")


def state_dict(network):
    """The state dict as NumPy arrays, by the public names."""
    return {name: t.detach().numpy().copy() for name, t in network.state_dict().items()}
