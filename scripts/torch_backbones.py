"""Backbones in plain PyTorch with our weights, in inference mode."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_residual import ResidualBackbone

from dst_jax.arch import ConvSpec, TrackerSpec, plain_layers
from dst_jax.models import Variables


def embedding(
    spec: TrackerSpec, variables: Variables
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from RGB images [b, 3, h, w] to the last features."""
    chain: Any = spec.backbone
    if all(isinstance(layer, ConvSpec) for layer in chain.layers):
        return PlainBackbone(spec, variables)
    network = ResidualBackbone(spec)
    network.load(
        {name: {"backbone": own["backbone"]} for name, own in variables.items()}
    )
    network.eval()
    last = spec.backbone.stage_names[-1]
    return lambda images: network.embed(images)[last]


class PlainBackbone:
    """Convolutions one after another."""

    def __init__(self, spec: TrackerSpec, variables: Variables):
        self.stages = plain_layers(spec.backbone, "This benchmark")
        self.epsilon = spec.backbone.norm_epsilon
        names = spec.backbone.stage_names
        self.layers = [self._tensors(variables, name) for name in names]

    @staticmethod
    def _tensors(variables: Variables, stage: str) -> dict[str, torch.Tensor]:
        parts = variables["params"]["backbone"][stage]
        kernel = np.array(parts["conv"]["kernel"]).transpose(3, 2, 0, 1)
        tensors = {
            "weight": torch.from_numpy(np.ascontiguousarray(kernel)),
            "bias": torch.from_numpy(np.array(parts["conv"]["bias"])),
        }
        if "norm" in parts:
            running = variables["batch_stats"]["backbone"][stage]["norm"]
            for name, array in (*parts["norm"].items(), *running.items()):
                tensors[f"norm_{name}"] = torch.from_numpy(np.array(array))
        return tensors

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the last features of RGB images [b, 3, h, w]."""
        x = images
        for layer, tensors in zip(self.stages, self.layers, strict=True):
            weight, bias = tensors["weight"], tensors["bias"]
            x = F.conv2d(x, weight, bias, stride=layer.stride, groups=layer.groups)
            if layer.batch_norm:
                x = F.batch_norm(
                    x,
                    tensors["norm_mean"],
                    tensors["norm_var"],
                    tensors["norm_scale"],
                    tensors["norm_bias"],
                    eps=self.epsilon,
                )
            if layer.activation == "relu":
                x = F.relu_(x)
            if layer.pool:
                x = F.max_pool2d(x, layer.pool.window, layer.pool.stride)
        return x
