"""OSTrack's tracking on both sides of `bench_track.py`: in PyTorch, and here in stages.

The restatement is an honest one: attention is PyTorch's fused one, the template's
tokens are kept, and crops and resizes are OpenCV's.
"""

import math
from collections.abc import Mapping
from typing import Any

import cv2
import jax
import numpy as np
import torch
import torch.nn.functional as F

from dst_jax.arch import CentreHeadSpec, TokenBackboneSpec, TrackerSpec
from dst_jax.models import Variables, build, respond
from dst_jax.ops.kernels import compiled
from dst_jax.track import OSTrackTracking, TrackState, ostrack
from dst_jax.track.procedure import OSTRACK, init

CONFIG = OSTrackTracking()
_LOW, _HIGH = 1e-4, 1.0 - 1e-4
_BRANCHES = ("score", "offset", "size")


class TorchOSTrack:
    """The network without elimination, in inference mode, with our weights."""

    def __init__(self, spec: TrackerSpec, variables: Variables):
        assert isinstance(spec.backbone, TokenBackboneSpec)
        assert isinstance(spec.head, CentreHeadSpec)
        self.input, self.backbone = spec.input, spec.backbone
        params, statistics = (
            jax.tree_util.tree_map_with_path(_tensor, dict(variables[kind]))
            for kind in ("params", "batch_stats")
        )
        self.parts, self.head = params["backbone"], params["head"]
        self.statistics, self.norm_epsilon = statistics["head"], spec.head.norm_epsilon
        scaling = (spec.input.mean, spec.input.std)
        self.mean, self.std = (torch.tensor(x)[None, :, None, None] for x in scaling)
        patch = self.backbone.patch
        kernel = self.parts["patch"]["kernel"].reshape(-1, patch, patch, 3)
        self.patch = kernel.permute(0, 3, 1, 2).contiguous()

    def embed(self, images: torch.Tensor, role: str) -> torch.Tensor:
        """Tokens with positions of RGB images of 0 to 255, [b, 3, h, w]."""
        x = (images * self.input.scale - self.mean) / self.std
        bias = self.parts["patch"]["bias"]
        x = F.conv2d(x, self.patch, bias, stride=self.backbone.patch)
        return x.flatten(2).transpose(1, 2) + self.parts["positions"][role]

    def answer(self, template: torch.Tensor, search: torch.Tensor) -> list[Any]:
        """Scores [b, 1, f, f] before the sigmoid, offsets and sizes [b, 2, f, f]."""
        x = torch.cat([template.expand(len(search), -1, -1), search], dim=1)
        for name in self.backbone.blocks:
            x = self._block(x, self.parts[name])
        x = self._norm(x, self.parts["norm"])[:, template.shape[1] :]
        side = math.isqrt(x.shape[1])
        x = x.transpose(1, 2).reshape(len(x), -1, side, side)
        return [self._branch(x, name) for name in _BRANCHES]

    def _norm(self, x: torch.Tensor, part: Mapping[str, Any]) -> torch.Tensor:
        epsilon = self.backbone.norm_epsilon
        return F.layer_norm(x, x.shape[-1:], part["scale"], part["bias"], epsilon)

    def _block(self, x: torch.Tensor, part: Mapping[str, Any]) -> torch.Tensor:
        heads = self.backbone.heads
        q, k, v = (
            one.unflatten(2, (heads, -1)).transpose(1, 2)
            for one in _linear(self._norm(x, part["norm1"]), part["qkv"]).chunk(3, -1)
        )
        gathered = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + _linear(gathered, part["proj"])
        inner = F.gelu(_linear(self._norm(x, part["norm2"]), part["fc1"]))
        return x + _linear(inner, part["fc2"])

    def _branch(self, x: torch.Tensor, name: str) -> torch.Tensor:
        part, statistics = self.head[name], self.statistics[name]
        for stage, running in statistics.items():
            conv, norm = part[stage]["conv"], part[stage]["norm"]
            x = F.conv2d(x, conv["kernel"], conv.get("bias"), padding=1)
            moments = running["norm"]["mean"], running["norm"]["var"]
            scale, bias = norm["scale"], norm["bias"]
            x = F.batch_norm(x, *moments, scale, bias, eps=self.norm_epsilon)
            x = F.relu_(x)
        return F.conv2d(x, part["read"]["kernel"], part["read"]["bias"])


def _tensor(path: Any, leaf: Any) -> torch.Tensor:
    """A variable; kernels lie as PyTorch has them."""
    values = torch.from_numpy(np.array(leaf))
    if path[-1].key != "kernel":
        return values
    order = (1, 0) if values.ndim == 2 else (3, 2, 0, 1)
    return values.permute(order).contiguous()


def _linear(x: torch.Tensor, part: Mapping[str, Any]) -> torch.Tensor:
    return F.linear(x, part["kernel"], part["bias"])


class TorchOSTrackTracker:
    """OSTrack's public procedure in PyTorch and OpenCV, in plain words."""

    def __init__(self, spec: TrackerSpec, variables: Variables):
        self.spec, self.network = spec, TorchOSTrack(spec, variables)
        cells = spec.response_side(spec.input.search_px)
        line = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, cells + 1) / (cells + 1))
        self.window = np.outer(line, line)

    def cut(self, frame: np.ndarray, factor: float, out: int) -> torch.Tensor:
        """The square around the last box as a float batch [1, 3, out, out]."""
        side = math.ceil(factor * math.sqrt(self.box[2] * self.box[3]))
        x, y = np.round(self.box[:2] - 0.5 * side).astype(int)
        height, width = frame.shape[:2]
        pads = (-y, y + side - height, -x, x + side - width)
        top, bottom, left, right = (max(0, int(pad)) for pad in pads)
        patch = frame[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
        if top or bottom or left or right:
            black = cv2.BORDER_CONSTANT
            patch = cv2.copyMakeBorder(patch, top, bottom, left, right, black)
        crop = cv2.resize(patch, (out, out), interpolation=cv2.INTER_LINEAR)
        self.zoom = side / out
        return torch.from_numpy(crop)[None].permute(0, 3, 1, 2).float()

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: np.ndarray) -> None:
        """Embeds the target; `box` is cxcywh in continuous pixels."""
        self.box, spec = box.astype(np.float64), self.spec.input
        assert spec.area is not None
        crop = self.cut(frame, spec.area.template, spec.template_px)
        self.template = self.network.embed(crop, "template")

    @torch.inference_mode()
    def step(self, frame: np.ndarray, clock: Any) -> np.ndarray:
        """The box in the next frame, cxcywh in continuous pixels."""
        spec = self.spec.input
        assert spec.area is not None
        crop = self.cut(frame, spec.area.search, spec.search_px)
        clock.lap("crop")
        tokens = self.network.embed(crop, "search")
        score, offset, size = self.network.answer(self.template, tokens)
        clock.lap("network")
        score = score.sigmoid().clamp(_LOW, _HIGH)[0, 0].numpy()
        best = np.unravel_index((score * self.window).argmax(), score.shape)
        place = (slice(None), *best)
        shift = offset[0].numpy()[place] + np.array(best[::-1])
        sides = size.sigmoid().clamp(_LOW, _HIGH)[0].numpy()[place]
        px = spec.search_px * self.zoom
        centre = self.box[:2] + (shift / len(score) - 0.5) * px
        self._keep(centre, sides * px, frame.shape)
        clock.lap("read-out")
        return self.box.copy()

    def _keep(self, centre: np.ndarray, sides: np.ndarray, shape: Any) -> None:
        """Takes over a box, as far as it lies in the frame."""
        wh, margin = np.array(shape[1::-1], float), CONFIG.border_px
        low = np.clip(centre - 0.5 * sides, 0.0, wh - margin)
        high = np.clip(centre + 0.5 * sides, margin, wh)
        sides = np.maximum(high - low, margin)
        self.box = np.concatenate([low + 0.5 * sides, sides])


def ostrack_stages(spec: TrackerSpec, variables: Variables) -> tuple[Any, ...]:
    """Our step as functions: the first frame, and then crop, network, read-out."""
    module = build(spec)
    start = compiled(
        lambda f, b, hw: init(
            OSTRACK, module, variables, f, b, config=CONFIG, frame_hw=hw
        )
    )
    cut = compiled(
        lambda s, f, hw: ostrack.search_crop(module, s, f, hw, config=CONFIG)[None]
    )

    @compiled
    def network(state: TrackState, crops: Any) -> Any:
        answer = respond(module, variables, state.memory[None], crops)
        return jax.tree.map(lambda leaf: leaf[0], answer)

    @compiled
    def read_out(state: TrackState, answer: Any, hw: Any) -> Any:
        box, _ = ostrack.update_box(module, state.box, answer, hw, config=CONFIG)
        return state._replace(box=box)

    return start, cut, network, read_out
