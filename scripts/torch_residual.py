"""Residual networks in plain PyTorch, of any size and by our names.

The backbones of SiamRPN++ and SiamDW, for `bench_track.py`, and all of them with their
heads, for `torch_step.py`.

Geometry comes from the architecture's list of convolutions; what happens between them
is written out here. A module's name is its path in our variables, with "." for "/".
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch_terms import Answer

from dst_jax.arch import (
    ConvSpec,
    CorrelationHeadSpec,
    PoolSpec,
    RegionHeadSpec,
    TrackerSpec,
)
from dst_jax.models import Variables

NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
nn = torch.nn


class ResidualBackbone(nn.Module):
    """The backbone of an architecture, with one of our networks' weights."""

    def __init__(self, spec: TrackerSpec):
        super().__init__()
        self.spec = spec
        self.stages: dict[str, dict[str, list[str]]] = {}
        backbone: Any = spec.backbone
        momentum = 1.0 - backbone.norm_momentum
        self.norm: dict[str, Any] = {"eps": backbone.norm_epsilon, "momentum": momentum}
        px = spec.input.template_px
        for stage, found in zip(spec.maps(px), backbone.convolutions(px), strict=True):
            blocks = self.stages.setdefault(stage.name, {})
            for one in found:
                block = one.name.rpartition("/")[0]
                blocks.setdefault(block, []).append(one.name)
                self._add(f"backbone/{one.name}", one.inputs, one.conv)

    def _add(self, path: str, inputs: int, conv: ConvSpec) -> None:
        """Adds a convolution and its normalisation at a path."""
        layer = nn.Module()
        options: dict[str, Any] = {"padding": conv.padding, "dilation": conv.dilation}
        layer.conv = nn.Conv2d(
            inputs,
            conv.features,
            conv.kernel,
            stride=conv.stride,
            bias=conv.bias,
            **options,
        )
        if conv.batch_norm:
            layer.norm = nn.BatchNorm2d(conv.features, **self.norm)
        _put(self, path, layer)

    def layer(self, path: str, x: torch.Tensor) -> torch.Tensor:
        """A convolution and its normalisation, without an activation."""
        part: Any = self.get_submodule(path.replace("/", "."))
        return part.norm(part.conv(x))

    def embed(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of every stage, the stem's before its pooling."""
        x, found = images, {}
        chain: Any = self.spec.backbone
        for (name, blocks), stage in zip(
            self.stages.items(), chain.layers, strict=True
        ):
            if isinstance(stage, ConvSpec):
                x = found[name] = F.relu_(self.layer(f"backbone/{name}", x))
                x = pooled(trimmed(x, stage.crop), stage.pool)
                continue
            for number, paths in enumerate(blocks.values(), start=1):
                x = self._block(paths, x)
                if number < stage.blocks or stage.last_activation == "relu":
                    x = F.relu_(x)
                x = trimmed(x, stage.crop)
                x = pooled(x, stage.pool_after_first if number == 1 else None)
            found[name] = x
        return found

    def _block(self, paths: list[str], x: torch.Tensor) -> torch.Tensor:
        """The sum of a block's convolutions and of the way around them."""
        *main, last = [path for path in paths if not path.endswith("projection")]
        around = [path for path in paths if path.endswith("projection")]
        y = x
        for path in main:
            y = F.relu_(self.layer(f"backbone/{path}", y))
        y = self.layer(f"backbone/{last}", y)
        for path in around:
            x = self.layer(f"backbone/{path}", x)
        return y + x

    @torch.no_grad()
    def load(self, variables: Variables) -> None:
        """Takes over our variables."""
        for collection in variables.values():
            for path, value in _leaves(collection):
                self._tensor(path).copy_(_like_theirs(value))

    def _tensor(self, path: tuple[str, ...]) -> torch.Tensor:
        """The parameter or statistic at one of our paths."""
        *place, field = path
        part = self.get_submodule(".".join(place))
        if isinstance(part, nn.BatchNorm2d):
            field = NORM[field]
        return getattr(part, {"kernel": "weight"}.get(field, field))

    def parameters_like_ours(self) -> dict[str, Any]:
        """The parameters in the layout of our own, on the host."""
        found: dict[str, Any] = {}
        for name, value in self.named_parameters():
            *path, field = name.split(".")
            array = value.detach().cpu().numpy()
            if path[-1] == "norm":
                field = {"weight": "scale"}.get(field, field)
            elif field == "weight":
                field, array = "kernel", array.transpose(2, 3, 1, 0)
            here = found
            for part in path:
                here = here.setdefault(part, {})
            here[field] = array
        return found

    @torch.no_grad()
    def running_statistics(
        self, template: torch.Tensor, search: torch.Tensor
    ) -> dict[str, Any]:
        """Statistics of these images, for a teacher that was never trained."""
        norms = {
            name: one
            for name, one in self.named_modules()
            if isinstance(one, nn.BatchNorm2d)
        }
        for norm in norms.values():
            norm.momentum = 1.0
        self.train()(template, search)
        self.eval()
        found: dict[str, Any] = {}
        for name, norm in norms.items():
            assert norm.running_mean is not None and norm.running_var is not None
            here = found
            for part in name.split("."):
                here = here.setdefault(part, {})
            here["mean"] = norm.running_mean.cpu().numpy()
            here["var"] = norm.running_var.cpu().numpy()
        return found


class ResidualCorrelation(ResidualBackbone):
    """A SiamDW of an architecture, whose head has nothing to learn."""

    def __init__(self, spec: TrackerSpec):
        super().__init__(spec)
        if not isinstance(spec.head, CorrelationHeadSpec) or spec.head.bias:
            raise SystemExit(
                f"PyTorch's side has no {spec.head} behind residual stages."
            )
        self.scale, self.last = spec.head.scale, spec.backbone.stage_names[-1]

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> Answer:
        """Embeds template, then search, and responds."""
        z, x = self.embed(template), self.embed(search)
        response = correlate(x[self.last], z[self.last][:, None])[:, 0]
        return Answer(response * self.scale, None, z, x)


class ResidualNetwork(ResidualBackbone):
    """A SiamRPN++ of an architecture, with one of our networks' weights."""

    def __init__(self, spec: TrackerSpec):
        super().__init__(spec)
        assert isinstance(spec.head, RegionHeadSpec)
        self.kind = spec.head
        self._add_heads(dict(zip(self.stages, spec.backbone.widths, strict=True)))

    def _add_heads(self, channels: Mapping[str, int]) -> None:
        head = self.kind
        read, k, width = head.stage, head.anchors, head.features
        mix = ConvSpec(width, 1, bias=False)
        for level in head.levels:
            inputs = channels[level]
            if head.adjusting is not None:
                self._add(f"head/{level}/adjust", inputs, head.adjusting)
                inputs = head.adjust
            for branch, outputs in (("cls", 2 * k), ("r", 4 * k)):
                for role in ("template", "search"):
                    self._add(f"head/{level}/{branch}_{role}", inputs, read)
                self._add(f"head/{level}/{branch}_mix", width, mix)
                last = nn.Conv2d(width, outputs, 1)
                _put(self, f"head/{level}/{branch}_read", last)
        if head.fusion == "learned":
            for branch in ("cls", "r"):
                ones = nn.Parameter(torch.ones(len(head.levels)))
                self.get_submodule("head").register_parameter(f"{branch}_weight", ones)

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> Answer:
        """Embeds template, then search, and responds."""
        z, x = self.embed(template), self.embed(search)
        parts: dict[str, list[torch.Tensor]] = {"cls": [], "r": []}
        for level in self.kind.levels:
            seen, shown = z[level], x[level]
            if self.kind.adjust:
                seen = self.layer(f"head/{level}/adjust", seen)
                shown = self.layer(f"head/{level}/adjust", shown)
            seen = self._middle(seen)
            for branch, answers in parts.items():
                answers.append(self._branch(f"head/{level}/{branch}", seen, shown))
        logits, offsets = (
            self._fused(name, answers) for name, answers in parts.items()
        )
        # STR sees of a template's map what the head sees.
        last = z[self.kind.levels[-1]].shape[-1]
        cut = {n: self._middle(m) if m.shape[-1] == last else m for n, m in z.items()}
        return Answer(logits, offsets, cut, x)

    def _middle(self, x: torch.Tensor) -> torch.Tensor:
        cells = self.kind.template_cells or x.shape[-1]
        edge = (x.shape[-1] - cells) // 2
        return x[..., edge : edge + cells, edge : edge + cells]

    def _branch(
        self, path: str, seen: torch.Tensor, shown: torch.Tensor
    ) -> torch.Tensor:
        kernel = F.relu_(self.layer(f"{path}_template", seen))
        maps = F.relu_(self.layer(f"{path}_search", shown))
        batch, width = kernel.shape[:2]
        flat = maps.reshape(1, batch * width, *maps.shape[2:])
        kernels = kernel.reshape(batch * width, 1, *kernel.shape[2:])
        found = F.conv2d(flat, kernels, groups=batch * width)
        found = found.reshape(batch, width, *found.shape[2:])
        found = F.relu_(self.layer(f"{path}_mix", found))
        return self.get_submodule(f"{path}_read".replace("/", "."))(found)

    def _fused(self, branch: str, answers: list[torch.Tensor]) -> torch.Tensor:
        """The mean of levels, in our order: [b, u, v, anchor, number]."""
        stacked = torch.stack(answers)
        if self.kind.fusion == "learned":
            own = self.get_submodule("head").get_parameter(f"{branch}_weight")
            fused = torch.einsum("l,lbchw->bchw", own.softmax(0), stacked)
        else:
            fused = stacked.mean(0)
        return fused.unflatten(1, (-1, self.kind.anchors)).permute(0, 3, 4, 2, 1)


def correlate(search: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Slides every example's kernels [b, o, d, i, j] over its own map [b, d, h, w].

    One grouped convolution, as the public trackers do it.
    """
    batch, outputs, depth, rows, columns = kernels.shape
    wide = search.reshape(1, batch * depth, *search.shape[2:])
    flat = kernels.reshape(batch * outputs, depth, rows, columns)
    found = F.conv2d(wide, flat, groups=batch)
    return found.reshape(batch, outputs, *found.shape[2:])


def trimmed(x: torch.Tensor, cells: int) -> torch.Tensor:
    """A map without some cells at each side."""
    return x[..., cells:-cells, cells:-cells] if cells else x


def pooled(x: torch.Tensor, pool: PoolSpec | None) -> torch.Tensor:
    """A map behind its pooling, if there is one."""
    if pool is None:
        return x
    return F.max_pool2d(x, pool.window, pool.stride, pool.padding)


def _put(root: nn.Module, path: str, module: nn.Module) -> None:
    *place, last = path.split("/")
    for name in place:
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    if last in root._modules:
        raise AssertionError(f"{path} twice")
    root.add_module(last, module)


def _leaves(
    tree: Mapping[str, Any], before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*before, name))
        else:
            yield (*before, name), value


def _like_theirs(value: Any) -> torch.Tensor:
    array = torch.from_numpy(np.array(value, np.float32))
    return array.permute(3, 2, 0, 1) if array.ndim == 4 else array
