"""TrackingNet's protocol: whole pixels, at least a threshold, areas of three curves.

The development kit has compared overlaps with `>` in some of its versions; `>=` is what
the one of 2025 does, under which a perfect tracker has 1. The boxes of the test set are
not published: their scores come from the benchmark's server.
"""

from dst_jax.evaluate.protocols.protocol import Measure, Protocol

TRACKINGNET = Protocol(
    "trackingnet/trackingnet",
    reproduces="TrackingNet-devkit, metrics.py",
    measures=(
        Measure("success_area", "success area", "success", "area"),
        Measure("norm_precision_area", "Pnorm area", "norm_precision", "area"),
        Measure("precision_area", "P area", "precision", "area"),
    ),
    strict=False,
    error_thresholds_px=tuple(k * 2.5 for k in range(21)),
    norm_thresholds=tuple(k / 40 for k in range(21)),
    marks=(),
    invalid_truth="missed",
    whole_pixels=True,
)
FAMILIES = {"trackingnet": {"trackingnet": TRACKINGNET}}
