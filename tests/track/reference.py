"""DaSiamRPN's tracker restated in plain NumPy and OpenCV, in float64.

Boxes are cxcywh, frames RGB. `network(template, search)` answers for two uint8 crops
with logits (2, k, n, n) and offsets (4, k, n, n), the public layout.
"""

import math

import numpy as np
import pytest

CONTEXT = 0.5


def context_side(w, h):
    margin = CONTEXT * (w + h)
    return math.sqrt((w + margin) * (h + margin))


def subwindow(frame, centre, out_px, side, colour):
    """A square of `side` whole pixels, resized by OpenCV."""
    cv2 = pytest.importorskip("cv2")
    height, width, _ = frame.shape
    x0, y0 = (round(c - (side + 1) / 2) for c in centre)
    rows, columns = y0 + np.arange(side), x0 + np.arange(side)
    patch = np.empty((side, side, 3), np.uint8)
    patch[:] = colour.astype(np.uint8)
    inside_y, inside_x = (
        (rows >= 0) & (rows < height),
        (columns >= 0) & (columns < width),
    )
    seen = frame[rows[inside_y][:, None], columns[inside_x]]
    patch[np.ix_(inside_y, inside_x)] = seen
    if side == out_px:
        return patch
    return cv2.resize(patch, (out_px, out_px))


def anchor_sizes(ratios, scale, stride):
    sizes = []
    for ratio in ratios:
        w = int(math.sqrt(stride * stride / ratio))
        sizes.append((w * scale, int(w * ratio) * scale))
    return sizes


def read_out(box, logits, offsets, frame_hw, *, spec, config):
    """The new box and the score of the chosen one, by loops over all of them."""
    stride, n = spec.backbone.total_stride, logits.shape[-1]
    zoom = spec.input.template_px / context_side(*box[2:])
    w0, h0 = box[2] * zoom, box[3] * zoom
    hann = np.hanning(n)
    best = None
    sizes = anchor_sizes(spec.head.ratios, spec.head.scales[0], stride)
    for a, (aw, ah) in enumerate(sizes):
        for i in range(n):
            for j in range(n):
                dx, dy, dw, dh = (float(v) for v in offsets[:, a, i, j])
                background, target = (float(v) for v in logits[:, a, i, j])
                score = 1.0 / (1.0 + math.exp(background - target))
                x = dx * aw + (j - n // 2) * stride
                y = dy * ah + (i - n // 2) * stride
                w, h = math.exp(dw) * aw, math.exp(dh) * ah
                s = context_side(w, h) / context_side(w0, h0)
                r = (w0 / h0) / (w / h)
                change = max(s, 1 / s) * max(r, 1 / r)
                penalty = math.exp(-(change - 1) * config.penalty_k)
                rank = penalty * score * (1 - config.window_influence)
                rank += hann[i] * hann[j] * config.window_influence
                if best is None or rank > best[0]:
                    best = rank, penalty, score, x, y, w, h
    _, penalty, score, x, y, w, h = best
    rate = penalty * score * config.size_rate
    height, width = frame_hw
    moved = [
        min(max(box[0] + x / zoom, 0), width),
        min(max(box[1] + y / zoom, 0), height),
        max(10.0, min(width, box[2] * (1 - rate) + w / zoom * rate)),
        max(10.0, min(height, box[3] * (1 - rate) + h / zoom * rate)),
    ]
    return np.array(moved), score


def track(frames, box, network, *, spec, config):
    """Boxes of every frame, the given one first, and their scores."""
    box = np.asarray(box, np.float64)
    template_px, search_px = spec.input.template_px, spec.input.search_px
    frames = iter(frames)
    first = next(frames)
    height, width, _ = first.shape
    if box[2] * box[3] / (height * width) < config.small_target_share:
        search_px += config.small_search_cells * spec.backbone.total_stride
    colour = first.astype(np.float64).mean(axis=(0, 1))
    side = round(context_side(*box[2:]))
    template = subwindow(first, box[:2], template_px, side, colour)
    boxes, scores = [box], [1.0]
    for frame in frames:
        side = round(context_side(*box[2:]) * search_px / template_px)
        search = subwindow(frame, box[:2], search_px, side, colour)
        logits, offsets = network(template, search)
        box, score = read_out(
            box, logits, offsets, (height, width), spec=spec, config=config
        )
        boxes.append(box)
        scores.append(score)
    return np.array(boxes), np.array(scores)
