"""The demonstration's teacher: a miniature SiamFC on synthetic video.

Run:     dst-jax demo --workdir runs/demo  (its second stage)
Expect:  two to three minutes on two CPU cores.
"""

from dst_jax.arch import named, scale_widths, with_bias
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, LabelConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import LoopConfig, OptimConfig


def experiment() -> Experiment:
    """Returns the plain training of the network "teacher".

    A student learns from what its teacher has over it: so the teacher is half as wide
    again as "mini", and sees 16,000 pairs where a student sees 6,400. A bias, as in the
    public recipe, can undo a shift of all responses.
    """
    return Experiment(
        students={"teacher": with_bias(scale_widths(named("mini"), 1.5))},
        data=DataConfig(sources=("got10k:runs/demo/data/train",), batch=16, max_gap=30),
        augment=AugmentConfig(flip=0.5),
        distill=with_row(DistillConfig(), "NOKD"),
        labels=LabelConfig(radius_px=8.0),
        optim=OptimConfig(
            epochs=10.0,
            pairs_per_epoch=1_600,
            learning_rate=0.1,
            final_learning_rate=1e-3,
            momentum=0.9,
            clip_norm=5.0,
        ),
        loop=LoopConfig(log_every=10, validate_every=200),
    )
