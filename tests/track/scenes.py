"""A textured square on a smooth background, and a small tracker that follows it."""

import numpy as np

from dst_jax.arch import (
    Chain,
    ConvSpec,
    CorrelationHeadSpec,
    InputSpec,
    RegionHeadSpec,
    TrackerSpec,
)
from dst_jax.track import SiamFCTracking, SiamRPNTracking, make_tracker

# One linear stage: its responses are plain correlations of filtered images.
SPEC = TrackerSpec(
    Chain((ConvSpec(8, 7, stride=4, batch_norm=False, activation="none"),)),
    CorrelationHeadSpec(scale=1e-7),
    InputSpec(template_px=39, search_px=79, train_search_px=79),
)
SIDE = 20


def paint(centre_xy, *, height=120, width=150, seed=0):
    """One frame with the square at a whole-pixel centre."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    shade = 90 + 30 * np.sin(rows / 17.0) + 25 * np.cos(columns / 23.0)
    frame = np.repeat(shade[..., None], 3, axis=2)
    texture = np.kron(rng.uniform(0, 255, (5, 5, 3)), np.ones((4, 4, 1)))
    x, y = (int(c) - SIDE // 2 for c in centre_xy)
    frame[y : y + SIDE, x : x + SIDE] = texture
    return frame.astype(np.uint8)


def video(count, *, start=(70.0, 60.0), velocity=(0.0, 0.0), **options):
    """Frames and true boxes (cxcywh) of a square that moves by whole pixels."""
    centres = np.array(start) + np.arange(count)[:, None] * np.array(velocity)
    boxes = np.concatenate([centres, np.full((count, 2), float(SIDE))], axis=1)
    frames = [paint(centre, **options) for centre in centres]
    return frames, boxes.astype(np.float32)


def weights():
    """Filters that sum to zero: a smooth background vanishes, texture remains.

    So the response peaks where the template lies on itself (Cauchy-Schwarz).
    """
    kernel = np.random.default_rng(3).normal(size=(7, 7, 3, 8)).astype(np.float32)
    kernel -= kernel.mean(axis=(0, 1, 2), keepdims=True)
    conv = {"kernel": kernel, "bias": np.zeros(8, np.float32)}
    return {"params": {"backbone": {"conv1": {"conv": conv}}}, "batch_stats": {}}


def tracker(**options):
    return make_tracker(SPEC, weights(), tracking=SiamFCTracking(**options))


# The same stage under a region head; its middle anchor is a square of 20 px.
REGION_SPEC = TrackerSpec(
    SPEC.backbone,
    RegionHeadSpec(features=8, kernel=1, ratios=(0.5, 1.0, 2.0), scales=(5,)),
    SPEC.input,
)


def region_weights():
    """A head whose target logits are SiamFC's response, for every anchor alike.

    Kernels are the template's features themselves. Every box is its anchor, 39 / 40 as
    large: a square of 20 px is seen at this scale, and so keeps its size.
    """
    head = REGION_SPEC.head
    k, width = head.anchors, head.features
    identity = np.eye(width, dtype=np.float32)[None, None]
    none = np.zeros_like(identity)
    flat = {"bias": np.zeros(width, np.float32)}

    def kernels(values, bias):
        kernel = np.concatenate(values, axis=-1)
        return {"kernel": kernel, "bias": np.zeros(bias, np.float32)}

    parts = {
        "cls1": kernels([none] * k + [np.float32(3e-8) * identity] * k, 2 * k * width),
        "cls2": {"kernel": identity, **flat},
        "r1": kernels([none] * (4 * k), 4 * k * width),
        "r2": {"kernel": identity, **flat},
        "regress_adjust": {
            "kernel": np.eye(4 * k, dtype=np.float32)[None, None],
            "bias": np.repeat(np.log(np.float32([1, 1, 0.975, 0.975])), k),
        },
    }
    variables = weights()
    return {
        "params": {**variables["params"], "head": parts},
        "batch_stats": {},
    }


def region_tracker(**options):
    tracking = SiamRPNTracking(**options)
    return make_tracker(REGION_SPEC, region_weights(), tracking=tracking)
