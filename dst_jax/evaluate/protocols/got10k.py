"""GOT-10k's protocol: mean overlap over all frames of all sequences together.

The first frame does not count, nor do frames in which `cover.label` is 0. Boxes are
clipped to the image in the toolkit's way: the corner first, and then the sides by what
is left, so that a box that begins at -10 keeps its width.
"""

from dst_jax.evaluate.protocols.protocol import Measure, Protocol

GOT10K = Protocol(
    "got10k/got10k",
    reproduces="got10k toolkit, ExperimentGOT10k",
    measures=(
        Measure("average_overlap", "AO", "success", "overlap"),
        Measure("sr_50", "SR.5", "success", "at", 0.5),
        Measure("sr_75", "SR.75", "success", "at", 0.75),
    ),
    overlap_thresholds=tuple(k / 100 for k in range(101)),
    error_thresholds_px=(),
    first_frame="left_out",
    marks=("covered",),
    needs_marks=True,
    clipped=True,
    mean="frames",
)
FAMILIES = {"got10k": {"got10k": GOT10K}}
