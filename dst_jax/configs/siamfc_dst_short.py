"""DST on SiamFC for a few thousand pairs, to show on two cores that the method works.

Run:     dst-jax distill siamfc_dst_short --teacher BUNDLE \
             --workdir runs/short --data.sources got10k:DIR coco:DIR
Expect:  see CHANGELOG.md, "History of measurements".
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import LoopConfig, OptimConfig


def experiment() -> Experiment:
    """Returns the paper's objective, with momentum and a falling rate and few steps."""
    return Experiment(
        students={"dull": named("dstfc"), "intelligent": named("siamfc-half")},
        data=DataConfig(
            sources=("got10k:data/got10k/train", "coco:data/coco"),
            weights=(4.0, 1.0),
            batch=8,
        ),
        augment=AugmentConfig(flip=0.5, brightness=0.2),
        distill=DistillConfig(),
        optim=OptimConfig(
            epochs=4.0,
            pairs_per_epoch=600,
            learning_rate=1e-2,
            final_learning_rate=1e-3,
            momentum=0.9,
            clip_norm=5.0,
        ),
        loop=LoopConfig(log_every=10),
    )
