"""Feature distillation (DLF) in plain PyTorch, for `torch_step.py`.

Point compares the features of a cell after an adapter, by the mean of squares; Pair the
cosines of any two cells, by both of their matrices. Maps are [b, c, h, w].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_crops import tensor
from torch_terms import Answer

from dst_jax.distill import Pair, Point

nn = torch.nn


def make_adapters(params: Mapping[str, Any]) -> nn.ModuleDict:
    """The 1 x 1 convolutions of a student by term and layer, with our parameters."""
    terms = nn.ModuleDict()
    for term, layers in params.items():
        terms[term] = nn.ModuleDict(
            {layer: _convolution(**part) for layer, part in layers.items()}
        )
    return terms


def _convolution(*, kernel: Any, bias: Any) -> nn.Conv2d:
    inputs, outputs = kernel.shape
    layer = nn.Conv2d(inputs, outputs, 1)
    with torch.no_grad():
        layer.weight.copy_(tensor(kernel).T[..., None, None])
        assert layer.bias is not None
        layer.bias.copy_(tensor(bias))
    return layer


def adapters_like_ours(adapters: nn.ModuleDict) -> dict[str, Any]:
    """Their parameters in the layout of our own, on the host."""
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for name, value in adapters.named_parameters():
        term, layer, field = name.split(".")
        array = value.detach().cpu().numpy()
        if field == "weight":
            field, array = "kernel", array[:, :, 0, 0].T
        found.setdefault(term, {}).setdefault(layer, {})[field] = array
    return found


def point(
    term: Point,
    layers: list[tuple[str, str]],
    adapters: Mapping[str, Any],
    answers: tuple[Answer, Answer],
) -> torch.Tensor:
    """L_point of a student's answer and the teacher's, added up over images."""
    total = torch.zeros((), device=answers[0].response.device)
    for image in term.compared_images:
        ours, theirs = (getattr(answer, image) for answer in answers)
        for own, other in layers:
            total = total + F.mse_loss(adapters[own](ours[own]), theirs[other])
    return total


def pair(
    term: Pair, layers: list[tuple[str, str]], answers: tuple[Answer, Answer]
) -> torch.Tensor:
    """L_pair of a student's answer and the teacher's, added up over images."""
    total = torch.zeros((), device=answers[0].response.device)
    for image in term.compared_images:
        ours, theirs = (getattr(answer, image) for answer in answers)
        for own, other in layers:
            total = total + F.mse_loss(cosines(ours[own]), cosines(theirs[other]))
    return total


def cosines(features: torch.Tensor) -> torch.Tensor:
    """How similar any two cells are, [b, n, n]."""
    unit = F.normalize(features.flatten(2), dim=1)
    return torch.bmm(unit.transpose(1, 2), unit)
