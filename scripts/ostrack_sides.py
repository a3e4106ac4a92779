"""OSTrack's tracking on both sides of `bench_track.py`: in PyTorch, and here in stages.

The restatement is an honest one: attention is PyTorch's fused one, the template's
tokens are kept, and crops and resizes are OpenCV's.
"""

import functools
import math
from typing import Any

import cv2
import jax
import numpy as np
import torch
from torch_ostrack import HIGH, LOW, OSTrack

from dst_jax.arch import TrackerSpec
from dst_jax.models import Variables, build, respond
from dst_jax.ops.kernels import compiled, kernels_for
from dst_jax.track import OSTrackTracking, TrackState, ostrack
from dst_jax.track.procedure import OSTRACK, init

CONFIG = OSTrackTracking()


class TorchOSTrackTracker:
    """OSTrack's public procedure in PyTorch and OpenCV, in plain words."""

    def __init__(self, spec: TrackerSpec, variables: Variables):
        self.spec, self.network = spec, OSTrack(spec, variables).eval()
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
        score, offset, size, _ = self.network.answer(self.template, tokens)
        clock.lap("network")
        score = score.sigmoid().clamp(LOW, HIGH)[0, 0].numpy()
        best = np.unravel_index((score * self.window).argmax(), score.shape)
        place = (slice(None), *best)
        shift = offset[0].numpy()[place] + np.array(best[::-1])
        sides = size.sigmoid().clamp(LOW, HIGH)[0].numpy()[place]
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
    fast = functools.partial(compiled, kernels=kernels_for(spec))
    start = fast(
        lambda f, b, hw: init(
            OSTRACK, module, variables, f, b, config=CONFIG, frame_hw=hw
        )
    )
    cut = fast(
        lambda s, f, hw: ostrack.search_crop(module, s, f, hw, config=CONFIG)[None]
    )

    @fast
    def network(variables: Variables, state: TrackState, crops: Any) -> Any:
        answer = respond(module, variables, state.memory[None], crops)
        return jax.tree.map(lambda leaf: leaf[0], answer)

    @fast
    def read_out(state: TrackState, answer: Any, hw: Any) -> Any:
        box, _ = ostrack.update_box(module, state.box, answer, hw, config=CONFIG)
        return state._replace(box=box)

    # As constants the weights would be reordered once and for all, which tracking,
    # whose programs serve all weights, cannot do.
    return start, cut, functools.partial(network, variables), read_out
