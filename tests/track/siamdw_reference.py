"""SiamDW's tracker restated in plain NumPy and OpenCV, in float64.

Boxes are cxcywh, frames RGB. `network(template, crops)` answers for uint8 crops with
responses [scales, n, n].
"""

import math

import numpy as np
import pytest

from tests.track.reference import context_side, subwindow

UP = 16


def pyramid(frame, centre, sides, out_px, colour):
    """Crops of all scales, cut out of one window that was resized for the smallest."""
    sides = [round(side) for side in sides]
    beta = out_px / sides[0]
    region_px = round(beta * sides[-1])
    region = subwindow(frame, centre, region_px, sides[-1], colour)
    middle = ((1 + region_px) / 2,) * 2
    crops = [subwindow(region, middle, out_px, round(beta * s), colour) for s in sides]
    return np.stack(crops)


def read_out(responses, window, config):
    """Place of the chosen scale, and the peak's samples from the public origin."""
    cv2 = pytest.importorskip("cv2")
    maps = responses.transpose(1, 2, 0).astype(np.float64)
    n = maps.shape[0] * UP
    maps = cv2.resize(maps, (n, n), interpolation=cv2.INTER_CUBIC)
    penalties = np.array([config.scale_penalty, 1.0, config.scale_penalty])
    best = int(np.argmax(maps.max(axis=(0, 1)) * penalties))
    chosen = maps[..., best] - maps[..., best].min()
    chosen = chosen / chosen.sum()
    share = config.window_influence
    mixed = (1 - share) * chosen + share * window
    row, column = np.unravel_index(mixed.argmax(), mixed.shape)
    return best, np.array([column, row]) - math.ceil(n / 2)


def track(frames, box, network, *, spec, config):
    """Boxes of every frame, the given one first."""
    box = np.asarray(box, np.float64)
    template_px, search_px = spec.input.template_px, spec.input.search_px
    stride = spec.backbone.total_stride
    frames = iter(frames)
    first = next(frames)
    height, width, _ = first.shape
    colour = first.astype(np.float64).mean(axis=(0, 1))
    side_z = round(context_side(*box[2:]))
    template = subwindow(first, box[:2], template_px, side_z, colour)
    scale = template_px / side_z
    side = side_z + 2 * ((search_px - template_px) / 2 / scale)
    least, most = 0.2 * side, 5 * side
    cells = (search_px - template_px) // stride + 1
    window = np.outer(np.hanning(cells * UP), np.hanning(cells * UP))
    window /= window.sum()
    scales = config.scale_step ** np.arange(-1.0, 2.0)
    rate, boxes = config.scale_rate, [box]
    for frame in frames:
        crops = pyramid(frame, box[:2], side * scales, search_px, colour)
        best, samples = read_out(network(template, crops), window, config)
        shift = samples * stride / UP * side / search_px
        side = (1 - rate) * side + rate * side * scales[best]
        side = max(least, min(most, side))
        size = (1 - rate) * box[2:] + rate * box[2:] * scales[best]
        x, y = box[:2] + shift
        w, h = size
        box = np.array(
            [
                max(0, min(width, x)),
                max(0, min(height, y)),
                max(10, min(width, w)),
                max(10, min(height, h)),
            ]
        )
        boxes.append(box)
    return np.array(boxes)
