"""Random crops in plain PyTorch, for `bench_step.py`.

On a CPU OpenCV resizes one window after another, as loaders of PyTorch's trackers do.
On an accelerator `grid_sample` cuts all windows of a batch at once.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F


def tensor(array: object) -> torch.Tensor:
    """A tensor with a copy of an array's values."""
    return torch.from_numpy(np.array(array, np.float32))


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


def window_matrix(window: Window, patch_px: int) -> torch.Tensor:
    """What `cut_together` is told of windows in square patches, [b, 2, 3]."""
    scale, middle = window.size / patch_px, 2.0 * window.centre / patch_px - 1.0
    matrix = np.zeros((len(scale), 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, :, 2] = scale[:, 0], scale[:, 1], middle
    return torch.from_numpy(matrix)


def cut_together(
    patches: torch.Tensor, matrix: torch.Tensor, out_px: int
) -> torch.Tensor:
    """Resizes a window of each patch [b, p, p, 3]; float [b, 3, out_px, out_px]."""
    shape = [len(patches), 3, out_px, out_px]
    grid = F.affine_grid(matrix, shape, align_corners=False)
    images = patches.permute(0, 3, 1, 2).float()
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)
