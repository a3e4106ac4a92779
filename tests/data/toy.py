"""Small data sets for the tests of the data layer."""

import cv2
import numpy as np

from dst_jax.arch import Zoom
from dst_jax.data.patches import PatchSpec, RolePatch
from dst_jax.data.sequence import Sequence


def make_sequence(name, length, *, video=None, source="", visible=None, frames=()):
    boxes = np.tile(np.float32([20, 15, 8, 6]), (length, 1))
    shown = np.ones(length, bool) if visible is None else np.array(visible, bool)
    boxes[~shown] = np.nan
    return Sequence(name, video or name, tuple(frames), boxes, shown, source=source)


def write_sequences(root, *, videos, length=4, source="toy"):
    """`videos` sequences of noise frames, 40x30 px."""
    sequences = []
    for v in range(videos):
        rng = np.random.default_rng(v)
        paths = [str(root / f"{v}-{t}.png") for t in range(length)]
        for path in paths:
            cv2.imwrite(path, rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        sequences.append(make_sequence(f"v{v}", length, source=source, frames=paths))
    return sequences


def patch_pair(template_patch_px, search_patch_px, template_px):
    """Patches of both roles at a template's scale, with SiamFC's context."""
    zoom = Zoom(template_px, context=0.5)
    return PatchSpec(
        RolePatch(template_patch_px, zoom), RolePatch(search_patch_px, zoom)
    )
