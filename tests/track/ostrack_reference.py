"""OSTrack's tracker restated in plain NumPy and OpenCV, in float64.

Boxes are (x, y, w, h) inside, cxcywh outside; frames are RGB. `network(template, crop)`
answers for uint8 crops with scores [n, n], and offsets and sizes [n, n, 4].
"""

import math

import numpy as np
import pytest


def cut(frame, box, factor, out_px):
    """The crop around a box, and its pixels per frame pixel.

    A window that reaches the last column or row loses it, as in public code.
    """
    cv2 = pytest.importorskip("cv2")
    x, y, w, h = box
    side = math.ceil(math.sqrt(w * h) * factor)
    left, top = round(x + 0.5 * w - 0.5 * side), round(y + 0.5 * h - 0.5 * side)
    height, width, _ = frame.shape
    window = np.zeros((side, side, 3), np.uint8)
    for row in range(max(top, 0), top + side):
        for_black = row > height - 1 or (row == height - 1 and top + side >= height)
        if for_black:
            break
        first = max(left, 0)
        end = min(left + side, width - 1 if left + side >= width else width)
        if end > first:
            window[row - top, first - left : end - left] = frame[row, first:end]
    return cv2.resize(window, (out_px, out_px)), out_px / side


def clipped(box, height, width, margin):
    """What public code leaves of a box that reaches out of the frame."""
    x1, y1, w, h = box
    x2, y2 = x1 + w, y1 + h
    x1 = min(max(0, x1), width - margin)
    x2 = min(max(margin, x2), width)
    y1 = min(max(0, y1), height - margin)
    y2 = min(max(margin, y2), height)
    return [x1, y1, max(margin, x2 - x1), max(margin, y2 - y1)]


def track(frames, box, network, *, spec, window=True, margin=10, before=None):
    """Boxes and scores of every frame after the first, whose box is given.

    Each step begins with the box of the last one, or with that of `before`.
    """
    frames, area = iter(frames), spec.input.area
    cx, cy, w, h = (float(value) for value in box)
    state, first = [cx - w / 2, cy - h / 2, w, h], next(frames)
    template, _ = cut(first, state, area.template, spec.input.template_px)
    boxes, scores = [], []
    for number, frame in enumerate(frames):
        if before is not None:
            cx, cy, w, h = (float(value) for value in before[number])
            state = [cx - w / 2, cy - h / 2, w, h]
        px = spec.input.search_px
        crop, zoom = cut(frame, state, area.search, px)
        logits, cells = (np.float64(x) for x in network(template, crop))
        score = np.clip(1.0 / (1.0 + np.exp(-logits)), 1e-4, 1.0 - 1e-4)
        n = len(score)
        line = 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(1, n + 1) / (n + 1)))
        ranked = score * np.outer(line, line) if window else score
        row, column = np.unravel_index(ranked.argmax(), ranked.shape)
        ox, oy, w, h = cells[row, column]
        found = np.array([(column + ox) / n, (row + oy) / n, w, h]) * px / zoom
        half = 0.5 * px / zoom
        cx = found[0] + state[0] + 0.5 * state[2] - half
        cy = found[1] + state[1] + 0.5 * state[3] - half
        state = [cx - 0.5 * found[2], cy - 0.5 * found[3], found[2], found[3]]
        state = clipped(state, *frame.shape[:2], margin)
        x, y, w, h = state
        boxes.append([x + w / 2, y + h / 2, w, h])
        scores.append(score[row, column])
    return np.array(boxes), np.array(scores)
