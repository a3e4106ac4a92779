"""The terms of the TSsKD objective in plain PyTorch, for `torch_step.py`.

Those of DLF are in `torch_dlf.py`.

Written from the equations, with the options that the terms have by default:
divergences are student first, activation maps are divided by their norm and compared
by their mean square. Weights, margins, layers, decay and discount are read from the
terms.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from dst_jax.distill import (
    DistillConfig,
    Hard,
    Pair,
    Point,
    Response,
    Sharing,
    Soft,
    Task,
    Term,
)
from dst_jax.ops.anchors import AssignConfig

# The terms, and those of their options whose values are read; the others are as they
# are by default.
TERMS = (Task, Hard, Soft, Response, Sharing, Point, Pair)
OPTIONS = ("weight", "margin", "layers", "decay", "discount", "images")


def known_terms(config: DistillConfig) -> dict[str, Term]:
    """Returns the terms by name; ends the script if there are others."""
    for name, term in config.active.items():
        plain = type(term)()
        read = {o: getattr(term, o) for o in OPTIONS if hasattr(term, o)}
        if type(term) not in TERMS or dataclasses.replace(plain, **read) != term:
            raise SystemExit(
                f"PyTorch's side has no term {name}={term}: it has gt, ah, ts, str, "
                f"ks, point and pair, and of their options {', '.join(OPTIONS)}."
            )
    if config.warmup_epochs:
        raise SystemExit("PyTorch's side has no warm-up.")
    return config.active


class Answer(NamedTuple):
    """What a network says: responses, offsets of anchors, features by stage."""

    response: torch.Tensor
    offsets: torch.Tensor | None
    template: dict[str, torch.Tensor]
    search: dict[str, torch.Tensor]


class Targets(NamedTuple):
    """Labels on the response grid; deltas and weights of anchors where there are.

    `label` is 1 on the target, 0 off it, -1 ignored: [b, u, v] or [b, u, v, k].
    """

    label: torch.Tensor
    delta: torch.Tensor | None = None
    weight: torch.Tensor | None = None


def cell_targets(side: int, stride: int, radius_px: float, batch: int) -> Targets:
    """SiamFC's labels: 1 within a radius of the middle."""
    offset = stride * (torch.arange(side) - (side - 1) / 2)
    near = torch.hypot(offset[:, None], offset[None, :]) <= radius_px
    return Targets(near.float().expand(batch, -1, -1))


def nearest_targets(
    boxes: torch.Tensor, *, side: int, stride: int, search_px: int, radius_px: float
) -> Targets:
    """SiamDW's labels: 1 within a radius of the cell nearest to the target's centre.

    The distance is that along rows and columns together.
    """
    offsets = (boxes[:, :2] - 0.5 * search_px) / stride + 0.5 * (side - 1)
    numbers = torch.arange(side, device=boxes.device)
    away = (numbers - torch.floor(offsets + 0.5)[..., None]).abs()
    near = stride * (away[:, 1, :, None] + away[:, 0, None, :]) <= radius_px
    return Targets(near.float())


def anchor_targets(
    anchors: torch.Tensor, boxes: torch.Tensor, config: AssignConfig
) -> Targets:
    """Labels and deltas of anchors [u, v, k, 4] for boxes [b, 4] of targets, cxcywh.

    Random positives and negatives, a fixed number of each at most; no negative pairs.
    """
    grid, box = anchors[None], boxes[:, None, None, None]
    low = torch.maximum(
        grid[..., :2] - grid[..., 2:] / 2, box[..., :2] - box[..., 2:] / 2
    )
    high = torch.minimum(
        grid[..., :2] + grid[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2
    )
    common = (high - low).clamp(min=0.0).prod(-1)
    overlap = common / (grid[..., 2:].prod(-1) + box[..., 2:].prod(-1) - common)
    positive = keep(overlap > config.positive_iou, config.positives)
    negative = keep(overlap < config.negative_iou, config.negatives)
    label = positive.int() - (~positive & ~negative).int()
    shift = (box[..., :2] - grid[..., :2]) / grid[..., 2:]
    growth = torch.log(box[..., 2:] / grid[..., 2:]).expand_as(shift)
    delta = torch.cat([shift, growth], -1) * positive[..., None]
    count = positive.flatten(1).sum(1).clamp(min=1)
    return Targets(label, delta, positive / count[:, None, None, None])


def keep(candidates: torch.Tensor, most: int) -> torch.Tensor:
    """At most so many random candidates of each example."""
    flat = candidates.flatten(1)
    priority = torch.where(flat, torch.rand(flat.shape, device=flat.device), -1.0)
    value, place = priority.topk(min(most, flat.shape[1]), dim=1)
    kept = torch.zeros_like(flat).scatter(1, place, value >= 0.0)
    return kept.view_as(candidates)


def balanced(values: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Half the mean over positives, half the mean over negatives."""
    parts = [(label == kind).to(values.dtype) for kind in (1, 0)]
    means = [(values * p).sum() / p.sum().clamp(min=1.0) for p in parts]
    return 0.5 * (means[0] + means[1])


def odds(response: torch.Tensor) -> torch.Tensor:
    """One logit for each cell or anchor."""
    return response[..., 1] - response[..., 0] if response.ndim == 5 else response


def divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """KL of two Bernoulli distributions given by logits, elementwise."""
    return torch.sigmoid(first) * (F.logsigmoid(first) - F.logsigmoid(second)) + (
        torch.sigmoid(-first) * (F.logsigmoid(-first) - F.logsigmoid(-second))
    )


def smooth_l1(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """Summed over the four numbers of a box."""
    return F.smooth_l1_loss(one, two, reduction="none").sum(-1)


def classification(answer: Answer, targets: Targets) -> torch.Tensor:
    """The loss of target against background, eq. 2."""
    sign = 2.0 * (targets.label == 1).to(answer.response.dtype) - 1.0
    return balanced(F.softplus(-sign * odds(answer.response)), targets.label)


def task(answer: Answer, targets: Targets) -> torch.Tensor:
    """The loss on the labels, eq. 2 or 5."""
    classes = classification(answer, targets)
    if answer.offsets is None or targets.delta is None:
        return classes
    return classes + regression(smooth_l1(answer.offsets, targets.delta), targets)


def adaptive_hard(
    answer: Answer, teacher: Answer, targets: Targets, *, margin: float
) -> torch.Tensor:
    """AH, eq. 10 and 11: the loss on the labels, its boxes bounded by the teacher's."""
    classes = classification(answer, targets)
    if answer.offsets is None or teacher.offsets is None or targets.delta is None:
        return classes
    own = smooth_l1(answer.offsets, targets.delta)
    gap = smooth_l1(teacher.offsets, targets.delta) - own.detach()
    return classes + regression(own * (gap < margin), targets)


def teacher_soft(answer: Answer, teacher: Answer, targets: Targets) -> torch.Tensor:
    """TS, eq. 9: classes of all cells or anchors, boxes of the positive anchors."""
    values = divergence(odds(answer.response), odds(teacher.response))
    if answer.offsets is None or teacher.offsets is None:
        return balanced(values, targets.label)
    boxes = smooth_l1(answer.offsets, teacher.offsets)
    return values.mean() + regression(boxes, targets)


def knowledge_sharing(learner: Answer, peer: Answer) -> torch.Tensor:
    """KS, eq. 17-19; the peer is a fixed target."""
    values = divergence(odds(learner.response), odds(peer.response.detach()))
    if learner.offsets is None or peer.offsets is None:
        return values.mean()
    boxes = smooth_l1(learner.offsets, peer.offsets.detach())
    return values.mean() + boxes.mean()


def regression(values: torch.Tensor, targets: Targets) -> torch.Tensor:
    """The mean over positives of each pair, then over the pairs that have any."""
    assert targets.weight is not None
    pairs = (targets.weight > 0.0).flatten(1).any(1).sum().clamp(min=1)
    return (values * targets.weight).sum() / pairs


@torch.no_grad()
def gate(
    learner: Answer, teacher: Answer, targets: Targets, *, margin: float
) -> torch.Tensor:
    """1 where the learner's loss on the labels comes near the teacher's, eq. 22."""
    gap = task(learner, targets) - task(teacher, targets)
    return (gap < margin).to(gap.dtype)


def target_response(
    student: Answer, teacher: Answer, layers: Sequence[str]
) -> torch.Tensor:
    """STR, eq. 12-15: unit activation maps of both images, mean squares."""
    total = torch.zeros((), device=student.response.device)
    for layer in layers:
        z, x = student.template[layer], student.search[layer]
        with torch.no_grad():
            tz, tx = teacher.template[layer], teacher.search[layer]
            aims = unit(activation(tz)), unit(weighted(tx, tz))
        total = total + F.mse_loss(unit(activation(z)), aims[0])
        total = total + F.mse_loss(unit(weighted(x, z)), aims[1])
    return total


def activation(features: torch.Tensor) -> torch.Tensor:
    """F(U), the sum of absolute values over channels."""
    return features.abs().sum(1)


def unit(maps: torch.Tensor) -> torch.Tensor:
    """Each map [b, h, w] divided by its norm."""
    return F.normalize(maps.flatten(1), dim=1).view_as(maps)


def weighted(search: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """F(W Q_x), W the correlation of both maps with zeros around the search map."""
    return weight_map(search, template).abs() * activation(search)


def weight_map(search: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """W: all products of cells at once, summed along their diagonals by `fold`."""
    rows, columns = template.shape[2:]
    height, width = search.shape[2:]
    # [b, d, i j]^T [b, d, h w]; a flipped kernel makes the correlation a fold.
    flipped = template.flip(2, 3).flatten(2).transpose(1, 2)
    products = torch.bmm(flipped, search.flatten(2))
    full = (height + rows - 1, width + columns - 1)
    maps = F.fold(products, full, (rows, columns))[:, 0]
    top, left = rows - 1 - (rows - 1) // 2, columns - 1 - (columns - 1) // 2
    return maps[:, top : top + height, left : left + width]
