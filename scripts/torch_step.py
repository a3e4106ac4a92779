"""The joint TSsKD step in plain PyTorch, the yardstick of `bench_step.py`.

The same networks, losses and optimizer as `dst_jax.train.make_train_step`, written as
one would write them in PyTorch: modules, autograd, SGD with momentum, the teacher under
`no_grad`, crops by OpenCV. Parameters come from our own variables, so that both sides
can be asked for the same numbers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch_residual import ResidualNetwork
from torch_terms import (
    Answer,
    Targets,
    adaptive_hard,
    gate,
    knowledge_sharing,
    paper_terms,
    target_response,
    teacher_soft,
)

from dst_jax.arch import (
    CorrelationHeadSpec,
    HeadSpec,
    RegionHeadSpec,
    TrackerSpec,
    plain_layers,
    tracker_cost,
)
from dst_jax.distill import DistillConfig
from dst_jax.models import Variables
from dst_jax.train import OptimConfig


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


def tensor(array: Any) -> torch.Tensor:
    """A tensor with a copy of an array's values."""
    return torch.from_numpy(np.array(array, np.float32))


def _load_conv(module: Any, part: Mapping[str, Any]) -> None:
    module.weight.copy_(tensor(part["kernel"]).permute(3, 2, 0, 1))
    module.bias.copy_(tensor(part["bias"]))


def _conv_like_ours(module: Any) -> dict[str, np.ndarray]:
    kernel = module.weight.detach().permute(2, 3, 1, 0)
    return {
        "bias": module.bias.detach().cpu().numpy(),
        "kernel": kernel.cpu().contiguous().numpy(),
    }


def correlate(search: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Slides every example's kernels [b, o, d, i, j] over its own map [b, d, h, w].

    One grouped convolution, as the public trackers do it.
    """
    batch, outputs, depth, rows, columns = kernels.shape
    wide = search.reshape(1, batch * depth, *search.shape[2:])
    flat = kernels.reshape(batch * outputs, depth, rows, columns)
    found = F.conv2d(wide, flat, groups=batch)
    return found.reshape(batch, outputs, *found.shape[2:])


class Window(NamedTuple):
    """Where crops are cut: centres (x, y) and sizes (w, h) in patch pixels, [b, 2]."""

    centre: np.ndarray
    size: np.ndarray


def draw_window(
    rng: np.random.Generator,
    patches: np.ndarray,
    out_px: int,
    *,
    stretch: float,
    shift_px: float,
) -> Window:
    """Random windows around the middle of the patches."""
    batch = len(patches)
    size = out_px / rng.uniform(1.0 - stretch, 1.0 + stretch, (batch, 2))
    shift = rng.uniform(-shift_px, shift_px, (batch, 2))
    return Window(0.5 * patches.shape[1] + shift * size / out_px, size)


def cut(patches: np.ndarray, window: Window, out_px: int) -> torch.Tensor:
    """Resizes a window of each patch by OpenCV; float [b, 3, out_px, out_px]."""
    crops = np.empty((len(patches), out_px, out_px, 3), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    scale = window.size / out_px
    corner = window.centre - 0.5 * window.size + 0.5 * scale - 0.5
    for n, patch in enumerate(patches):
        matrix = np.array(
            [[scale[n, 0], 0.0, corner[n, 0]], [0.0, scale[n, 1], corner[n, 1]]]
        )
        cv2.warpAffine(patch, matrix, (out_px, out_px), dst=crops[n], flags=flags)
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def seen(boxes: np.ndarray, window: Window, out_px: int) -> np.ndarray:
    """Boxes of the patches, cxcywh, in the pixels of the crops."""
    zoom, corner = out_px / window.size, window.centre - 0.5 * window.size
    return np.concatenate([(boxes[:, :2] - corner) * zoom, boxes[:, 2:] * zoom], 1)


class TorchStep:
    """Teacher forward, students forward and back, and their optimizers."""

    def __init__(
        self,
        teacher: tuple[TrackerSpec, Variables],
        students: Mapping[str, tuple[TrackerSpec, Variables]],
        config: DistillConfig,
        optim: OptimConfig,
        *,
        layout: torch.memory_format = torch.contiguous_format,
        device: str = "cpu",
    ):
        self.terms, self.optim = paper_terms(config), optim
        self.layout, self.device = layout, device
        self.teacher = self._network(*teacher).eval()
        self.students = {n: self._network(*s).train() for n, s in students.items()}
        self.sizes = {n: tracker_cost(s[0]).parameters for n, s in students.items()}
        self.optimizers = {
            name: torch.optim.SGD(
                network.parameters(),
                lr=optim.learning_rate,
                momentum=optim.momentum,
                weight_decay=optim.weight_decay,
            )
            for name, network in self.students.items()
        }

    def _network(
        self, spec: TrackerSpec, variables: Variables
    ) -> Network | ResidualNetwork:
        network = ResidualNetwork(spec) if spec.head.levels else Network(spec)
        network.load(variables)
        return network.to(self.device, memory_format=self.layout)  # pyright: ignore[reportCallIssue]

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """Moves images to the networks' device and layout."""
        images = images.to(self.device).float()
        return images.contiguous(memory_format=self.layout)

    def objective(
        self,
        template: torch.Tensor,
        search: torch.Tensor,
        targets: Targets,
        epoch: float,
    ) -> dict[str, torch.Tensor]:
        """Terms "student/term", weighted as they enter the sum."""
        hard, soft, response, sharing = self.terms
        layers = [j if isinstance(j, str) else f"conv{j}" for j in response.layers]
        with torch.no_grad():
            aim = self.teacher(template, search)
        answers = {n: net(template, search) for n, net in self.students.items()}
        terms: dict[str, torch.Tensor] = {}
        for name, answer in answers.items():
            bounded = adaptive_hard(answer, aim, targets, margin=hard.margin)
            terms[f"{name}/ah"] = hard.weight * bounded
            terms[f"{name}/ts"] = soft.weight * teacher_soft(answer, aim, targets)
            looks = target_response(answer, aim, layers)
            terms[f"{name}/str"] = response.weight * looks
        decay = sharing.decay**epoch
        for name, answer in answers.items():
            opened = gate(answer, aim, targets, margin=sharing.margin)
            total = torch.zeros((), device=self.device)
            for peer, other in answers.items():
                if peer != name:
                    larger = self.sizes[peer] > self.sizes[name]
                    beta = 1.0 if larger else sharing.discount
                    total = total + beta * knowledge_sharing(answer, other)
            share = decay * opened / (len(answers) - 1)
            terms[f"{name}/ks"] = sharing.weight * share * total
        return terms

    def learn(
        self,
        template: torch.Tensor,
        search: torch.Tensor,
        targets: Targets,
        *,
        epoch: float = 0.0,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """One step on crops; returns the terms and each student's gradient norm."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        terms = self.objective(template, search, targets, epoch)
        torch.stack(list(terms.values())).sum().backward()
        limit = self.optim.clip_norm or float("inf")
        norms = {
            name: torch.nn.utils.clip_grad_norm_(network.parameters(), limit)
            for name, network in self.students.items()
        }
        for optimizer in self.optimizers.values():
            optimizer.step()
        return terms, norms
