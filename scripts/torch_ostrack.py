"""OSTrack and a step of LoReTrack in plain PyTorch, for `bench_ostrack.py`.

As one would write them in PyTorch: modules, autograd, its fused attention, AdamW, the
teacher under `no_grad`, mixed precision by `autocast`. A module's name is its path in
our variables, with "." for "/", so that both sides can be asked for the same numbers.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from dst_jax.arch import CentreHeadSpec, TokenBackboneSpec, TrackerSpec
from dst_jax.distill import Disc, Qkv, Task, Term
from dst_jax.models import Variables
from dst_jax.train import OptimConfig

nn = torch.nn
ROLES = ("template", "search")
LOW, HIGH = 1e-4, 1.0 - 1e-4


class Seen(NamedTuple):
    """What a network says of search images of f x f cells.

    Attributes:
      score: Scores before the sigmoid, [b, 1, f, f].
      offset: Offsets in cells, [b, 2, f, f].
      size: Sizes before the sigmoid, [b, 2, f, f].
      maps: The last block's "q", "k" and "v" and the last "norm", [b, d, f, f].
    """

    score: torch.Tensor
    offset: torch.Tensor
    size: torch.Tensor
    maps: dict[str, torch.Tensor]


class Block(nn.Module):
    """Attention and two linear layers, each half dropped for some examples."""

    def __init__(self, spec: TokenBackboneSpec, drop: float):
        super().__init__()
        width = spec.width
        self.heads, self.drop = spec.heads, drop
        self.norm1 = nn.LayerNorm(width, spec.norm_epsilon)
        self.norm2 = nn.LayerNorm(width, spec.norm_epsilon)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1 = nn.Linear(width, spec.mlp * width)
        self.fc2 = nn.Linear(spec.mlp * width, width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The tokens, and their queries, keys and values."""
        found = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in found)
        gathered = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self._kept(self.proj(gathered))
        return x + self._kept(self.fc2(F.gelu(self.fc1(self.norm2(x))))), found

    def _kept(self, added: torch.Tensor) -> torch.Tensor:
        if not (self.training and self.drop):
            return added
        share = 1.0 - self.drop
        stays = added.new_empty(len(added), 1, 1).bernoulli_(share)
        return added * (stays / share)


class Branch(nn.Module):
    """A branch of the head: four 3 x 3 convolutions and a 1 x 1."""

    def __init__(self, head: CentreHeadSpec, below: int, outputs: int):
        super().__init__()
        momentum = 1.0 - head.norm_momentum
        self.stages: list[str] = []
        for index, conv in enumerate(head.stages, start=1):
            stage, width = nn.Module(), conv.features
            stage.conv = nn.Conv2d(below, width, 3, padding=1, bias=conv.bias)
            stage.norm = nn.BatchNorm2d(width, head.norm_epsilon, momentum)
            self.stages.append(f"conv{index}")
            self.add_module(self.stages[-1], stage)
            below = width
        self.read = nn.Conv2d(below, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Numbers of every cell."""
        for name in self.stages:
            stage: Any = getattr(self, name)
            x = F.relu_(stage.norm(stage.conv(x)))
        return self.read(x)


class OSTrack(nn.Module):
    """An OSTrack without elimination, with one of our networks' weights."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, spec: TrackerSpec, variables: Variables):
        super().__init__()
        tokens, head = spec.backbone, spec.head
        assert isinstance(tokens, TokenBackboneSpec) and tokens.stem == "patch"
        assert isinstance(head, CentreHeadSpec) and not tokens.eliminate
        width, crops = tokens.width, spec.input
        self.patch = nn.Conv2d(3, width, tokens.patch, stride=tokens.patch)
        sides = crops.template_px // tokens.patch, crops.search_px // tokens.patch
        self.positions = nn.ParameterDict(
            {n: torch.zeros(s * s, width) for n, s in zip(ROLES, sides, strict=True)}
        )
        self.blocks = nn.ModuleList(Block(tokens, rate) for rate in tokens.drop_rates)
        self.norm = nn.LayerNorm(width, tokens.norm_epsilon)
        self.head = nn.ModuleDict(
            {name: Branch(head, width, outputs) for name, outputs in head.branches}
        )
        self.scale = crops.scale
        for name in ("mean", "std"):
            values = torch.tensor(getattr(crops, name))[None, :, None, None]
            self.register_buffer(name, values)
        self._load(variables)

    def embed(self, images: torch.Tensor, role: str) -> torch.Tensor:
        """Tokens with positions of RGB images of 0 to 255, [b, 3, h, w]."""
        x = self.patch((images * self.scale - self.mean) / self.std)
        return x.flatten(2).transpose(1, 2) + self.positions[role]

    def answer(self, template: torch.Tensor, search: torch.Tensor) -> Seen:
        """What search tokens say beside those of their templates, or of one."""
        count, found = template.shape[1], ()
        x = torch.cat([template.expand(len(search), -1, -1), search], dim=1)
        for block in self.blocks:
            x, found = block(x)
        names = ("q", "k", "v", "norm")
        maps = {
            name: _as_map(tokens[:, count:])
            for name, tokens in zip(names, (*found, self.norm(x)), strict=True)
        }
        score, offset, size = (
            self.head[name](maps["norm"]) for name in ("score", "offset", "size")
        )
        return Seen(score, offset, size, maps)

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> Seen:
        """What pairs of images say."""
        return self.answer(
            self.embed(template, "template"), self.embed(search, "search")
        )

    def like_ours(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Our tree of tensors by PyTorch's names, such as gradients, on the host."""
        found: dict[str, Any] = {}
        for name, value in tensors.items():
            path, field = self._place(name)
            here = found
            for part in path:
                here = here.setdefault(part, {})
            here[field] = _like_ours(path, field, value.detach().cpu())
        return found

    def _place(self, name: str) -> tuple[list[str], str]:
        """The path of a parameter in our variables, and its field."""
        *path, field = name.split(".")
        if path[0] == "blocks":
            path[:2] = [f"block{path[1]}"]
        if path[0] != "head":
            path = ["backbone", *path]
        if field == "weight":
            field = "scale" if path[-1].startswith("norm") else "kernel"
        return path, {"running_mean": "mean", "running_var": "var"}.get(field, field)

    @torch.no_grad()
    def _load(self, variables: Variables) -> None:
        """Takes over our variables."""
        for name, tensor in self.state_dict().items():
            if name in ("mean", "std") or name.endswith("num_batches_tracked"):
                continue
            path, field = self._place(name)
            statistic = field in ("mean", "var")
            here: Any = variables["batch_stats" if statistic else "params"]
            for part in (*path, field):
                here = here[part]
            value = torch.from_numpy(np.array(here, np.float32))
            if path[-1] == "patch" and value.ndim == 2:
                value = value.reshape(*tensor.shape[2:], 3, -1)
            if field == "kernel":
                order = (1, 0) if value.ndim == 2 else (3, 2, 0, 1)
                value = value.permute(order)
            tensor.copy_(value)


def _like_ours(path: list[str], field: str, value: torch.Tensor) -> np.ndarray:
    if field == "kernel":
        value = value.permute((1, 0) if value.ndim == 2 else (2, 3, 1, 0))
        if path[-1] == "patch":
            value = value.flatten(0, 2)
    return value.contiguous().numpy()


def _as_map(tokens: torch.Tensor) -> torch.Tensor:
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))


class Targets(NamedTuple):
    """What a batch teaches: heat [b, f, f], boxes (cx, cy, w, h) in [0, 1] [b, 4]."""

    heat: torch.Tensor
    box: torch.Tensor


def make_targets(boxes: torch.Tensor, side: int, px: int) -> Targets:
    """Labels on a grid of boxes within search images of `px` pixels."""
    box = boxes / px
    cells = box * side
    w, h = cells[:, 2:].unbind(-1)
    overlap, roots = 0.7, []
    for a, b, c in (
        (1.0, w + h, w * h * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * (w + h), (1 - overlap) * w * h),
        (4 * overlap, -2 * overlap * (w + h), (overlap - 1) * w * h),
    ):
        roots.append((b + (b * b - 4 * a * c).sqrt()) / 2)
    radius = torch.stack(roots).amin(0).floor()[:, None, None]
    away = torch.arange(side, device=boxes.device) - cells[:, :2].round().clamp(
        0, side - 1
    ).unsqueeze(-1)
    line = torch.exp(-0.5 * (away * 6 / (2 * radius + 1)) ** 2) * (away.abs() <= radius)
    low = (box[:, :2] - box[:, 2:] / 2).clamp(0, 1)
    high = (box[:, :2] + box[:, 2:] / 2).clamp(0, 1)
    kept = torch.cat([(low + high) / 2, high - low], -1)
    return Targets(line[:, 1, :, None] * line[:, 0, None, :], kept)


def detection(seen: Seen, targets: Targets) -> torch.Tensor:
    """2 GIoU + 5 L1 + focal, with the boxes of the best cells."""
    p = seen.score[:, 0].float().sigmoid().clamp(LOW, HIGH)
    centre = (targets.heat == 1).float()
    gain = p.log() * (1 - p) ** 2 * centre
    loss = (1 - p).log() * p**2 * (1 - targets.heat) ** 4 * (1 - centre)
    focal = -(gain + loss).sum() / centre.sum()
    a, b = (
        torch.cat([x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2], -1)
        for x in (_best_boxes(seen), targets.box)
    )
    inner = torch.minimum(a, b)[:, 2:] - torch.maximum(a, b)[:, :2]
    outer = torch.maximum(a, b)[:, 2:] - torch.minimum(a, b)[:, :2]
    inner, hull = inner.clamp(min=0).prod(-1), outer.prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - inner
    giou = inner / union - (hull - union) / hull
    return focal + 2 * (1 - giou).mean() + 5 * F.l1_loss(a, b)


def _best_boxes(seen: Seen) -> torch.Tensor:
    side, best = seen.score.shape[-1], seen.score.flatten(1).argmax(1)
    numbers = torch.cat([seen.offset, seen.size], 1).float().flatten(2)
    own = numbers.gather(2, best[:, None, None].expand(-1, 4, 1))[..., 0]
    cell = torch.stack([best % side, best // side], -1)
    sizes = own[:, 2:].sigmoid().clamp(LOW, HIGH)
    return torch.cat([(cell + own[:, :2]) / side, sizes], -1)


def divergence(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    weights: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """T^2 / B times the sum of KL over cells of the teacher's map."""
    student = F.interpolate(student.float(), size=teacher.shape[2:], mode="bilinear")
    ours, theirs = (
        F.log_softmax(x.float() / temperature, dim=1) for x in (student, teacher)
    )
    cells = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return temperature**2 * (cells * weights).sum() / len(cells)


Loss = Callable[[Seen, Seen, Targets], torch.Tensor]


def _loss_of(term: Term) -> Loss:
    """A term with its weight, of what the student says, the teacher, and labels."""
    match term:
        case Task(weight=weight):
            return lambda seen, aim, targets: weight * detection(seen, targets)
        case Qkv(weight=weight, temperature=t):
            return lambda seen, aim, _: (
                weight
                * sum_of([divergence(seen.maps[x], aim.maps[x], t) for x in "qkv"])
            )
        case Disc(
            weight=weight,
            temperature=t,
            saliency="threshold",
            threshold=least,
            weights=(inside, outside),
        ):

            def disc(seen: Seen, aim: Seen, _: Targets) -> torch.Tensor:
                taught = aim.maps["norm"]
                salient = taught.square().mean(1) >= least
                weights = torch.where(salient, inside, outside)
                return weight * divergence(seen.maps["norm"], taught, t, weights)

            return disc
    raise SystemExit(f"PyTorch's side has no {term}.")


def sum_of(terms: Iterable[torch.Tensor]) -> torch.Tensor:
    """The sum of scalars."""
    return torch.stack(list(terms)).sum()


class TorchStep:
    """Teacher forward, student forward and back, and AdamW."""

    def __init__(
        self,
        teacher: tuple[TrackerSpec, Variables],
        student: tuple[TrackerSpec, Variables],
        terms: Mapping[str, Term],
        optim: OptimConfig,
        *,
        device: str,
        half: bool = False,
        compiled: bool = False,
    ):
        self.terms = {name: _loss_of(term) for name, term in terms.items()}
        self.optim, self.device, self.half = optim, device, half
        self.teacher = OSTrack(*teacher).to(device).eval()
        self.student = OSTrack(*student).to(device).train()
        self.spec, self.wide_px = student[0], teacher[0].input.search_px
        self.losses = self.objective
        if compiled:
            self.losses = torch.compile(self.objective, dynamic=False, fullgraph=True)
        assert optim.method == "adamw" and optim.clip_norm is not None
        self.optimizer = torch.optim.AdamW(
            self.student.parameters(),
            lr=optim.learning_rate,
            weight_decay=optim.weight_decay,
            fused=device == "cuda",
        )

    def objective(
        self, template: torch.Tensor, search: torch.Tensor, boxes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Terms with their weights, of images [b, 3, h, w] and boxes in pixels."""
        crops = self.spec.input
        side = self.spec.feature_side(crops.search_px)
        targets = make_targets(boxes, side, self.wide_px)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            with torch.no_grad():
                aim = self.teacher(template, search)
            small = (
                F.interpolate(images, size=px, mode="bilinear")
                for images, px in (
                    (template, crops.template_px),
                    (search, crops.search_px),
                )
            )
            seen = self.student(*small)
        return {name: loss(seen, aim, targets) for name, loss in self.terms.items()}

    def gradients(
        self, template: torch.Tensor, search: torch.Tensor, boxes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Fills the gradients of the student's parameters; returns the terms."""
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.losses(template, search, boxes)
        sum_of(terms.values()).backward()
        return terms

    def learn(
        self, template: torch.Tensor, search: torch.Tensor, boxes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """One step on crops; returns the terms."""
        terms = self.gradients(template, search, boxes)
        limit = self.optim.clip_norm or math.inf
        nn.utils.clip_grad_norm_(self.student.parameters(), limit)
        self.optimizer.step()
        return terms

    def batches(
        self, batch: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Crops of a host batch without end, flipped jointly and then each, and boxes.

        The bytes wait in pinned memory, as a loader leaves them.
        """
        held = [torch.from_numpy(batch[f"{role}_patch"]) for role in ROLES]
        boxes = torch.from_numpy(batch["search_box"]).to(self.device)
        if self.device == "cuda":
            held = [images.pin_memory() for images in held]
        while True:
            both = torch.rand(len(boxes), device=self.device) < 0.5
            found: list[torch.Tensor] = []
            mirrored = both
            for images in held:
                one = images.to(self.device, non_blocking=True)
                one = one.permute(0, 3, 1, 2).float()
                mirrored = both ^ (torch.rand(len(both), device=self.device) < 0.5)
                found.append(
                    torch.where(mirrored[:, None, None, None], one.flip(3), one)
                )
            x = torch.where(mirrored, self.wide_px - boxes[:, 0], boxes[:, 0])
            yield found[0], found[1], torch.cat([x[:, None], boxes[:, 1:]], 1)
