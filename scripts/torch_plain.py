"""Plain chains of convolutions with SiamFC's and SiamRPN's heads in PyTorch.

They are for `torch_step.py`, and have one of our networks' weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_crops import tensor
from torch_residual import correlate
from torch_terms import Answer

from dst_jax.arch import (
    CorrelationHeadSpec,
    HeadSpec,
    RegionHeadSpec,
    TrackerSpec,
    plain_layers,
)
from dst_jax.models import Variables


class Network(torch.nn.Module):
    """A Siamese tracker of an architecture, with one of our networks' weights."""

    def __init__(self, spec: TrackerSpec):
        super().__init__()
        self.spec = spec
        nn, below = torch.nn, 3
        backbone: Any = spec.backbone
        self.layers = plain_layers(backbone, "This yardstick")
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in self.layers:
            self.convs.append(
                nn.Conv2d(
                    below,
                    layer.features,
                    layer.kernel,
                    stride=layer.stride,
                    padding=layer.padding,
                    groups=layer.groups,
                )
            )
            norm = nn.BatchNorm2d(
                layer.features,
                eps=backbone.norm_epsilon,
                momentum=1.0 - backbone.norm_momentum,
            )
            self.norms.append(norm if layer.batch_norm else nn.Identity())
            below = layer.features
        self.head = head_layers(spec.head, below)

    def embed(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of every stage before its pooling."""
        features, x = {}, images
        stages = zip(self.layers, self.convs, self.norms, strict=True)
        for index, (layer, conv, norm) in enumerate(stages, start=1):
            x = norm(conv(x))
            if layer.activation == "relu":
                x = F.relu_(x)
            features[f"conv{index}"] = x
            if layer.pool:
                x = F.max_pool2d(x, layer.pool.window, layer.pool.stride)
        return features

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> Answer:
        """Embeds template, then search, and responds."""
        z, x = self.embed(template), self.embed(search)
        last, head = f"conv{len(self.convs)}", self.spec.head
        if isinstance(head, CorrelationHeadSpec):
            response = correlate(x[last], z[last][:, None])[:, 0] * head.scale
            return Answer(response, None, z, x)
        assert isinstance(head, RegionHeadSpec)
        k, maps = head.anchors, {}
        for name, outputs in (("cls", 2 * k), ("r", 4 * k)):
            kernels = self.head[f"{name}1"](z[last])
            kernels = kernels.unflatten(1, (outputs, head.features))
            maps[name] = correlate(self.head[f"{name}2"](x[last]), kernels)
        offsets = self.head["regress_adjust"](maps["r"])
        # Anchors fastest: [b, c k, u, v] to [b, u, v, k, c].
        logits, offsets = (
            m.unflatten(1, (-1, k)).permute(0, 3, 4, 2, 1)
            for m in (maps["cls"], offsets)
        )
        return Answer(logits, offsets, z, x)

    @torch.no_grad()
    def load(self, variables: Variables) -> None:
        """Takes over our variables."""
        params, stats = variables["params"], variables["batch_stats"]
        for index, (conv, norm) in enumerate(
            zip(self.convs, self.norms, strict=True), start=1
        ):
            part = params["backbone"][f"conv{index}"]
            _load_conv(conv, part["conv"])
            if "norm" in part:
                running = stats["backbone"][f"conv{index}"]["norm"]
                norm.weight.copy_(tensor(part["norm"]["scale"]))
                norm.bias.copy_(tensor(part["norm"]["bias"]))
                norm.running_mean.copy_(tensor(running["mean"]))
                norm.running_var.copy_(tensor(running["var"]))
        for name, module in self.head.items():
            _load_conv(module, params["head"][name])

    def parameters_like_ours(self) -> dict[str, Any]:
        """The parameters in the layout of our own, on the host."""
        stages: dict[str, Any] = {}
        for index, (conv, norm) in enumerate(
            zip(self.convs, self.norms, strict=True), start=1
        ):
            stages[f"conv{index}"] = {"conv": _conv_like_ours(conv)}
            if isinstance(norm, torch.nn.BatchNorm2d):
                scale, bias = norm.weight, norm.bias
                stages[f"conv{index}"]["norm"] = {
                    "bias": bias.detach().cpu().numpy(),
                    "scale": scale.detach().cpu().numpy(),
                }
        if not self.head:
            return {"backbone": stages}
        head = {name: _conv_like_ours(module) for name, module in self.head.items()}
        return {"backbone": stages, "head": head}

    @torch.no_grad()
    def running_statistics(
        self, template: torch.Tensor, search: torch.Tensor
    ) -> dict[str, Any]:
        """Statistics of search images, for a teacher that was never trained."""
        del template  # no head of these has a normalisation
        found: dict[str, Any] = {}
        for norm in self.norms:
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = 1.0
        self.train().embed(search)
        self.eval()
        for index, norm in enumerate(self.norms, start=1):
            if isinstance(norm, torch.nn.BatchNorm2d):
                assert norm.running_mean is not None and norm.running_var is not None
                mean, var = norm.running_mean.cpu(), norm.running_var.cpu()
                found[f"conv{index}"] = {
                    "norm": {"mean": mean.numpy(), "var": var.numpy()}
                }
        return {"backbone": found}


def head_layers(head: HeadSpec, below: int) -> torch.nn.ModuleDict:
    """The convolutions of a head on features of `below` channels, by our names."""
    nn, layers = torch.nn, torch.nn.ModuleDict()
    match head:
        case CorrelationHeadSpec(bias=False):
            return layers
        case RegionHeadSpec(form="up_channel", features=width, kernel=side, anchors=k):
            for name, outputs in (("cls", 2 * k), ("r", 4 * k)):
                layers[f"{name}1"] = nn.Conv2d(below, width * outputs, side)
                layers[f"{name}2"] = nn.Conv2d(below, width, side)
            layers["regress_adjust"] = nn.Conv2d(4 * k, 4 * k, 1)
            return layers
    raise SystemExit(f"PyTorch's side has no {head}; take another family.")


def _load_conv(module: Any, part: Mapping[str, Any]) -> None:
    module.weight.copy_(tensor(part["kernel"]).permute(3, 2, 0, 1))
    module.bias.copy_(tensor(part["bias"]))


def _conv_like_ours(module: Any) -> dict[str, np.ndarray]:
    kernel = module.weight.detach().permute(2, 3, 1, 0)
    return {
        "bias": module.bias.detach().cpu().numpy(),
        "kernel": kernel.cpu().contiguous().numpy(),
    }
